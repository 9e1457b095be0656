"""Reading and writing files: whole or not at all, and a clear error for what cannot be decoded."""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import CorruptDataError, DatasetNotFoundError, ShapeError
from histoscope.images import kinds
from histoscope.types import Image, Labels

IMAGE_SUFFIXES = kinds.IMAGE_SUFFIXES


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` only if the block ends well.

    A crash, a full disk or Ctrl-C leaves the old file, or none, but never half a file.

    Examples
    --------
    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with whole(out) as temporary:
    ...     _ = temporary.write_text("done")
    >>> out.read_text()
    'done'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_image(path: str | Path, *, ignore_alpha: bool = False) -> Image:
    """Read an image file as RGB.

    Greyscale, palette, CMYK and RGBA files become RGB (transparent parts become white, like glass);
    16-bit files are scaled to 8 bits.

    Parameters
    ----------
    path : str or Path
        PNG, JPEG, TIFF or BMP.
    ignore_alpha : bool
        Take the colours under transparent parts instead of white, for files whose fourth channel means
        nothing.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If it cannot be decoded to the end.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(f"no image at {path}; check the path")
    try:
        pixels = _decode(path, colour=True)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise dozens of types on broken files
        raise CorruptDataError(
            f"{path} cannot be decoded as an image ({error}); replace or remove it"
        ) from error
    if ignore_alpha and pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = pixels[:, :, :3]
    return _to_rgb(pixels, path)


def read_labels(path: str | Path) -> Labels:
    """Read a label map (8- or 16-bit PNG, or TIFF up to 32 bits).

    Returns
    -------
    (H, W) int32

    Raises
    ------
    DatasetNotFoundError, CorruptDataError
        As `read_image`.
    ShapeError
        If the file holds more than one channel, or numbers that are no ids.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(f"no label map at {path}; check the path")
    try:
        pixels = _decode(path, colour=False)
    except MemoryError:
        raise
    except Exception as error:
        raise CorruptDataError(
            f"{path} cannot be decoded as a label map ({error}); replace or remove it"
        ) from error
    if pixels.ndim != 2:
        raise ShapeError(f"{path}: label map has shape {pixels.shape}, expected one channel of integers")
    if pixels.dtype.kind not in "bui":
        raise ShapeError(f"{path}: label map holds {pixels.dtype}, expected whole numbers")
    _check_ids(pixels, 2**31 - 1, f"{path}: expected ids from 0 to 2147483647")
    return pixels.astype(np.int32)


def write_image(path: str | Path, image: Image) -> None:
    """Write an RGB image; the suffix chooses the format (JPEG at quality 95)."""
    if Path(path).suffix.lower() == ".png":
        write_png(path, image)
        return
    from PIL import Image as Pillow

    with whole(path) as temporary:
        options: dict[str, Any] = (
            {"quality": 95, "subsampling": 0} if temporary.suffix.lower() in {".jpg", ".jpeg"} else {}
        )
        Pillow.fromarray(np.ascontiguousarray(image)).save(temporary, **options)


def write_png(path: str | Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write grey or RGB pixels of 8 or 16 bits as PNG.

    OpenCV's encoder takes a third of Pillow's time, and its files of tissue are 6 % larger.

    Parameters
    ----------
    path : str or Path
    pixels : (H, W) or (H, W, 3) uint8 or uint16

    Examples
    --------
    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp()) / "a.png"
    >>> write_png(out, np.full((4, 5, 3), (200, 100, 150), np.uint8))
    >>> read_image(out)[0, 0].tolist()
    [200, 100, 150]
    """
    import cv2

    _, encoded = cv2.imencode(".png", pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    with whole(path) as temporary:
        temporary.write_bytes(encoded.data)


def write_labels(path: str | Path, labels: Labels) -> None:
    """Write a label map as PNG (16 bits) or TIFF (32 bits).

    Raises
    ------
    ShapeError
        If an id is negative, or does not fit in 16 bits and the suffix is PNG.
    """
    path = Path(path)
    _check_ids(labels, 2**31 - 1, f"cannot write {path}: expected ids of 0 and above")
    if path.suffix.lower() in {".tif", ".tiff"}:
        import tifffile

        with whole(path) as temporary:
            tifffile.imwrite(temporary, labels.astype(np.int32), compression="zlib")
        return
    _check_ids(labels, 65535, f"they do not fit in a 16-bit PNG; write {path.stem}.tif instead")
    write_png(path, labels.astype(np.uint16))


def _decode(path: Path, *, colour: bool) -> NDArray[Any]:
    if path.suffix.lower() in {".tif", ".tiff"}:
        import tifffile

        return np.asarray(tifffile.imread(path))
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(path.read_bytes())) as picture:
        picture.load()
        if colour and picture.mode in {"P", "L", "LA", "PA", "RGB"} and picture.has_transparency_data:
            return np.asarray(picture.convert("RGBA"))
        if colour and picture.mode in {"P", "CMYK", "YCbCr", "LAB", "HSV"}:
            return np.asarray(picture.convert("RGB"))
        return np.asarray(picture)  # of a palette these are the indices: the ids, in a label map


def _corrupt(path: Path, kind: str, error: Exception) -> CorruptDataError:
    return CorruptDataError(f"{path} cannot be decoded as {kind} ({error}); replace or remove it")


def _check_ids(labels: NDArray[Any], top: int, advice: str) -> None:
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if low < 0 or high > top:
        raise ShapeError(f"label ids run from {low} to {high}; {advice}")


def _to_rgb(pixels: NDArray[Any], path: Path) -> Image:
    if pixels.ndim == 3 and pixels.shape[0] in {3, 4} and pixels.shape[2] not in {3, 4}:
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[2] not in {3, 4} or 0 in pixels.shape:
        raise CorruptDataError(
            f"{path} holds an array of shape {pixels.shape}, expected (H, W), (H, W, 3) or (H, W, 4)"
        )
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype != np.uint8:
        raise CorruptDataError(f"{path} holds {pixels.dtype} pixels, expected 8 or 16 bits a channel")
    if pixels.shape[2] == 4:
        alpha = pixels[:, :, 3:].astype(np.float32) / 255.0
        blended = pixels[:, :, :3].astype(np.float32) * alpha + 255.0 * (1.0 - alpha)
        pixels = np.rint(blended).astype(np.uint8)
    return np.ascontiguousarray(pixels, dtype=np.uint8)
