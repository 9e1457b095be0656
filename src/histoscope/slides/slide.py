"""A whole slide image: a pyramid of levels, read by boxes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from histoscope.errors import ConfigError, CorruptDataError, UnknownNameError
from histoscope.slides.hashing import quick_hash
from histoscope.slides.patience import told_if_slow
from histoscope.slides.resampling import GLASS, resampled, source_range
from histoscope.types import Image

_STRIP_PX = 512


class Box(NamedTuple):
    """A rectangle of whole pixels; the right and lower edges are not part of it.

    Parameters
    ----------
    x, y : int
        Left column and top row.
    width, height : int
    """

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a pyramid.

    Parameters
    ----------
    width, height : int
        Pixels.
    downsample : (float, float)
        Pixels of level 0 per pixel of this level, across and down.
    is_native : bool
        Whether crops are the stored pixels; otherwise the reader resamples by a fraction of a pixel.
    """

    width: int
    height: int
    downsample: tuple[float, float] = (1.0, 1.0)
    is_native: bool = True


class Reader(Protocol):
    """Reader for one family of files. Must be safe to call from several threads.

    Attributes
    ----------
    levels : tuple of Level
        The finest first; sides decrease.
    mpp : (float, float) or None
        Micrometres per pixel of level 0, across and down, if the file gives them.
    bounds : Box or None
        Scanned area on level 0, if the file gives it.
    vendor : str
    icc : bytes
        ICC profile of the pixels; empty if there is none. Pixels are returned as stored.
    associated : tuple of str
        Names of further images: ``label``, ``macro``, ``thumbnail``.
    files : tuple of Path
        All files that belong to the slide.
    """

    levels: tuple[Level, ...]
    mpp: tuple[float, float] | None
    bounds: Box | None
    vendor: str
    icc: bytes
    associated: tuple[str, ...]
    files: tuple[Path, ...]

    def crop(self, box: Box, level: int) -> Image:
        """Pixels of a box inside a level."""
        ...

    def picture(self, name: str) -> Image:
        """One of the associated images."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...


@dataclass(frozen=True, eq=False)
class Slide:
    """A whole slide image, open for reading; `histoscope.slides.open_slide` makes one.

    Safe to read from several threads. Pickled by its path: another process reopens it.

    Parameters
    ----------
    path : Path
    reader_name : str
        Name of its reader: ``tiff``, ``openslide``, ``pydicom`` or ``picture``.
    reader : Reader
    given_mpp : float, optional
        Micrometres per pixel, if the file does not give them or is wrong.
    on_close : callable, optional
        Called after the files are closed, to delete a copy of them.

    Examples
    --------
    >>> import tempfile
    >>> from histoscope.slides import open_slide
    >>> from histoscope.images.writing import save
    >>> path = Path(tempfile.mkdtemp()) / "tissue.png"
    >>> save(path, np.full((60, 80, 3), 200, np.uint8), mpp=0.25)
    >>> with open_slide(path) as slide:
    ...     print(slide)
    ...     print(slide.read(Box(70, 50, 20, 20)).mean(), slide.read_at(Box(0, 0, 40, 30), 0.5).shape)
    Slide(tissue.png, 80 x 60 px, 0.25 um/px, 1 level, by picture)
    241.25 (30, 40, 3)
    """

    path: Path
    reader_name: str
    reader: Reader = field(repr=False)
    given_mpp: float | None = None
    on_close: Callable[[], None] | None = field(default=None, repr=False)

    @property
    def levels(self) -> tuple[Level, ...]:
        """Resolutions, the finest first."""
        return self.reader.levels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of level 0, in pixels."""
        return self.levels[0].width, self.levels[0].height

    @property
    def mpp(self) -> tuple[float, float] | None:
        """Micrometres per pixel of level 0, across and down; None if unknown."""
        return self.reader.mpp if self.given_mpp is None else (self.given_mpp, self.given_mpp)

    @property
    def bounds(self) -> Box:
        """The scanned area on level 0; all of it if the file does not give one."""
        return self.reader.bounds or Box(0, 0, *self.size)

    @property
    def vendor(self) -> str:
        """Vendor of the scanner or format, such as ``aperio``; empty if unknown."""
        return self.reader.vendor

    @property
    def icc_profile(self) -> bytes:
        """ICC profile of the pixels, empty if there is none; pixels are returned as stored."""
        return self.reader.icc

    @property
    def associated(self) -> tuple[str, ...]:
        """Names of the images that come with the slide: ``label``, ``macro``, ``thumbnail``."""
        return self.reader.associated

    @cached_property
    def quick_hash(self) -> str:
        """Digest of the sizes and of parts of all files of the slide; the same for every reader."""
        with told_if_slow(self.path):
            return quick_hash(self.reader.files)

    def picture(self, name: str) -> Image:
        """One of the associated images, (H, W, 3) uint8.

        Raises
        ------
        UnknownNameError
            If the slide has none with that name.
        """
        if name not in self.associated:
            raise UnknownNameError(f"image of {self.path.name}", name, self.associated)
        return self.reader.picture(name)

    def read(self, box: Box, level: int = 0) -> Image:
        """Stored pixels of a box of a level; white beyond the slide.

        At level 0, all readers give the same bytes.

        Parameters
        ----------
        box : Box
            In pixels of the level.
        level : int

        Returns
        -------
        (height, width, 3) uint8

        Raises
        ------
        ConfigError
            If the slide has no such level, or the box is empty.
        CorruptDataError
            If the pixels cannot be decoded.
        """
        box = Box(*map(int, box))
        if not 0 <= level < len(self.levels):
            raise ConfigError(f"level is {level}, expected 0 to {len(self.levels) - 1}: {self.path}")
        if box.width < 1 or box.height < 1:
            raise ConfigError(f"box is {tuple(box)}, expected a width and a height of at least 1")
        extent = self.levels[level]
        x0, y0 = min(max(box.x, 0), extent.width), min(max(box.y, 0), extent.height)
        x1 = min(max(box.x + box.width, x0), extent.width)
        y1 = min(max(box.y + box.height, y0), extent.height)
        inside = Box(x0, y0, x1 - x0, y1 - y0)
        if inside == box:
            return self._crop(box, level)
        out = np.full((box.height, box.width, 3), GLASS, np.uint8)
        if inside.width and inside.height:
            out[y0 - box.y : y1 - box.y, x0 - box.x : x1 - box.x] = self._crop(inside, level)
        return out

    def _crop(self, box: Box, level: int) -> Image:
        try:
            return self.reader.crop(box, level)
        except (CorruptDataError, OSError, MemoryError):
            raise  # an unavailable disk is not a broken slide
        except Exception as error:  # many decoders, each with its own errors
            place = f"x {box.x}, y {box.y}, {box.width} x {box.height} px of level {level}"
            raise CorruptDataError(f"{self.path} cannot be read at {place}: {error}") from error

    def known_mpp(self) -> tuple[float, float]:
        """Micrometres per pixel of level 0, across and down.

        Raises
        ------
        ConfigError
            If they are unknown.
        """
        if self.mpp is None:
            raise ConfigError(
                f"{self.path} does not give its resolution; set its micrometres per pixel with --mpp "
                "(from Python, mpp=): usually 0.25 for a 40x scan, 0.5 for 20x"
            )
        return self.mpp

    def scale_at(self, mpp: float) -> tuple[float, float]:
        """Pixels of level 0 for one pixel at another resolution, across and down; never rounded."""
        x, y = self.known_mpp()
        return mpp / x, mpp / y

    def size_at(self, mpp: float) -> tuple[int, int]:
        """Width and height at another resolution; partial pixels at right or lower edges count as one."""
        (width, height), (x, y) = self.size, self.scale_at(mpp)
        # A tolerance of a billionth: 4096 px at half the resolution are 2048 despite floating-point error.
        columns, rows = (max(math.ceil(n / s - 1e-9 * n), 1) for n, s in ((width, x), (height, y)))
        return columns, rows

    def read_at(self, box: Box, mpp: float, *, level: int | None = None) -> Image:
        """Pixels of a box at any resolution; white beyond the slide.

        The grid of that resolution starts at the upper left corner of level 0, and pixel (j, i) covers
        level 0 from ``(j, i) * scale_at(mpp)`` to ``(j + 1, i + 1) * scale_at(mpp)``. Its value is the
        area-weighted mean over the coarsest level that is at least as fine (if no level is fine enough,
        linear interpolation of level 0). So a pixel does not depend on the box that it is read with.

        Parameters
        ----------
        box : Box
            In pixels of that resolution.
        mpp : float
            Micrometres per pixel.
        level : int, optional
            Level to resample instead.

        Returns
        -------
        (height, width, 3) uint8

        Raises
        ------
        ConfigError
            If the slide does not give its resolution.
        CorruptDataError
            If the pixels cannot be decoded.
        """
        box = Box(*map(int, box))
        scale = self.scale_at(mpp)
        level = self.level_for(scale) if level is None else level
        extent = self.levels[level]
        ratio = scale[0] / extent.downsample[0], scale[1] / extent.downsample[1]
        if ratio == (1.0, 1.0):
            return self.read(box, level)
        out = np.empty((box.height, box.width, 3), np.uint8)
        rows = max(int(_STRIP_PX / ratio[1]), 1)  # at a time: the pixels of the level take more memory
        for top in range(0, box.height, rows):
            strip = Box(box.x, box.y + top, box.width, min(rows, box.height - top))
            x0, x1 = source_range(strip.x, strip.width, ratio[0])
            y0, y1 = source_range(strip.y, strip.height, ratio[1])
            crop = Box(x0, y0, x1 - x0, y1 - y0)
            pixels = resampled(self.read(crop, level), crop, strip, ratio, (extent.width, extent.height))
            out[top : top + strip.height] = pixels
        return out

    def level_for(self, scale: tuple[float, float]) -> int:
        """Coarsest level from which a scale is resampled.

        Levels whose crops the reader resamples by a fraction of a pixel are used only for scales so coarse
        that it does not show.
        """
        fit = [
            k
            for k, level in enumerate(self.levels)
            if max(level.downsample) * (1.0 if level.is_native else 4.0) <= min(scale) * (1 + 1e-6)
        ]
        return fit[-1] if fit else 0

    def close(self) -> None:
        """Close the files."""
        self.reader.close()
        if self.on_close is not None:
            self.on_close()

    def __enter__(self) -> "Slide":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        from histoscope.slides.opening import open_slide

        return open_slide, (self.path, self.reader_name, self.given_mpp)

    def __repr__(self) -> str:
        width, height = self.size
        levels = f"{len(self.levels)} level" + "s" * (len(self.levels) > 1)
        mpp = "unknown resolution"
        if self.mpp is not None:
            sides = [f"{side:.4g}" for side in self.mpp]
            mpp = " x ".join(sides if sides[0] != sides[1] else sides[:1]) + " um/px"
        return f"Slide({self.path.name}, {width} x {height} px, {mpp}, {levels}, by {self.reader_name})"
