"""Decoded pixels before colour conversion: numbers as stored, and their meaning."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Raw:
    """Stored numbers of an image, and what its file says of them.

    `pixels` (H, W) or (H, W, C) are as they are stored: `orientation` (1 to 8, as EXIF and TIFF count) is not
    applied yet. `model` is the colour model: "grey", "white is zero", "palette", "rgb", "ycbcr", "cmyk",
    "cielab" or "icclab". `alpha` is the meaning of the channel behind the colours: "straight",
    "premultiplied" or unknown (""). `bits` are the bits of a sample that the file says are used, such as 12
    of 16.
    """

    pixels: NDArray[Any]
    model: str
    alpha: str = ""
    bits: int | None = None
    palette: NDArray[Any] | None = None
    icc: bytes = b""
    orientation: int = 1
    is_lossy: bool = False
