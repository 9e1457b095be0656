"""NuInsSeg as distributed: a folder per organ, PNG images, TIFF label maps."""

from collections.abc import Iterator

from histoscope.data.base import Datasheet
from histoscope.data.readers.index import composed, sibling
from histoscope.data.readers.reader import Entry, Reader, Truth, files_in, folders_below
from histoscope.data.views import compact
from histoscope.files import read_labels
from histoscope.types import Record


class NuInsSeg(Reader):
    """NuInsSeg: 665 H&E images of 31 human and mouse organs, 512 x 512 pixels at 40x, 30,698 nuclei.

    Reads ``human kidney/tissue images/NAME.png`` with ``human kidney/label masks modify/NAME.tif``. The
    folder ``label masks`` beside it is not used: there, the overlap of two nuclei is a separate nucleus. The
    tags are ``organ`` and ``species``. All images of a folder come from one slide, so the folder is the
    source: a split without sources leaks. ``vague areas`` (where even experts were unsure) are not read.
    40x is published; 0.25 um/px is its nominal size.

    References
    ----------
    Mahbod et al., "NuInsSeg: A fully annotated dataset for nuclei instance segmentation in H&E-stained
    histological images", Scientific Data 11 (2024), doi:10.1038/s41597-024-03117-2
    """

    sheet = Datasheet(
        name="nuinsseg",
        title="NuInsSeg, 31 human and mouse organs",
        url="https://zenodo.org/records/10518968",
        licence="CC BY 4.0",
        citation="Mahbod et al., Scientific Data 11 (2024), doi:10.1038/s41597-024-03117-2",
        mpp=0.25,
    )
    layout = "ORGAN/tissue images/*.png + ORGAN/label masks modify/*.tif"

    def find(self) -> Iterator[Entry]:
        """List the images of every organ."""
        for folder in folders_below(self.root, 2):
            species, _, organ = folder.name.partition(" ")
            tags = {"organ": organ or species, "species": species if organ else ""}
            for image in files_in(folder / "tissue images", ".png"):
                name = composed(image.stem)
                labels = sibling(folder / "label masks modify", name, ".tif", ".tiff")
                yield Entry(Record(name, source=folder.name, tags=tags), image, labels)

    def read_truth(self, entry: Entry, shape: tuple[int, int]) -> Truth:
        """Read one label map."""
        return compact(read_labels(entry.labels))[0], None
