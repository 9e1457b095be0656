"""Opening a slide: the readers to try, and one error that names them all."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from histoscope.errors import (
    ConfigError,
    CorruptDataError,
    DatasetNotFoundError,
    HistoscopeError,
    IncompleteError,
    UnknownNameError,
)
from histoscope.images import kinds, tiff
from histoscope.images.resolution import check_mpp
from histoscope.places import NoRangesError, PlaceError, forget, is_remote, place, sampled
from histoscope.slides.patience import told_if_slow
from histoscope.slides.slide import Box, Reader, Slide
from histoscope.slides.staging import Stage
from histoscope.types import Image


def _openslide(path: Path) -> Reader:
    from histoscope.slides.by_openslide import OpenSlideReader

    return OpenSlideReader(path)


def _tiff(path: Path) -> Reader:
    from histoscope.slides.by_tiff import TiffReader

    return TiffReader(path)


def _pydicom(path: Path) -> Reader:
    from histoscope.slides.by_pydicom import DicomReader

    return DicomReader(path)


def _picture(path: Path) -> Reader:
    from histoscope.slides.by_picture import PictureReader

    return PictureReader(path)


READERS: dict[str, Callable[[Path], Reader]] = {
    "openslide": _openslide,
    "tiff": _tiff,
    "pydicom": _pydicom,
    "picture": _picture,
}

AUTOMATIC: dict[str, tuple[str, ...]] = {
    "aperio": ("tiff", "openslide"),
    "generic-tiff": ("tiff", "openslide"),
    "dicom": ("pydicom", "openslide"),
    "other slide": ("openslide",),
    "TIFF": ("tiff", "picture"),
    "DICOM": ("pydicom", "openslide"),
    "picture": ("picture",),
}
"""Readers by OpenSlide's name for the format, or else by its first bytes; the first that works is used."""


IN_PLACE = ("tiff", "pydicom")
"""Readers of remote files; the others get a local copy."""
_SUFFIXES_IN_PLACE = (".svs", ".tif", ".tiff", ".dcm")
_SAMPLE_PX = 64


def open_slide(
    path: str | Path, reader: str = "auto", mpp: float | None = None, *, stage: Stage | None = None
) -> Slide:
    """Open a whole slide image, or a plain image as one.

    Parameters
    ----------
    path : str or Path
        For MIRAX, the ``.mrxs`` file; for DICOM, any file of the series, or its folder. ``s3://bucket/key``,
        and anything else that fsspec knows, is read in place by ranges if it is TIFF or DICOM, otherwise from
        a copy.
    reader : str
        ``auto``, ``openslide``, ``tiff``, ``pydicom`` or ``picture``. By default, tiled TIFF is read through
        its index if that gives the same pixels as OpenSlide, and everything else by OpenSlide, if possible.
    mpp : float, optional
        Micrometres per pixel of level 0, instead of the file's.
    stage : Stage, optional
        Folder for such copies until the slide is closed; by default, a temporary one.

    Returns
    -------
    Slide

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If no reader can open it; the error gives the reason for each.
    ConfigError, UnknownNameError
        If the resolution is not that of a microscope, or the reader is unknown.
    """
    path = _file_of(forget(place(path)))
    if mpp is not None:
        check_mpp(mpp, "mpp")
    check_reader(reader)
    with told_if_slow(path):
        return _elsewhere(path, reader, mpp, stage) if is_remote(path) else _opened(path, reader, mpp)


def _elsewhere(path: Path, reader: str, mpp: float | None, stage: Stage | None) -> Slide:
    """Open a slide in place if a reader can, otherwise a copy that is deleted on closing."""
    try:
        return _opened(path, reader, mpp)
    except IncompleteError:
        raise
    except (CorruptDataError, NoRangesError):
        copy = (stage or Stage.temporary()).take(path)
    try:
        slide = _opened(copy.path, reader, mpp)
    except BaseException as error:
        copy.release()
        if isinstance(error, HistoscopeError) and error.args:
            error.args = (str(error).replace(str(copy.path), str(path)),)
        raise
    return Slide(path, slide.reader_name, slide.reader, mpp, copy.release)


def _opened(path: Path, reader: str, mpp: float | None) -> Slide:
    names = AUTOMATIC[kind_of(path)] if reader == "auto" else (reader,)
    if is_remote(path):
        names = tuple(name for name in names if name in IN_PLACE)
    reasons = []
    for name in names:
        try:
            opened = READERS[name](path)
        except IncompleteError:
            raise
        except HistoscopeError as error:
            reasons.append(f"{name}: {str(error).removeprefix(str(path)).lstrip(': ')}")
            continue
        if name == "tiff" and reader == "auto" and not _agrees(opened, path):
            opened.close()
            reasons.append("tiff: its pixels differ from OpenSlide's")
            continue
        return Slide(path, name, opened, mpp)
    raise CorruptDataError(f"{path} cannot be opened as a slide ({'; '.join(reasons)})")


