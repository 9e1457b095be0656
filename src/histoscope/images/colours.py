"""From stored values to 8-bit RGB, as viewers show it."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import CorruptDataError
from histoscope.images.raw import Raw
from histoscope.types import Image

_CHANNELS = {"rgb": 3, "ycbcr": 3, "cielab": 3, "icclab": 3, "cmyk": 4}
_LIKELY_BITS = 14


def to_rgb(raw: Raw, path: Path, *, ignore_alpha: bool = False) -> Image:
    """Convert stored values to (H, W, 3) uint8 RGB; transparent parts become white, or keep their colours.

    Raises
    ------
    CorruptDataError
        If the values are not colours of 8 or 16 bits, if not all of 16 bits are used and their number is not
        given, or if a picture is fully transparent.
    """
    pixels = raw.pixels if raw.pixels.ndim == 3 else raw.pixels[:, :, None]
    count = _CHANNELS.get(raw.model, 1)
    if pixels.shape[2] < count or (count == 1 and pixels.shape[2] > 2) or 0 in pixels.shape:
        raise CorruptDataError(
            f"{path} holds an array of shape {pixels.shape} labelled {raw.model}, expected {count} "
            "channels, plus at most one of alpha; save it as RGB"
        )
    pixels = _unsigned(pixels, raw, path)
    stored = pixels[:, :, :count]
    if raw.model == "palette" and raw.palette is not None:
        colours, bits = _looked_up(stored[:, :, 0], raw.palette, path), 8
    else:
        bits = _bits_used(stored, raw, path)
        colours = _as_rgb(_scaled(stored, bits), raw)
    if raw.alpha and not ignore_alpha:
        colours = _on_white(colours, _scaled(pixels[:, :, count : count + 1], bits), raw.alpha, path)
    return np.ascontiguousarray(colours)


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Rotate and flip an image as its orientation (1 to 8, as in EXIF and TIFF) asks.

    Examples
    --------
    >>> upright(np.array([[1, 2], [3, 4]]), 6).tolist()  # first row is the right side, from top to bottom
    [[3, 1], [4, 2]]
    """
    turned = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[:, ::-1],
        7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
        8: lambda a: a.swapaxes(0, 1)[::-1],
    }
    return np.ascontiguousarray(turned[orientation](pixels)) if orientation in turned else pixels


def _unsigned(pixels: NDArray[Any], raw: Raw, path: Path) -> NDArray[Any]:
    """Return the values as bool, uint8 or uint16."""
    is_signed_lab = raw.model == "cielab" and pixels.dtype in (np.int8, np.int16)
    if is_signed_lab:
        return pixels.view(np.uint8 if pixels.itemsize == 1 else np.uint16)
    if pixels.dtype not in (np.bool_, np.uint8, np.uint16):
        raise CorruptDataError(
            f"{path} holds {pixels.dtype} pixels, expected 8 or 16 bits per channel; save it with 8 bits"
        )
    return pixels


def _bits_used(pixels: NDArray[Any], raw: Raw, path: Path) -> int:
    """Bits of a sample that are used, as given in the file; by default all."""
    stored = 1 if pixels.dtype == np.bool_ else 8 * pixels.itemsize
    if raw.model in {"cielab", "icclab"}:
        return stored
    bits, top = raw.bits or stored, int(pixels.max())
    if top.bit_length() > bits:
        raise CorruptDataError(
            f"{path} says that it uses {bits} bits, but its values go up to {top}; correct that, or save "
            "it with 8 bits"
        )
    is_judged = raw.bits is None and stored == 16 and raw.model in {"grey", "rgb"}
    if is_judged and 0 < top.bit_length() <= _LIKELY_BITS:
        raise CorruptDataError(
            f"{path} has 16 bits per channel, but its values end at {top}, as if only "
            f"{max(top.bit_length(), 8)} bits were used, and the number of bits used is not given: add "
            "the TIFF tag MaxSampleValue (or SignificantBits in OME), or save it with 8 bits"
        )
    return bits


