"""TNBC as distributed: a folder of images and one of masks for each patient."""

from collections.abc import Iterator

import numpy as np

from histoscope.data.base import Datasheet
from histoscope.data.readers.index import composed, sibling
from histoscope.data.readers.reader import Entry, Reader, Truth, files_in, folders_below
from histoscope.files import read_labels
from histoscope.types import Record

_BRAIN = frozenset({"12", "13", "14"})


class TNBC(Reader):
    """TNBC: 50 H&E images of triple-negative breast cancer of 11 patients, 512 x 512 pixels at 40x.

    Reads ``Slide_01/01_1.png`` with ``GT_01/01_1.png``; `root` is the folder of these or one above it. Each
    slide is a patient. The masks only show where nuclei are, so a nucleus is a connected region of one value,
    including diagonal neighbours; in the later archive, with a value for each cell type, this also separates
    touching nuclei of different types (the types themselves are not read), and slides 12 to 14 are brain (tag
    ``organ``). The fourth channel of the images is meaningless and ignored. No split is published: split by
    patient. 40x is published; 0.25 um/px is its nominal size.

    References
    ----------
    Naylor et al., "Segmentation of Nuclei in Histopathology Images by Deep Regression of the Distance Map",
    IEEE TMI 38(2), 2019, doi:10.1109/TMI.2018.2865709
    """

    sheet = Datasheet(
        name="tnbc",
        title="Triple-negative breast cancer nuclei",
        url="https://doi.org/10.5281/zenodo.1175282",
        licence="CC BY 4.0",
        citation="Naylor et al., IEEE TMI 38(2), 2019, doi:10.1109/TMI.2018.2865709",
        mpp=0.25,
    )
    layout = "Slide_01/01_1.png + GT_01/01_1.png, and so on for each patient"

    def find(self) -> Iterator[Entry]:
        """List the images of every slide."""
        for folder in folders_below(self.root, 2):
            number = folder.name.removeprefix("Slide_")
            if number == folder.name:
                continue
            tags = {"organ": "brain" if number in _BRAIN else "breast"}
            for image in files_in(folder, ".png"):
                name = composed(image.stem)
                labels = sibling(folder.parent / f"GT_{number}", name, ".png")
                yield Entry(Record(name, patient=folder.name, source=folder.name, tags=tags), image, labels)

    def read_truth(self, entry: Entry, shape: tuple[int, int]) -> Truth:
        """Read one mask."""
        from skimage.measure import label

        return label(read_labels(entry.labels), connectivity=2).astype(np.int32), None
