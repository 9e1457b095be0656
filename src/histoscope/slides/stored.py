"""Tiles as stored in a slide: JPEG that a browser can show without decoding here."""

import struct
from typing import Protocol, runtime_checkable

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_IS_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""Adobe marker for three channels of red, green and blue."""


@runtime_checkable
class Tiled(Protocol):
    """A reader whose levels are grids of tiles."""

    def tile_size(self, level: int) -> tuple[int, int] | None:
        """Width and height of the tiles of a level; None if they do not form a regular grid."""
        ...

    def jpeg_tile(self, level: int, column: int, row: int) -> bytes | None:
        """A tile as stored, as a complete JPEG; None if it is missing or not a JPEG."""
        ...


def whole_jpeg(stored: bytes, tables: bytes | None = None, *, is_rgb: bool = False) -> bytes | None:
    r"""A standalone JPEG from the data that a TIFF stores for a tile.

    Parameters
    ----------
    stored : bytes
    tables : bytes, optional
        Tables shared by all tiles, themselves a JPEG without a picture.
    is_rgb : bool
        Whether the channels are red, green and blue, which the JPEG itself does not tell.

    Returns
    -------
    bytes or None
        None if `stored` is not a JPEG.

    Examples
    --------
    >>> whole_jpeg(b"\xff\xd8picture\xff\xd9", b"\xff\xd8tables\xff\xd9")
    b'\xff\xd8tablespicture\xff\xd9'
    """
    if not stored.startswith(_SOI):
        return None
    shared = tables.removeprefix(_SOI).removesuffix(_EOI) if tables else b""
    return _SOI + (_IS_RGB if is_rgb else b"") + shared + stored[len(_SOI) :]


def size_of(jpeg: bytes) -> tuple[int, int] | None:
    """Width and height in a JPEG's header; None if there are none.

    Examples
    --------
    >>> import imagecodecs, numpy as np
    >>> size_of(imagecodecs.jpeg8_encode(np.zeros((16, 24, 3), np.uint8)))
    (24, 16)
    """
    at = 2
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = struct.unpack(">BH", jpeg[at + 1 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", jpeg[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None
