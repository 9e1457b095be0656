"""Decoding of image files of every format, with one error for files that cannot be decoded."""

import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from histoscope.errors import CorruptDataError, DataError, HistoscopeError
from histoscope.images import guests, kinds, limits, pictures, tiff
from histoscope.images.raw import Raw
from histoscope.places import PlaceError
from histoscope.types import Image

T = TypeVar("T")
_DECODERS = r"(PIL|tifffile)\b"


def stored(path: Path, *, colour: bool, least_px: int | None = None) -> Raw:
    """Decode the values of a file as stored.

    Without `colour` palettes are not looked up: ids of label maps are indices. JPEG may be decoded at a
    fraction of its size, down to sides of `least_px`.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError
        If there is no such file, it cannot be decoded completely, or its format or colour model is not
        supported.
    """
    return _guarded(
        path,
        lambda: tiff.read(path),
        lambda kind: pictures.read(path, kind, colour=colour, least_px=least_px),
        lambda pixels, _: Raw(pixels, "rgb"),
    )


def header(
    path: Path,
    of_tiff: Callable[[Any, Any], T],
    of_picture: Callable[[Any], T],
    of_guest: Callable[[Image, float | None], T],
) -> T:
    """Query a file's header without decoding a pixel (except by third-party readers).

    `of_tiff` gets the tifffile file and the series of its main image, `of_picture` the Pillow picture,
    `of_guest` the pixels and resolution from a third-party reader. Raises like `stored`.
    """

    def ask_tiff() -> T:
        with tiff.opened(path) as (file, series):
            return of_tiff(file, series)

    def ask_picture(kind: str) -> T:
        with pictures.opened(path, kind) as picture:
            return of_picture(picture)

    return _guarded(path, ask_tiff, ask_picture, of_guest)


def size_of(path: str | Path) -> tuple[int, int]:
    """Height and width of an image file as `read_image` gives it, without decoding a pixel.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError        As for `stored`.
    """
    path = Path(path)
    height, width, orientation = header(
        path,
        lambda _, series: (
            int(series.keyframe.imagelength),
            int(series.keyframe.imagewidth),
            tiff.orientation_of(series.keyframe),
        ),
        lambda picture: (picture.height, picture.width, pictures.orientation_of(picture)),
        lambda pixels, _: (*pixels.shape[:2], 1),
    )
    return (width, height) if orientation >= 5 else (height, width)


def orientation_of(path: str | Path) -> int:
    """Orientation of an image file from EXIF or TIFF: 1 (upright as stored) to 8.

    `read_image` applies it.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError        As for `stored`.
    """
    return header(
        Path(path),
        lambda _, series: tiff.orientation_of(series.keyframe),
        pictures.orientation_of,
        lambda *_: 1,
    )


def turned_upright(paths: Iterable[Path]) -> list[Path]:
    """Images whose orientation is not upright, and is applied by `read_image`; broken files are left out."""
    turned = []
    for path in paths:
        with suppress(HistoscopeError):
            turned += [path] if orientation_of(path) != 1 else []
    return turned


def profile_of(path: str | Path) -> bytes:
    """ICC profile of an image's RGB, to keep in derived images; empty if there is none.

    Profiles of CMYK and grey are left out, since `read_image` returns RGB.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError        As for `stored`.
    """
    profile = header(
        Path(path),
        lambda _, series: bytes(series.keyframe.iccprofile or b""),
        lambda picture: picture.info.get("icc_profile") or b"",
        lambda *_: b"",
    )
    return profile if profile[16:20] == b"RGB " else b""


def check_labels_fit(image: Path, labels: Path) -> None:
    """Raise if an image has an orientation tag that its label map may ignore.

    `read_image` applies the orientation, as viewers do. If that swaps height and width, the shape of the
    label map shows which one it fits.

    Raises
    ------
    DataError
        If that is unknown, or the label map fits the image as stored.
    DatasetNotFoundError, CorruptDataError        As for `stored`.
    """
    turn = orientation_of(image)
    if turn == 1 or orientation_of(labels) == turn:
        return
    shown, drawn = size_of(image), size_of(labels)
    if drawn == shown and turn >= 5 and shown[0] != shown[1]:
        return
    fits = "fits the image as stored" if drawn != shown else "may have been drawn on the image as stored"
    raise DataError(
        f"{image} asks viewers to rotate it (orientation {turn} in EXIF or TIFF), but its label map "
        f"{labels} {fits}; save the image rotated and without the tag, so that the two match"
    )


def _ignore_tag_warnings() -> None:
    """Silence warnings of decoders about tags they do not know.

    `warnings.catch_warnings` could do so for one file, but not while other threads read as well.
    """
    known = warnings.filters[0] if warnings.filters else None
    if known is None or getattr(known[3], "pattern", "") != _DECODERS:
        warnings.filterwarnings("ignore", category=UserWarning, module=_DECODERS)


def _guarded(
    path: Path,
    of_tiff: Callable[[], T],
    of_picture: Callable[[str], T],
    of_guest: Callable[[Image, float | None], T],
) -> T:
    """Call the decoder of a file's format; the many errors of decoders become one."""
    reason = kinds.unreadable(path)
    if reason:
        raise CorruptDataError(f"{path} cannot be decoded as an image: {reason}")
    kind, reader = kinds.kind_of(path), guests.reader_of(path)
    _ignore_tag_warnings()
    try:
        if reader is not None:
            return of_guest(*guests.read(path, reader))
        if not kind:
            raise limits.damaged(path, "its first bytes are not those of an image")
        return of_tiff() if kind == "TIFF" else of_picture(kind)
    except (HistoscopeError, PlaceError):
        raise
    except MemoryError as error:
        raise limits.too_large(path, "there is not enough memory") from error
    except Exception as error:
        raise limits.damaged(path, error) from error
