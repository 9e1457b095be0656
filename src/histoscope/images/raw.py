"""Decoded pixels before colour conversion: stored values and their meaning."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Raw:
    """Stored values of an image, and their meaning according to the file.

    `pixels` (H, W) or (H, W, C) are as stored: `orientation` (1 to 8, as in EXIF and TIFF) is not applied
    yet. `model` is the colour model: "grey", "white is zero", "palette", "rgb", "ycbcr", "cmyk", "cielab" or
    "icclab". `alpha` is the meaning of the channel after the colours: "straight", "premultiplied" or unknown
    (""). `bits` is the number of bits per sample that are used according to the file, such as 12 of 16.
    """

    pixels: NDArray[Any]
    model: str
    alpha: str = ""
    bits: int | None = None
    palette: NDArray[Any] | None = None
    icc: bytes = b""
    orientation: int = 1
    is_lossy: bool = False
