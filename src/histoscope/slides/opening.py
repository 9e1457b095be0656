"""From a path to a slide: which readers are tried, and one error that names them all."""

from collections.abc import Callable
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
from histoscope.images import kinds
from histoscope.images.resolution import check_mpp
from histoscope.slides.patience import told_if_slow
from histoscope.slides.slide import Box, Reader, Slide


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
"""Readers by what OpenSlide says that a file is, or else its first bytes; the first that can is taken."""


_SAMPLE_PX = 64


def open_slide(path: str | Path, reader: str = "auto", mpp: float | None = None) -> Slide:
    """Open a whole slide image, or a plain image as one.

    Parameters
    ----------
    path : str or Path
        Of MIRAX the ``.mrxs`` file; of DICOM any file of the series, or its folder.
    reader : str
        ``auto``, ``openslide``, ``tiff``, ``pydicom`` or ``picture``. By itself, tiled TIFF is read through
        its index where that gives the same pixels as OpenSlide, and the rest by OpenSlide, where it can.
    mpp : float, optional
        Micrometres per pixel of level 0, in place of what the file says.

    Returns
    -------
    Slide

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If no reader can open it; the error says why each of them cannot.
    ConfigError, UnknownNameError
        If the resolution is none of a microscope, or the reader is not known.
    """
    path = _file_of(Path(path))
    if mpp is not None:
        check_mpp(mpp, "mpp")
    check_reader(reader)
    with told_if_slow(path):
        return _opened(path, reader, mpp)


def _opened(path: Path, reader: str, mpp: float | None) -> Slide:
    names = AUTOMATIC[kind_of(path)] if reader == "auto" else (reader,)
    reasons = []
    for name in names:
        try:
            opened = READERS[name](path)
        except IncompleteError:
            raise
        except HistoscopeError as error:
            reasons.append(f"{name}: {str(error).removeprefix(str(path)).lstrip(': ')}")
            continue
        if name == "tiff" and "openslide" in names and not _agrees(opened, path):
            opened.close()
            reasons.append("tiff: its pixels are not those of OpenSlide")
            continue
        return Slide(path, name, opened, mpp)
    raise CorruptDataError(f"{path} cannot be opened as a slide ({'; '.join(reasons)})")


def check_reader(name: str) -> None:
    """Refuse a reader that is not known.

    Raises
    ------
    UnknownNameError
    """
    if name not in {"auto", *READERS}:
        raise UnknownNameError("reader of slides", name, ["auto", *READERS])


def kind_of(path: Path) -> str:
    """What a file is: a key of `AUTOMATIC`."""
    import openslide

    vendor = openslide.OpenSlide.detect_format(path)
    if vendor:
        return vendor if vendor in AUTOMATIC else "other slide"
    with path.open("rb") as file:
        head = file.read(132)
    if head[128:] == b"DICM":
        return "DICOM"
    return "TIFF" if kinds.kind_of(path) == "TIFF" else "picture"


def _agrees(reader: Reader, path: Path) -> bool:
    """Whether OpenSlide gives the same size and the same pixels.

    Compared are the middle, the far corner, and where most is stored: on glass, all decoders agree.
    """
    from histoscope.slides.by_openslide import OpenSlideReader
    from histoscope.slides.by_tiff import TiffReader

    try:
        other = OpenSlideReader(path)
    except CorruptDataError:
        return True  # OpenSlide cannot, so there is nothing to agree with
    try:
        one, two = reader.levels[0], other.levels[0]
        if (one.width, one.height) != (two.width, two.height):
            return False
        side_x, side_y = min(_SAMPLE_PX, one.width), min(_SAMPLE_PX, one.height)
        places = [((one.width - side_x) // n, (one.height - side_y) // n) for n in (1, 2)]
        if isinstance(reader, TiffReader):
            x, y = reader.busiest()
            places.append((min(x, one.width - side_x), min(y, one.height - side_y)))
        return all(_same(reader, other, Box(x, y, side_x, side_y)) for x, y in places)
    finally:
        other.close()


def _same(reader: Reader, other: Reader, box: Box) -> bool:
    """Whether two readers give the same pixels; where the other gives none, there is nothing to compare."""
    try:
        expected = other.crop(box, 0)
    except CorruptDataError:
        return True  # a broken tile is told when it is read
    try:
        return np.array_equal(reader.crop(box, 0), expected)
    except OSError:
        raise  # the disk is gone
    except Exception:  # noqa: BLE001  (a dozen decoders, each with its own)
        return False


def _file_of(path: Path) -> Path:
    """The file itself, or one of the DICOM files of a folder."""
    if not path.exists():
        raise DatasetNotFoundError(f"no slide at {path}")
    if not path.is_dir():
        if path.stat().st_size == 0:
            raise CorruptDataError(f"{path} is empty (0 bytes); copy it again")
        if path.suffix.lower() == ".mrxs" and not (path.with_suffix("") / "Slidedat.ini").is_file():
            raise CorruptDataError(
                f"{path} is a MIRAX slide, whose pixels lie in a folder {path.stem} beside it, and there is "
                "none with a Slidedat.ini; copy both"
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