def is_copied(path: Path, reader: str) -> bool:
    """Whether a slide is remote and, by its suffix, certain to be read from a copy.

    Examples
    --------
    >>> is_copied(place("s3://bucket/a.ndpi"), "auto"), is_copied(place("s3://bucket/a.svs"), "auto")
    (True, False)
    """
    in_place = path.suffix.lower() in _SUFFIXES_IN_PLACE and reader in {"auto", *IN_PLACE}
    return is_remote(path) and not in_place


def check_reader(name: str) -> None:
    """Refuse an unknown reader.

    Raises
    ------
    UnknownNameError
    """
    if name not in {"auto", *READERS}:
        raise UnknownNameError("reader of slides", name, ["auto", *READERS])


def kind_of(path: Path) -> str:
    """Format of a file: a key of `AUTOMATIC`."""
    import openslide

    if is_remote(path):
        _read_index(path)
    with sampled(path) as sample:
        vendor = openslide.OpenSlide.detect_format(sample)
    if vendor:
        return vendor if vendor in AUTOMATIC else "other slide"
    with path.open("rb") as file:
        head = file.read(132)
    if head[128:] == b"DICM":
        return "DICOM"
    return "TIFF" if kinds.kind_of(path) == "TIFF" else "picture"


def _read_index(path: Path) -> None:
    """Read the index of a remote TIFF into the cache; if it has none, a reader reports it."""
    try:
        with tiff.opened(path):
            pass
    except PlaceError:
        raise
    except Exception:  # noqa: BLE001  (a broken file breaks tifffile in many ways)
        return


def _agrees(reader: Reader, path: Path) -> bool:
    """Whether OpenSlide gives the same size and the same pixels.

    It compares the middle, the lower right corner, and the tile with the most bytes: on glass, all decoders
    agree.
    """
    from histoscope.slides.by_openslide import OpenSlideReader
    from histoscope.slides.by_tiff import TiffReader

    one = reader.levels[0]
    side_x, side_y = min(_SAMPLE_PX, one.width), min(_SAMPLE_PX, one.height)
    corners = [((one.width - side_x) // n, (one.height - side_y) // n) for n in (1, 2)]
    if isinstance(reader, TiffReader):
        x, y = reader.busiest()
        corners.append((min(x, one.width - side_x), min(y, one.height - side_y)))
    boxes = [Box(x, y, side_x, side_y) for x, y in corners]
    ours = [_crop_of(reader, box) for box in boxes]
    with sampled(path) as sample:
        try:
            other = OpenSlideReader(sample)
        except CorruptDataError:
            return True  # OpenSlide cannot read it, so there is nothing to compare
        try:
            two = other.levels[0]
            is_same_size = (one.width, one.height) == (two.width, two.height)
            return is_same_size and all(map(partial(_same, other), boxes, ours))
        finally:
            other.close()


def _crop_of(reader: Reader, box: Box) -> Image | None:
    try:
        return reader.crop(box, 0)
    except OSError:
        raise  # the disk is unavailable
    except Exception:  # noqa: BLE001  (a dozen decoders, each with its own)
        return None


def _same(other: Reader, box: Box, ours: Image | None) -> bool:
    """Whether another reader gives the same pixels; if it gives none, there is nothing to compare."""
    try:
        expected = other.crop(box, 0)
    except CorruptDataError:
        return True  # a broken tile is reported when it is read
    return ours is not None and np.array_equal(ours, expected)


def _file_of(path: Path) -> Path:
    """The file itself, or one of the DICOM files of a folder."""
    if not path.exists():
        raise DatasetNotFoundError(f"no slide at {path}")
    if not path.is_dir():
        if path.stat().st_size == 0:
            raise CorruptDataError(f"{path} is empty (0 bytes); copy it again")
        if path.suffix.lower() == ".mrxs" and not (path.with_suffix("") / "Slidedat.ini").is_file():
            raise CorruptDataError(
                f"{path} is a MIRAX slide, whose pixels are in a folder {path.stem} beside it, but there "
                "is none with a Slidedat.ini; copy both"
            )
        return path
    from histoscope.slides.by_pydicom import first_files

    found = list(dict.fromkeys(first_files(path).values()))
    if not found:
        raise ConfigError(f"{path} is a folder without DICOM slides, expected a slide")
    if len(found) > 1:
        names = ", ".join(each.name for each in found[:3])
        raise ConfigError(f"{path} holds {len(found)} slides; give one of them, such as {names}")
    return found[0]
