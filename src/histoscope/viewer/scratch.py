"""What the page makes while it is open: images that were dropped on it, and previews of nuclei."""

import re
import shutil
import tempfile
import threading
import uuid
import weakref
from functools import cached_property
from pathlib import Path

from histoscope.errors import CorruptDataError
from histoscope.images.kinds import kind_of
from histoscope.viewer.library import Found, Item

DROPPED = "dropped on the page"
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif"}
_MOST_PREVIEWS, _MOST_IMAGES = 64, 20


class Scratch:
    """A folder of the server's own, which goes when the server does.

    Attributes
    ----------
    items : dict of str to Item
        Images that were dropped, the latest few.
    previews : dict of str to Found
        Nuclei that were found on the page, the latest few.
    """

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.previews: dict[str, Found] = {}
        self._lock = threading.Lock()

    @cached_property
    def folder(self) -> Path:
        """Made when it is first used."""
        folder = Path(tempfile.mkdtemp(prefix="histoscope-")).resolve()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def has(self, path: Path) -> bool:
        """Whether a file is one of these."""
        return "folder" in self.__dict__ and path.resolve().is_relative_to(self.folder)

    def add_image(self, packed: bytes, name: str, mpp: float | None) -> Item:
        """Keep an image; of more than a few, the oldest goes.

        Raises
        ------
        CorruptDataError
            If it is of no kind that is taken.
        """
        with self._lock:
            place = self.folder / uuid.uuid4().hex
            place.mkdir()
            path = write_image(place, packed, name)
            item = Item(uuid.uuid4().hex[:12], path.name, DROPPED, path, mpp=mpp)
            self.items[item.id] = item
            while len(self.items) > _MOST_IMAGES:
                old = self.items.pop(next(iter(self.items)))
                if old.path is not None:
                    shutil.rmtree(old.path.parent, ignore_errors=True)
        return item

    def new_preview(self, label: str, classes: tuple[str, ...]) -> Found:
        """Results that are to be written to the path that is given; of more than a few, the oldest go."""
        key = uuid.uuid4().hex[:12]
        return self._kept(Found(key, self.folder / f"{key}.geojson", label, classes=classes))

    def new_comparison(self, label: str, truth: Path) -> Found:
        """Results that are compared with the truth, from a label map that is to be written to the path."""
        key = uuid.uuid4().hex[:12]
        return self._kept(Found(key, self.folder / f"{key}.png", label, truth=truth))

    def _kept(self, found: Found) -> Found:
        with self._lock:
            self.previews[found.id] = found
            while len(self.previews) > _MOST_PREVIEWS:
                self.previews.pop(next(iter(self.previews))).path.unlink(missing_ok=True)
        return found


def write_image(folder: Path, packed: bytes, name: str = "image") -> Path:
    """Write an image with the suffix that its first bytes ask for.

    Raises
    ------
    CorruptDataError
        If they are of no kind that is taken.
    """
    path = folder / (re.sub(r"[^\w .()+-]", "_", Path(name).stem).strip(" .")[:80] or "image")
    path.write_bytes(packed)
    suffix = _SUFFIXES.get(kind_of(path))
    if suffix is None:
        path.unlink()
        raise CorruptDataError("this is not a PNG, JPEG or TIFF image; send one of these")
    return path.rename(path.with_name(path.name + suffix))
