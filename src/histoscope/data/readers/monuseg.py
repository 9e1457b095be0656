"""MoNuSeg as distributed: TIFF tiles and Aperio ImageScope XML annotations."""

from collections.abc import Iterator

from histoscope.data.base import Datasheet
from histoscope.data.readers.aperio import read_aperio, unusable_regions
from histoscope.data.readers.index import composed, sibling
from histoscope.data.readers.reader import Entry, Reader, Truth, files_in
from histoscope.types import Record

_TEST_PATIENTS = frozenset(
    """
    TCGA-2Z-A9J9 TCGA-44-2665 TCGA-69-7764 TCGA-A6-6782 TCGA-AC-A2FO TCGA-AO-A0J2 TCGA-CU-A0YN
    TCGA-EJ-A46H TCGA-FG-A4MU TCGA-GL-6846 TCGA-HC-7209 TCGA-HT-8564 TCGA-IZ-8196 TCGA-ZF-A9R5
    """.split()  # noqa: SIM905  # a list of strings would take fourteen lines
)


class MoNuSeg(Reader):
    """MoNuSeg: H&E tiles of several organs from The Cancer Genome Atlas, 1000 x 1000 pixels at 40x.

    Understands a flat folder of ``NAME.tif`` + ``NAME.xml``, the training archive's ``Tissue Images/`` +
    ``Annotations/``, and a folder with several of these. The patient is the first twelve characters of the
    TCGA barcode; the tag ``tcga_site`` is its tissue source site (the hospital). The published test tiles are
    identified by their patients.

    References
    ----------
    Kumar et al., "A Multi-Organ Nucleus Segmentation Challenge", IEEE TMI 39 (2020),
    doi:10.1109/TMI.2019.2947628
    """

    sheet = Datasheet(
        name="monuseg",
        title="Multi-Organ Nucleus Segmentation Challenge 2018",
        url="https://monuseg.grand-challenge.org/Data/",
        licence="CC BY-NC-SA 4.0",
        citation="Kumar et al., IEEE TMI 39 (2020), doi:10.1109/TMI.2019.2947628",
        mpp=0.25,
    )
    layout = "NAME.tif + NAME.xml side by side, or 'Tissue Images/NAME.tif' + 'Annotations/NAME.xml'"
    ignore_alpha = False

    def find(self) -> Iterator[Entry]:
        """List the tiles in `root` and down to two levels below it, by name within each folder."""
        for folder in (self.root, *sorted(self.root.glob("*/")), *sorted(self.root.glob("*/*/"))):
            if "__MACOSX" in folder.parts or folder.name == "Tissue Images":
                continue  # macOS files in the publisher's archives; and files already listed from the parent
            images, annotations = folder / "Tissue Images", folder / "Annotations"
            if not images.is_dir():
                images = annotations = folder
            for image in files_in(images, ".tif", ".tiff"):
                name = composed(image.stem)
                yield Entry(_record(name), image, sibling(annotations, name, ".xml"))

    def read_truth(self, entry: Entry, shape: tuple[int, int]) -> Truth:
        """Read one annotation."""
        return read_aperio(entry.labels).drawn(shape), None

    def notes(self, index: int) -> list[str]:
        """Report regions of an annotation that no label map can show."""
        return unusable_regions(read_aperio(self._entries[index].labels), self[index].image.shape[:2])


def _record(name: str) -> Record:
    if not name.startswith("TCGA-") or name.count("-") < 2:
        return Record(name, source=name)
    site, patient = name.split("-")[1], "-".join(name.split("-")[:3])
    split = "test" if patient in _TEST_PATIENTS else "train"
    return Record(name, patient=patient, source=name, split=split, tags={"tcga_site": site})
