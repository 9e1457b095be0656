"""A slide as layers of JPEG tiles: as they are stored where a browser can show that, encoded where not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise

import cv2
import imagecodecs
import numpy as np

from histoscope.errors import ConfigError
from histoscope.slides import Box, Slide
from histoscope.slides.cache import TileCache
from histoscope.slides.stored import Tiled, size_of
from histoscope.types import Image

TILE_PX = 256
_TILES_PX = range(128, 1025)
"""Tiles of other sizes are cut again."""
_QUALITY = 88
_SAME = 2
"""Grey levels by which a stored tile, decoded as browsers do, may differ from what the reader gives."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One resolution that the page may ask for.

    Parameters
    ----------
    width, height : int
        Pixels.
    tile : (int, int)
        Width and height of its tiles.
    downsample : float
        Pixels of level 0 for one of this layer.
    level : int or None
        Level of the slide that it is; None if it is made of the next finer layer, halved.
    """

    width: int
    height: int
    tile: tuple[int, int]
    downsample: float
    level: int | None

    @property
    def grid(self) -> tuple[int, int]:
        """Number of tiles across and down."""
        return -(-self.width // self.tile[0]), -(-self.height // self.tile[1])


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Layers of an open slide, the coarsest first; safe to use from several threads.

    Parameters
    ----------
    slide : Slide

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from histoscope.images.writing import save
    >>> from histoscope.slides import open_slide
    >>> path = Path(tempfile.mkdtemp()) / "tissue.png"
    >>> save(path, np.full((300, 600, 3), 200, np.uint8))
    >>> pyramid = Pyramid(open_slide(path))
    >>> [(layer.width, layer.height, layer.downsample) for layer in pyramid.layers]
    [(150, 75, 4.0), (300, 150, 2.0), (600, 300, 1.0)]
    >>> size_of(pyramid.tile(2, 2, 1))
    (88, 44)
    """

    slide: Slide
    _cache: TileCache = field(default_factory=lambda: TileCache(1 << 27))

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Levels of the slide, and below them halves down to one tile; the coarsest first."""
        layers = [
            Layer(level.width, level.height, self._tile_of(k), level.downsample[0], k)
            for k, level in enumerate(self.slide.levels)
        ]
        while max(layers[-1].width, layers[-1].height) > TILE_PX:
            last = layers[-1]
            half = -(-last.width // 2), -(-last.height // 2)
            layers.append(Layer(*half, (TILE_PX, TILE_PX), 2 * last.downsample, None))
        while len(layers) > 1 and max(layers[-2].width, layers[-2].height) <= TILE_PX:
            layers.pop()  # of the smallest ones the page needs one
        return tuple(reversed(layers))

    def tile(
        self, number: int, column: int, row: int, change: Callable[[Image], Image] | None = None
    ) -> bytes:
        """One tile as JPEG.

        Parameters
        ----------
        number : int
            Of the layer.
        column, row : int
        change : callable, optional
            What is done to its pixels.

        Raises
        ------
        ConfigError
            If there is no such tile.
        CorruptDataError
            If it cannot be read.
        """
        if not 0 <= number < len(self.layers):
            raise ConfigError(f"layer is {number}, expected 0 to {len(self.layers) - 1}")
        layer = self.layers[number]
        across, down = layer.grid
        if not (0 <= column < across and 0 <= row < down):
            raise ConfigError(f"tile is ({column}, {row}), expected less than ({across}, {down})")
        box = _box_of(layer, column, row)
        if change is not None:
            return jpeg_of(change(self._pixels(number, box)))
        if self.passes and layer.level is not None and (box.width, box.height) == layer.tile:
            stored = self._stored(layer.level, column, row)
            if stored is not None and size_of(stored) == layer.tile:
                return stored
        return jpeg_of(self._pixels(number, box))

    def picture(self, most_px: int) -> bytes:
        """The whole slide as JPEG, at most so many pixels long."""
        sizes = [max(layer.width, layer.height) for layer in self.layers]
        number = next((k for k, size in enumerate(sizes) if size >= most_px), 0)
        layer = self.layers[number]
        pixels = self._pixels(number, Box(0, 0, layer.width, layer.height))
        scale = min(most_px / sizes[number], 1.0)
        size = max(round(layer.width * scale), 1), max(round(layer.height * scale), 1)
        return jpeg_of(_resized(pixels, size))

    def crop(self, box: Box, most_px: int) -> bytes:
        """A box of level 0 as JPEG, at most so many pixels long; white beyond the slide."""
        pixels = self.slide.read(box)
        scale = min(most_px / max(box.width, box.height), 1.0)
        return jpeg_of(
            _resized(pixels, (max(round(box.width * scale), 1), max(round(box.height * scale), 1)))
        )

    @cached_property
    def passes(self) -> bool:
        """Whether stored tiles are passed on undecoded: they look as the reader says."""
        found = False
        for level, column, row in self._samples():
            stored = self._stored(level, column, row)
            if stored is None:
                continue
            width, height = self._tile_of(level)
            expected = self.slide.read(Box(column * width, row * height, width, height), level)
            try:
                shown = imagecodecs.jpeg8_decode(stored)
            except imagecodecs.Jpeg8Error:
                return False
            if shown.shape != expected.shape or np.abs(shown.astype(int) - expected).max() > _SAME:
                return False
            found = True
        return found

    def _samples(self) -> Iterator[tuple[int, int, int]]:
        """Whole tiles in the middle of each level."""
        for k, level in enumerate(self.slide.levels):
            width, height = self._tile_of(k)
            if level.width >= width and level.height >= height:
                yield k, (level.width // width - 1) // 2, (level.height // height - 1) // 2

    def _stored(self, level: int, column: int, row: int) -> bytes | None:
        reader = self.slide.reader
        if not isinstance(reader, Tiled) or reader.tile_size(level) != self._tile_of(level):
            return None
        return reader.jpeg_tile(level, column, row)

    def _tile_of(self, level: int) -> tuple[int, int]:
        reader = self.slide.reader
        size = reader.tile_size(level) if isinstance(reader, Tiled) else None
        return size if size and all(side in _TILES_PX for side in size) else (TILE_PX, TILE_PX)

    def _pixels(self, number: int, box: Box) -> Image:
        """Pixels of a box of a layer; a layer that the slide has not is put together of halved tiles."""
        layer = self.layers[number]
        if layer.level is not None:
            stored: Image = self.slide.read(box, layer.level)
            return stored
        out = np.empty((box.height, box.width, 3), np.uint8)
        columns = _spans(box.x, box.width, layer.tile[0])
        rows = _spans(box.y, box.height, layer.tile[1])
        for row, (top, bottom) in rows:
            for column, (left, right) in columns:
                tile = self._cache.get((number, column, row), partial(self._halved, number, column, row))
                x, y = left - column * layer.tile[0], top - row * layer.tile[1]
                out[top - box.y : bottom - box.y, left - box.x : right - box.x] = tile[
                    y : y + bottom - top, x : x + right - left
                ]
        return out

    def _halved(self, number: int, column: int, row: int) -> Image:
        layer, finer = self.layers[number], self.layers[number + 1]
        box = _box_of(layer, column, row)
        right, bottom = (
            min(2 * (at + side), far)
            for at, side, far in ((box.x, box.width, finer.width), (box.y, box.height, finer.height))
        )
        source = self._pixels(number + 1, Box(2 * box.x, 2 * box.y, right - 2 * box.x, bottom - 2 * box.y))
        return _resized(source, (box.width, box.height))


def jpeg_of(pixels: Image) -> bytes:
    """(H, W, 3) uint8 as JPEG."""
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=_QUALITY))


def _resized(pixels: Image, size: tuple[int, int]) -> Image:
    """Pixels at a smaller width and height, as means of areas."""
    shown: Image = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return shown


def _box_of(layer: Layer, column: int, row: int) -> Box:
    """Pixels of a tile; those at the far edges are cut."""
    x, y = column * layer.tile[0], row * layer.tile[1]
    return Box(x, y, min(layer.tile[0], layer.width - x), min(layer.tile[1], layer.height - y))


def _spans(start: int, length: int, step: int) -> list[tuple[int, tuple[int, int]]]:
    """Tiles that a range touches, and the part of the range in each.

    Examples
    --------
    >>> _spans(5, 10, 8)
    [(0, (5, 8)), (1, (8, 15))]
    """
    edges = [start, *range((start // step + 1) * step, start + length, step), start + length]
    return [(one // step, (one, other)) for one, other in pairwise(edges)]
