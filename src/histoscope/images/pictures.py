"""PNG, JPEG, BMP, GIF, WebP and JPEG 2000, through Pillow; PNG of 16 bits through imagecodecs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from histoscope.errors import CorruptDataError
from histoscope.images import limits
from histoscope.images.raw import Raw

_MOST = {"PNG": limits.DEFLATE, "JPEG": limits.JPEG, "BMP": limits.BMP, "GIF": limits.LZW}
_LOSSY = frozenset({"JPEG", "WebP", "JPEG 2000"})
_MODELS = {"P": "palette", "RGB": "rgb", "RGBA": "rgb", "CMYK": "cmyk", "YCbCr": "ycbcr"}
_ORIENTATION = 0x0112


@contextmanager
def opened(path: Path, kind: str) -> Iterator[Any]:
    """Open a picture of that kind with Pillow; no pixel is decoded yet.

    The class of the format is called directly, since `PIL.Image.open` refuses more than 179 megapixels; here
    sizes are checked against the file's bytes and the machine's memory.
    """
    from importlib import import_module

    name = {"JPEG": "Jpeg", "PNG": "Png", "BMP": "Bmp", "GIF": "Gif", "JPEG 2000": "Jpeg2K"}.get(kind, kind)
    plugin = getattr(import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")
    with path.open("rb") as file, plugin(file) as picture:
        if kind == "PNG" and "exif" not in picture.info:
            picture.info["exif"] = _late_exif(path)
        yield picture


def read(path: Path, kind: str, *, colour: bool, least_px: int | None = None) -> Raw:
    """Decode a picture of that kind; without `colour` a palette's indices stay indices.

    JPEG is decoded at a half, a quarter or an eighth if its sides still have `least_px` pixels.
    """
    with opened(path, kind) as picture:
        if kind == "JPEG" and least_px is not None:
            picture.draft(None, (least_px, least_px))
        depth, is_grey = _png_depth(path) if kind == "PNG" else (8, False)
        _check(picture, path, kind, max(depth, 8))
        about: dict[str, Any] = {
            "icc": picture.info.get("icc_profile") or b"",
            "orientation": orientation_of(picture),
            "is_lossy": kind in _LOSSY,
        }
        if depth == 16:  # Pillow would drop half the bits
            import imagecodecs

            pixels = np.asarray(imagecodecs.png_decode(path.read_bytes()))
            channels = pixels.shape[2] if pixels.ndim == 3 else 1
            model, alpha = "rgb" if channels > 2 else "grey", "straight" if channels in {2, 4} else ""
            return Raw(pixels, model, alpha, **about)
        picture.load()
        if colour and (picture.has_transparency_data or picture.mode in {"PA", "La", "RGBa"}):
            return Raw(np.asarray(picture.convert("RGBA")), "rgb", "straight", **about)
        if colour and picture.mode == "P":
            return Raw(np.asarray(picture.convert("RGB")), "rgb", **about)
        pixels = np.asarray(picture)
        if not colour and is_grey and depth in {2, 4}:  # Pillow spreads them over 0 to 255
            pixels = pixels // (255 // (2**depth - 1))
        return Raw(pixels, _MODELS.get(picture.mode, "grey"), **about)


def exif_of(picture: Any) -> Mapping[int, Any]:
    """Tags of EXIF and XMP; none if they cannot be read. No pixel is decoded."""
    from PIL import Image as Pillow

    try:
        return Pillow.Image.getexif(picture)  # that of the class for PNG would decode all
    except Exception:  # noqa: BLE001  parsers of broken EXIF raise dozens of types
        return {}


def orientation_of(picture: Any) -> int:
    """Orientation that EXIF or XMP gives, 1 to 8."""
    value = exif_of(picture).get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _check(picture: Any, path: Path, kind: str, depth: int) -> None:
    width, height = picture.size
    pixel_bytes = max(len(picture.getbands()), 1)
    if kind in _MOST:
        decoded = float(height) * width * (pixel_bytes if picture.mode not in {"1", "P", "L"} else 1 / 8)
        limits.check_stored(path, (height, width), decoded, path.stat().st_size, _MOST[kind])
    limits.check_memory(path, (height, width), pixel_bytes * depth / 8)
    n_frames = getattr(picture, "n_frames", 1)
    if n_frames > 1:
        raise CorruptDataError(
            f"{path} is an animation of {n_frames} frames, expected one picture; save the frame that you want"
        )


def _late_exif(path: Path) -> bytes:
    """Return the EXIF of a PNG, which may come after the pixels."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[:4])
            if head[4:] == b"eXIf":
                return file.read(size)
            file.seek(size + 4, 1)
    return b""


def _png_depth(path: Path) -> tuple[int, bool]:
    """Bits of a sample, and whether it is grey without alpha."""
    with path.open("rb") as file:
        head = file.read(26)
    return head[24], head[25] == 0
