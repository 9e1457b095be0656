"""NuInsSeg as distributed: a folder an organ, PNG images, TIFF label maps."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from histoscope.data.base import Datasheet
from histoscope.data.readers.index import composed, sibling
from histoscope.data.readers.tiles import Tile, Tiles, Truth, files_in, folders_below
from histoscope.files import read_labels
from histoscope.types import Record


class NuInsSeg(Tiles):
    """NuInsSeg: 665 H&E images of 31 human and mouse organs, 512 x 512 pixels at 40x, 30,698 nuclei.

    Reads ``human kidney/tissue images/NAME.png`` with ``human kidney/label masks modify/NAME.tif``. The
    folder ``label masks`` beside it is not what to read: there, a place where two nuclei overlap is a nucleus
    of its own. The tags are ``organ`` and ``species``. All images of a folder come from one slide, so the
    folder is the source: a split that knows no source leaks. ``vague areas`` (where even experts could not
    tell) are not read.

    Parameters
    ----------
    root : str or Path
        The folder.
    mpp : float
        Micrometres per pixel; 40x is published, and 0.25 is its nominal size.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder or no image in it.

    References
    ----------
    Mahbod et al., "NuInsSeg: A fully annotated dataset for nuclei instance segmentation in H&E-stained
    histological images", Scientific Data 11 (2024), doi:10.1038/s41597-024-03117-2
    """

    sheet: ClassVar[Datasheet] = Datasheet(
        name="nuinsseg",
        title="NuInsSeg, 31 human and mouse organs",
        url="https://zenodo.org/records/10518968",
        licence="CC BY 4.0",
        citation="Mahbod et al., Scientific Data 11 (2024), doi:10.1038/s41597-024-03117-2",
        mpp=0.25,
    )
    layout: ClassVar[str] = "ORGAN/tissue images/*.png + ORGAN/label masks modify/*.tif"

    def __init__(self, root: str | Path, *, mpp: float = 0.25) -> None:
        super().__init__(root, mpp=mpp)

    def find_tiles(self) -> Iterator[Tile]:
        """List the images of every organ."""
        for folder in folders_below(self.root, 2):
            species, _, organ = folder.name.partition(" ")
            for image in files_in(folder / "tissue images", ".png"):
                tags = {"organ": organ or species, "species": species if organ else ""}
                name = composed(image.stem)
                record = Record(name, source=folder.name, tags=tags)
                yield Tile(image, sibling(folder / "label masks modify", name, ".tif", ".tiff"), record)

    def read_truth(self, tile: Tile) -> Truth:
        """Read one label map."""
        return read_labels(tile.labels), None
