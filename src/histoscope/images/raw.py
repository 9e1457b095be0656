"""Decoded pixels before colour conversion: numbers as stored, and their meaning."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Raw:
    """Stored numbers of an image, and what its file says of them.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C) array
        Upright as they are stored: `orientation` is not applied yet.
    model : str
        Colour model: "grey", "white is zero", "palette", "rgb", "ycbcr", "cmyk", "cielab" or "icclab".
    alpha : str
        What the channel behind the colours is: "straight", "premultiplied", or "" if there is none or its
        meaning is not said.
    bits : int or None
        Bits of a sample that the file names as used, such as 12 in a 16-bit file; None if it names none.
    palette : (n, 3) uint8, optional
        Colours of the indices.
    icc : bytes
        ICC profile, or empty.
    orientation : int
        1 to 8, as EXIF and TIFF count them.
    is_lossy : bool
        Whether the compression changes numbers.
    """

    pixels: NDArray[Any]
    model: str
    alpha: str = ""
    bits: int | None = None
    palette: NDArray[Any] | None = None
    icc: bytes = b""
    orientation: int = 1
    is_lossy: bool = False
