"""Label maps that belong to images: where they lie, and which pictures are none to look at."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from histoscope.data import Datasheet
from histoscope.data.readers.sheet import read_sheet
from histoscope.errors import HistoscopeError

IMAGES, CLASSES = "images", "classes"
IDS = ("labels", "instances", "masks", "label", "mask")
"""Folders beside ``images/`` whose pictures hold a number for each nucleus, or a mask."""
_MAPS = (".png", ".tif", ".tiff", ".bmp", ".gif")


class Maps:
    """Label and class maps among some files, in the layout ``images/``, ``labels/``, ``classes/``.

    Parameters
    ----------
    files : iterable of Path
    """

    def __init__(self, files: Iterable[Path]) -> None:
        files = [*files]
        self._roots = {path.parent.parent for path in files if path.parent.name == IMAGES}
        self._found = {
            (path.parent, path.stem): path
            for path in files
            if path.suffix.lower() in _MAPS and self.has(path)
        }
        self._sheets: dict[Path, Datasheet | None] = {}

    def has(self, path: Path) -> bool:
        """Whether a picture is a map of numbers."""
        folder = path.parent
        return folder.name in {*IDS, CLASSES} and folder.parent in self._roots

    def truth_of(self, image: Path) -> Path | None:
        """Label map of an image."""
        if image.parent.name != IMAGES:
            return None
        places = [(image.parent.parent / name, image.stem) for name in IDS]
        return next((self._found[place] for place in places if place in self._found), None)

    def classes_of(self, image: Path) -> Path | None:
        """Class map of an image."""
        return self._found.get((image.parent.parent / CLASSES, image.stem))

    def mpp_of(self, image: Path) -> float | None:
        """Micrometres per pixel, as the data folder of an image says."""
        if image.parent.name != IMAGES:
            return None
        root = image.parent.parent
        if root not in self._sheets:
            self._sheets[root] = sheet_of(root)
        sheet = self._sheets[root]
        return sheet.mpp if sheet is not None and sheet.mpp > 0 else None


def sheet_of(root: Path) -> Datasheet | None:
    """Datasheet of a data folder; None without one, or with one that cannot be read."""
    with suppress(HistoscopeError, OSError):
        return read_sheet(root)
    return None