def _scaled(pixels: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Scale values of so many bits to 8."""
    if bits < 8:
        pixels = np.rint(pixels * (255.0 / (2**bits - 1)))
    elif bits > 8:
        pixels = pixels >> (bits - 8)
    return np.asarray(pixels, np.uint8)


def _as_rgb(stored: NDArray[np.uint8], raw: Raw) -> NDArray[np.uint8]:
    if raw.model == "rgb":
        return stored
    if raw.model in {"grey", "white is zero"}:
        grey = 255 - stored if raw.model == "white is zero" else stored
        return np.repeat(grey, 3, axis=2)
    if raw.model == "ycbcr":
        return ycbcr_to_rgb(stored)
    if raw.model == "cmyk":
        return _through_profile(np.ascontiguousarray(stored), "CMYK", raw.icc)
    if raw.model == "icclab":  # a and b begin at -128; Pillow's are signed, as CIE Lab's in TIFF
        stored = stored ^ np.array([0, 128, 128], np.uint8)
    return _through_profile(stored, "LAB", b"")


def ycbcr_to_rgb(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert YCbCr of JPEG to RGB, bit for bit as OpenSlide does.

    Parameters
    ----------
    stored : (H, W, 3) uint8
        Y, Cb and Cr, in the whole range.

    Returns
    -------
    (H, W, 3) uint8

    References
    ----------
    .. [1] ITU-T T.871 (JFIF), with constants of five digits.

    Examples
    --------
    >>> ycbcr_to_rgb(np.array([[[128, 128, 128], [76, 85, 255]]], np.uint8)).tolist()
    [[[128, 128, 128], [254, 0, 0]]]
    """
    red, green, blue = _chroma()
    y, cb, cr = (stored[:, :, k] for k in range(3))
    mixed = np.stack([red[cr], green[cb, cr], blue[cb]], axis=2) + y[:, :, None].astype(np.int16)
    return mixed.clip(0, 255).astype(np.uint8)


@cache
def _chroma() -> tuple[NDArray[np.int16], ...]:
    """Chroma added to the luma: red by Cr, green by both, blue by Cb."""
    steps = np.arange(-128, 128)
    green = (-34414 * steps[:, None] - 71414 * steps + 50_000) // 100_000

    def rounded(share: int) -> NDArray[np.int16]:  # halves away from zero; of green, OpenSlide rounds them up
        return np.asarray(np.sign(steps) * ((share * np.abs(steps) + 50_000) // 100_000), np.int16)

    return rounded(140200), green.astype(np.int16), rounded(177200)


def _through_profile(stored: NDArray[np.uint8], mode: str, icc: bytes) -> NDArray[np.uint8]:
    """Convert CMYK or Lab to sRGB, with the embedded profile if there is one."""
    import io

    from PIL import Image as Pillow
    from PIL import ImageCms

    picture = Pillow.frombytes(mode, (stored.shape[1], stored.shape[0]), stored.tobytes())
    if mode == "CMYK" and icc[16:20] != b"CMYK":
        return np.asarray(picture.convert("RGB"))
    source: Any = ImageCms.createProfile("LAB") if mode == "LAB" else io.BytesIO(icc)
    try:
        done = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError:  # a broken profile
        return np.asarray(picture.convert("RGB"))
    return np.asarray(done)


def _looked_up(indices: NDArray[Any], palette: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    if int(indices.max()) >= len(palette):
        raise CorruptDataError(
            f"{path} uses colour {int(indices.max())} of a palette of {len(palette)}; replace or remove it"
        )
    return np.asarray(palette[indices])


def _on_white(
    colours: NDArray[np.uint8], alpha: NDArray[np.uint8], kind: str, path: Path
) -> NDArray[np.uint8]:
    """Composite an image onto white, like glass."""
    if not alpha.any() and (kind == "straight" and (colours != colours[:1, :1]).any()):
        raise CorruptDataError(
            f"{path} is transparent everywhere (its alpha is 0), so its picture would not be visible; "
            "save it without alpha"
        )
    if alpha.min(initial=255) == 255:
        return colours
    share = alpha.astype(np.float32) / 255.0
    seen = colours * share if kind == "straight" else colours.astype(np.float32)
    return np.rint(np.minimum(seen + 255.0 * (1.0 - share), 255.0)).astype(np.uint8)
