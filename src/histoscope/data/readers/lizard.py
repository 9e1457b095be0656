"""Lizard as distributed: PNG images and MATLAB labels in six classes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from histoscope.data.base import Datasheet
from histoscope.data.readers.containers import read_mat
from histoscope.data.readers.index import composed, read_index, sibling
from histoscope.data.readers.reader import Entry, Reader, Truth, check_classes, files_in, folders_below
from histoscope.data.views import compact
from histoscope.errors import ConfigError, DataError
from histoscope.types import Record

CLASSES = {1: "neutrophil", 2: "epithelial", 3: "lymphocyte", 4: "plasma", 5: "eosinophil", 6: "connective"}


class Lizard(Reader):
    """Lizard: 238 H&E images of colon at 20x, of many sizes, with 431,913 nuclei in six classes.

    Reads the images of ``lizard_images1`` and ``lizard_images2`` (however deep the archives were unpacked),
    ``Labels/NAME.mat`` and ``info.csv`` (columns ``Filename``, ``Source``, ``Split``). A label file holds
    ``inst_map`` and, one row per nucleus, ``id``, ``class``, ``bbox`` and ``centroid``. Row k of ``class`` is
    the class of nucleus ``id[k]``: rows are unordered, and reading them as nuclei 1, 2, 3 gives most nuclei a
    wrong class.

    ``Split`` numbers three folds. The tag ``cohort`` is the collection of an image: ``consep``,
    ``crag``, ``dpath``, ``glas``, ``pannuke``. The images are those of CoNIC and include the slides of
    CoNSeP.

    Parameters
    ----------
    root, mpp
        As for `Reader`.
    test_fold : int
        The fold that is the test part: 1, 2 or 3.

    References
    ----------
    Graham et al., "Lizard: A Large-Scale Dataset for Colonic Nuclear Instance Segmentation and
    Classification", ICCV Workshops 2021, doi:10.1109/ICCVW54120.2021.00082
    """

    sheet = Datasheet(
        name="lizard",
        title="Lizard, colonic nuclei in six classes",
        url="https://warwick.ac.uk/fac/cross_fac/tia/data/lizard",
        licence="CC BY-NC-SA 4.0",
        citation="Graham et al., ICCV Workshops 2021, doi:10.1109/ICCVW54120.2021.00082",
        classes=CLASSES,
        mpp=0.5,
    )
    layout = "Lizard_Images1/*.png, Lizard_Images2/*.png, Lizard_Labels/Labels/*.mat, info.csv"

    def __init__(self, root: str | Path, *, mpp: float | None = None, test_fold: int = 3) -> None:
        if test_fold not in {1, 2, 3}:
            raise ConfigError(f"test_fold is {test_fold}, expected 1, 2 or 3")
        self._test_fold = test_fold
        super().__init__(root, mpp=mpp)

    def find(self) -> Iterator[Entry]:
        """List the images of both archives."""
        folders = [
            folder for folder in folders_below(self.root) if not folder.name.lower().startswith("overlay")
        ]
        labels = next((folder for folder in folders if files_in(folder, ".mat")), self.root / "Labels")
        tables = [folder / "info.csv" for folder in folders if (folder / "info.csv").is_file()]
        rows = {row.get("filename", ""): row for row in (read_index(tables[0]) if tables else ())}
        for folder in folders:
            for image in files_in(folder, ".png"):
                name = composed(image.stem)
                record = self._record(name, rows.get(name, {}).get("split", ""))
                yield Entry(record, image, sibling(labels, name, ".mat"))

    def _record(self, name: str, fold: str) -> Record:
        split = "" if not fold else "test" if fold == str(self._test_fold) else "train"
        tags = {"cohort": name.split("_", maxsplit=1)[0]} | ({"fold": fold} if fold else {})
        return Record(name, source=name, split=split, tags=tags)

    def read_truth(self, entry: Entry, shape: tuple[int, int]) -> Truth:
        """Read one label file."""
        path = entry.labels
        held = read_mat(path, "inst_map", "id", "class")
        instances, ids, types = held["inst_map"], held["id"].ravel(), held["class"].ravel()
        if ids.size != types.size or np.unique(ids).size != ids.size:
            raise DataError(
                f"{path}: {ids.size} rows of id and {types.size} of class, expected one of each per nucleus"
            )
        unlisted = np.setdiff1d(instances, [0, *ids])
        if unlisted.size:
            raise DataError(
                f"{path}: nucleus {unlisted[0]} of inst_map is not among the {ids.size} ids; get it again"
            )
        of_id = dict(zip(ids.tolist(), check_classes(types, CLASSES, f"{path}: class").tolist(), strict=True))
        present = np.setdiff1d(instances, [0])
        classes = np.array([0, *(of_id[number] for number in present.tolist())], np.uint8)
        return compact(instances)[0], classes
