"""CoNSeP as distributed: PNG tiles and MATLAB labels in seven classes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from histoscope.data.base import Datasheet, classes_of
from histoscope.data.readers.containers import read_mat
from histoscope.data.readers.index import composed, sibling
from histoscope.data.readers.reader import Entry, Reader, Truth, check_classes, files_in, folders_below
from histoscope.data.views import compact
from histoscope.errors import ShapeError
from histoscope.types import Record

RAW_CLASSES = {
    1: "other",
    2: "inflammatory",
    3: "healthy epithelial",
    4: "dysplastic or malignant epithelial",
    5: "fibroblast",
    6: "muscle",
    7: "endothelial",
}
MERGED_CLASSES = {1: "misc", 2: "inflammatory", 3: "epithelial", 4: "spindle"}
_MERGED_OF_RAW = np.array([0, 1, 2, 3, 3, 4, 4, 4], np.uint8)


class CoNSeP(Reader):
    """CoNSeP: 41 H&E tiles of colorectal adenocarcinoma, 1000 x 1000 pixels at 40x, 24,319 nuclei.

    Reads ``Train/Images/train_1.png`` with ``Train/Labels/train_1.mat``, and ``Test`` likewise; `root` is the
    folder that contains both, or one above it. A label file holds ``inst_map`` and ``type_map``, both of the
    image's size and stored as float64. The class of a nucleus is the most common one in its pixels of
    ``type_map``.

    Seven classes were annotated, but nearly every paper reports four: the two epithelial classes are merged,
    and so are fibroblasts, muscle and endothelium, as spindle-shaped. The tiles come from sixteen patients;
    the assignment is not published. The same slides are in Lizard and CoNIC.

    Parameters
    ----------
    root, mpp
        As for `Reader`.
    merge : bool
        Whether to use the usual four classes rather than the seven.

    References
    ----------
    Graham et al., "HoVer-Net: Simultaneous segmentation and classification of nuclei in multi-tissue
    histology images", Medical Image Analysis 58 (2019), doi:10.1016/j.media.2019.101563
    """

    sheet = Datasheet(
        name="consep",
        title="Colorectal Nuclear Segmentation and Phenotypes",
        url="https://warwick.ac.uk/fac/cross_fac/tia/data/hovernet/",
        licence="none stated in the archive: research use, cite the paper",
        citation="Graham et al., Medical Image Analysis 58 (2019), doi:10.1016/j.media.2019.101563",
        classes=MERGED_CLASSES,
        mpp=0.25,
    )
    layout = "Train/Images/*.png + Train/Labels/*.mat, and Test likewise"

    def __init__(self, root: str | Path, *, mpp: float | None = None, merge: bool = True) -> None:
        self._merge = merge
        self.sheet = self.sheet if merge else replace(self.sheet, classes=RAW_CLASSES)
        super().__init__(root, mpp=mpp)

    def find(self) -> Iterator[Entry]:
        """List the tiles of both parts."""
        for folder in folders_below(self.root, 2):
            part = folder.name.lower()
            for image in files_in(folder / "Images", ".png") if part in {"train", "test"} else ():
                name = composed(image.stem)
                record = Record(name, source=name, split=part)
                yield Entry(record, image, sibling(folder / "Labels", name, ".mat"))

    def read_truth(self, entry: Entry, shape: tuple[int, int]) -> Truth:
        """Read one label file."""
        path = entry.labels
        held = read_mat(path, "inst_map", "type_map")
        instances, class_map = compact(held["inst_map"])[0], held["type_map"]
        if class_map.shape != instances.shape:
            raise ShapeError(f"{path}: type_map is {class_map.shape}, inst_map {instances.shape}")
        classes = classes_of(instances, check_classes(class_map, RAW_CLASSES, f"{path}: type_map"))
        return instances, _MERGED_OF_RAW[classes] if self._merge else classes
