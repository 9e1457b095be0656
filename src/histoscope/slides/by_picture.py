"""Plain images, held in memory: PNG, JPEG, TIFF without tiles; all that `read_image` reads."""

from pathlib import Path

import numpy as np

from histoscope.files import read_image
from histoscope.images.reading import profile_of
from histoscope.images.resolution import pixel_size_of
from histoscope.slides.slide import Box, Level
from histoscope.types import Image


class PictureReader:
    """Reads a plain image as a whole; see `histoscope.slides.slide.Reader`."""

    def __init__(self, path: Path) -> None:
        self._pixels = read_image(path)
        height, width = self._pixels.shape[:2]
        self.levels: tuple[Level, ...] = (Level(width, height),)
        self.mpp = pixel_size_of(path)
        self.bounds: Box | None = None
        self.vendor = ""
        self.icc = profile_of(path)
        self.associated: tuple[str, ...] = ()
        self.files: tuple[Path, ...] = (path,)

    def crop(self, box: Box, level: int) -> Image:
        """Pixels of a box inside the image."""
        return np.ascontiguousarray(self._pixels[box.y : box.y + box.height, box.x : box.x + box.width])

    def picture(self, name: str) -> Image:
        """Never called: a plain image has no associated images."""
        raise KeyError(name)

    def close(self) -> None:
        """Nothing to close."""
