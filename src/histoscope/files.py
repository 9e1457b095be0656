"""Reading images and label maps; writing files atomically."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ConfigError, CorruptDataError, ShapeError
from histoscope.images import colours, kinds, reading, writing
from histoscope.types import Image, Labels

IMAGE_SUFFIXES = kinds.IMAGE_SUFFIXES
_SUFFIX = 16
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Write a file atomically: a temporary path that is renamed to `path` if the block succeeds.

    A crash, a full disk or Ctrl-C leaves the old file, or none, but never half a file.

    Raises
    ------
    OSError
        If the disk is full, whatever the writer calls it, or the folder cannot be written; it names `path`.

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
    # A short name: appended to a long file name, a longer one could exceed the limit.
    temporary = path.parent / f".{secrets.token_hex(8)}{path.suffix[:_SUFFIX]}"
    try:
        temporary.touch(exist_ok=False)  # with the permissions that new files get here
        yield temporary
        if path.exists():
            shutil.copymode(path, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # so that a power cut leaves the old file or the new
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        is_unnamed = error.filename is None and error.errno in NO_ROOM
        if is_unnamed or error.filename == str(temporary):  # a name that the user has never seen
            error.filename = str(path)
        raise
    except Exception as error:  # writers in other languages (safetensors) hide a full disk in the words
        code = next((code for code in NO_ROOM if os.strerror(code) in str(error)), None)
        if code is None:
            raise
        raise OSError(code, os.strerror(code), str(path)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush a new directory entry to the disk, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def require_writable(out: str | Path, *, file: bool = False) -> None:
    """Refuse an output path that cannot be written, before any work; nothing is created.

    Parameters
    ----------
    out : str or Path
        The folder to write to.
    file : bool
        Whether `out` is a file to write, not a folder.

    Raises
    ------
    ConfigError
        The message says what is in the way.
    """
    out = Path(out).absolute()
    if file and out.is_dir():
        raise ConfigError(f"cannot write to {out}: it is a folder; give the name of a file in it")
    if file:
        out = out.parent
    there = next(place for place in (out, *out.parents) if place.exists())
    if not there.is_dir():
        raise ConfigError(f"cannot write to {out}: {there} is a file; choose a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot write to {out}: {there} is read-only; choose another place")


def read_image(path: str | Path, *, ignore_alpha: bool = False, least_px: int | None = None) -> Image:
    """Read an image file as RGB.

    The format is recognised from the first bytes. Any colour model becomes RGB (transparent parts become
    white, like glass), 16 bits are scaled to 8 as the file specifies, and an image that asks to be rotated is
    rotated. Of a slide, the finest level is read.

    Parameters
    ----------
    path : str or Path
        PNG, JPEG, TIFF, BMP, WebP, JPEG 2000 or GIF; Aperio, Hamamatsu, Leica, Philips or OME TIFF.
    ignore_alpha : bool
        Take the colours under transparent parts instead of white, for files whose fourth channel means
        nothing.
    least_px : int, optional
        JPEG may be decoded at a half, a quarter or an eighth, if its sides still have at least this many
        pixels.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If it cannot be decoded completely, has a format or colour model that is not supported, or does not
        fit in memory.
    """
    path = Path(path)
    raw = reading.stored(path, colour=True, least_px=least_px)
    image = colours.to_rgb(raw, path, ignore_alpha=ignore_alpha)
    return colours.upright(image, raw.orientation)


def read_labels(path: str | Path) -> Labels:
    """Read a label map (8- or 16-bit PNG, or TIFF up to 32 bits).

    Returns
    -------
    (H, W) int32

    Raises
    ------
    DatasetNotFoundError, CorruptDataError
        As for `read_image`.
    ShapeError
        If the file holds more than one channel, or numbers that are not ids.
    """
    path = Path(path)
    raw = reading.stored(path, colour=False)
    pixels = raw.pixels
    if raw.is_lossy:
        raise CorruptDataError(
            f"{path} cannot be read as a label map: JPEG and other lossy compressions change ids; save label "
            "maps as PNG or TIFF"
        )
    if pixels.ndim != 2:
        raise ShapeError(
            f"{path}: the label map has shape {pixels.shape} ({raw.model}), expected one channel of "
            "integers; save the ids as grey PNG or TIFF"
        )
    if pixels.dtype.kind not in "bui":
        raise ShapeError(
            f"{path}: the label map holds {pixels.dtype}, expected whole numbers; save it as integers"
        )
    _check_ids(pixels, 2**31 - 1, f"{path}: expected ids from 0 to 2147483647")
    return colours.upright(pixels.astype(np.int32), raw.orientation)


def write_image(path: str | Path, image: Image, *, mpp: float | None = None, icc: bytes = b"") -> None:
    """Write an RGB image; the suffix chooses the format (JPEG at quality 95).

    Parameters
    ----------
    path : str or Path
        PNG, JPEG, TIFF or BMP.
    image : (H, W, 3) uint8
    mpp : float, optional
        Micrometres per pixel, for `histoscope.images.resolution.mpp_of` and other programs to read.
    icc : bytes
        ICC profile; BMP cannot store one.

    Raises
    ------
    ConfigError
        If the suffix is not that of a format that can be written.

    Examples
    --------
    >>> import tempfile
    >>> from histoscope.images.resolution import mpp_of
    >>> out = Path(tempfile.mkdtemp()) / "a.tif"
    >>> write_image(out, np.zeros((4, 5, 3), np.uint8), mpp=0.25)
    >>> mpp_of(out)
    0.25
    """
    with whole(path) as temporary:
        writing.save(temporary, image, mpp=mpp, icc=icc)


def write_png(path: str | Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write grey or RGB pixels of 8 or 16 bits as PNG.

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
    with whole(path) as temporary:
        writing.save(temporary, pixels)


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


def _check_ids(labels: NDArray[Any], top: int, advice: str) -> None:
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if low < 0 or high > top:
        raise ShapeError(f"label ids run from {low} to {high}; {advice}")
