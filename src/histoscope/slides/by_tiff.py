"""Tiled TIFF (SVS, OME-TIFF, BigTIFF): the index by tifffile, tiles by imagecodecs, in many threads."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from histoscope.errors import CorruptDataError, IncompleteError
from histoscope.images import tiff
from histoscope.images.colours import ycbcr_to_rgb
from histoscope.images.resolution import pixel_size_of
from histoscope.places import PlaceError, reading
from histoscope.slides.cache import TileCache, pasted
from histoscope.slides.levels import levels_of
from histoscope.slides.resampling import GLASS
from histoscope.slides.slide import Box, Level
from histoscope.slides.stored import whole_jpeg
from histoscope.types import Image

_RGB, _YCBCR = 2, 6
_JPEGS = frozenset({6, 7, 34892})
_JPEG = 7
_APERIO_YCBCR = 33003
_ASSOCIATED = ("Label", "Macro", "Thumbnail")


class TiffReader:
    """Reads tiled TIFF; see `histoscope.slides.slide.Reader`.

    Raises
    ------
    CorruptDataError
        If the file is not a TIFF, or its pixels are not tiles of 8-bit RGB.
    """

    def __init__(self, path: Path) -> None:
        try:
            with tiff.opened(path) as (file, series):
                pages = [level.keyframe for level in series.levels]
                if why := _why_not(pages[0]):
                    raise CorruptDataError(f"{path} {why}")
                pages = [page for page in pages if not _why_not(page)]
                # Everything needed for decoding is read while the file is open; afterwards it is plain data.
                self._decoders = [(page.decode, page.jpegtables, page.jpegheader) for page in pages]
                self._index = [(page.dataoffsets, page.databytecounts) for page in pages]
                _check_size(path, self._index, file.filehandle.size)
                names = [one.name for one in file.series] if file.is_svs else []
                self.associated = tuple(name.lower() for name in _ASSOCIATED if name in names)
                self.vendor = "aperio" if file.is_svs else "ome" if file.is_ome else "generic-tiff"
                self.icc = bytes(pages[0].iccprofile or b"")
        except (CorruptDataError, PlaceError):
            raise
        except Exception as error:  # a broken file breaks tifffile in many ways
            raise CorruptDataError(f"{path}: {error}") from error
        self._pages = pages
        self.levels: tuple[Level, ...] = levels_of(
            [(int(page.imagewidth), int(page.imagelength)) for page in pages]
        )
        self.mpp = pixel_size_of(path)
        self.bounds: Box | None = None
        self.files: tuple[Path, ...] = (path,)
        self._file = reading(path)
        self._cache = TileCache()

    def crop(self, box: Box, level: int) -> Image:
        """Pixels of a box inside a level."""
        page = self._pages[level]
        height, width = int(page.tilelength), int(page.tilewidth)
        across = -(-int(page.imagewidth) // width)
        out = np.empty((box.height, box.width, 3), np.uint8)
        rows = range(box.y // height, (box.y + box.height - 1) // height + 1)
        columns = range(box.x // width, (box.x + box.width - 1) // width + 1)
        self._file.want(self._ranges(level, [row * across + column for row in rows for column in columns]))
        for row in rows:
            for column in columns:
                key = level, row * across + column
                tile = self._cache.get(key, partial(self._decoded, *key))
                pasted(out, box, tile, column * width, row * height)
        return out

    def _ranges(self, level: int, numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Positions in the file of tiles that are not cached."""
        (offsets, counts), there = self._index[level], set(self._cache.keys())
        return ((int(offsets[k]), int(counts[k])) for k in numbers if (level, k) not in there)

    def busiest(self) -> tuple[int, int]:
        """Left and top of the tile of level 0 with the most bytes."""
        page, counts = self._pages[0], self._index[0][1]
        height, width = int(page.tilelength), int(page.tilewidth)
        row, column = divmod(int(np.argmax(counts)), -(-int(page.imagewidth) // width))
        return column * width, row * height

    def tile_size(self, level: int) -> tuple[int, int] | None:
        """Width and height of the tiles of a level."""
        return int(self._pages[level].tilewidth), int(self._pages[level].tilelength)

    def jpeg_tile(self, level: int, column: int, row: int) -> bytes | None:
        """A tile as stored, as a complete JPEG; None if it is missing or not a JPEG."""
        page, (offsets, counts) = self._pages[level], self._index[level]
        number = row * -(-int(page.imagewidth) // int(page.tilewidth)) + column
        _, tables, header = self._decoders[level]
        if int(page.compression) != _JPEG or header is not None or not counts[number]:
            return None
        stored = self._stored(int(offsets[number]), int(counts[number]))
        return whole_jpeg(stored, tables, is_rgb=int(page.photometric) == _RGB)

    def _decoded(self, level: int, number: int) -> Image:
        page, (offsets, counts) = self._pages[level], self._index[level]
        shape = (int(page.tilelength), int(page.tilewidth), 3)
        if not counts[number]:  # slides leave out the tiles of bare glass
            return np.full(shape, GLASS, np.uint8)
        stored = self._stored(int(offsets[number]), int(counts[number]))
        decode, tables, header = self._decoders[level]
        pixels = decode(stored, number, jpegtables=tables, jpegheader=header)[0]
        pixels = pixels.reshape(pixels.shape[-3:])
        if page.compression == _APERIO_YCBCR:
            pixels = ycbcr_to_rgb(pixels)
        if pixels.shape == shape:
            return np.asarray(pixels, np.uint8)
        whole = np.full(shape, GLASS, np.uint8)  # at the right and lower edges
        whole[: pixels.shape[0], : pixels.shape[1]] = pixels
        return whole

    def _stored(self, offset: int, count: int) -> bytes:
        stored = self._file.read_at(offset, count)
        if len(stored) < count:
            raise CorruptDataError(
                f"{self.files[0]} ends within a tile, after {len(stored)} of {count} bytes; copy it again"
            )
        return stored

    def picture(self, name: str) -> Image:
        """One of the associated images."""
        with tiff.opened(self.files[0]) as (file, _):
            found = next(one for one in file.series if one.name.lower() == name)
            return np.ascontiguousarray(found.asarray()[:, :, :3])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _check_size(path: Path, index: list[tuple[Any, Any]], size_bytes: int) -> None:
    ends = np.concatenate([np.asarray(starts) + np.asarray(counts) for starts, counts in index])
    missing = int((ends > size_bytes).sum())
    if missing:
        raise IncompleteError(
            f"{path} ends before its pixel data: it has {size_bytes:,} of at least {int(ends.max()):,} "
            f"bytes ({missing} of {len(ends)} tiles are missing); copy it again"
        )


def _why_not(page: Any) -> str:
    """Why the tiles of a page cannot be read here; empty if they can."""
    from tifffile import TIFF

    compression, model = int(page.compression), int(page.photometric)
    is_rgb8 = page.dtype == np.uint8 and int(page.samplesperpixel) == 3 and int(page.planarconfig) == 1
    reasons = {
        "is not tiled": not page.is_tiled,
        f"holds {page.samplesperpixel} samples of {page.dtype} per pixel, expected 8-bit RGB": not is_rgb8,
        f"is compressed with an unknown method ({compression})": compression not in TIFF.DECOMPRESSORS,
        "holds YCbCr that is not JPEG": model == _YCBCR and compression not in _JPEGS | {_APERIO_YCBCR},
        f"has the colour model {page.photometric!r}, expected RGB": model not in {_RGB, _YCBCR},
        "is stored rotated": tiff.orientation_of(page) != 1,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")
