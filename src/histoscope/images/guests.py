"""Readers from other packages for further image formats, by suffix."""

from pathlib import Path
from typing import Protocol

import numpy as np

from histoscope import plugins
from histoscope.errors import ConfigError, CorruptDataError
from histoscope.types import Image

GROUP = "histoscope.image_readers"
"""Entry points: a suffix without its dot, and a function."""
OURS = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
"""Suffixes that stay Histoscope's own."""

_added: dict[str, "ImageReader"] = {}


class ImageReader(Protocol):
    """Reader of one image file: any ``(path) -> (pixels, mpp)``.

    The pixels are (H, W, 3) uint8 RGB; ``mpp`` is micrometres per pixel, or None if the file does not give
    it. It is called separately for the size, the resolution and the pixels of a file.
    """

    def __call__(self, path: Path, /) -> tuple[Image, float | None]:
        """Read pixels and resolution."""
        ...


def add_reader(suffix: str, read: ImageReader) -> None:
    """Read the image files of a suffix with a function, in this process.

    A package provides a reader to all who install it through an entry point in ``histoscope.image_readers``.

    Parameters
    ----------
    suffix : str
        Such as ``.czi``, in any letter case.
    read : callable
        See `ImageReader`.

    Raises
    ------
    ConfigError
        If it is not a suffix, or one that Histoscope reads and writes itself.

    Examples
    --------
    >>> add_reader(".raw8", lambda path: (np.fromfile(path, np.uint8).reshape(64, 64, 3), 0.5))
    """
    suffix = suffix.lower()
    if not suffix.startswith(".") or suffix in OURS:
        raise ConfigError(
            f"cannot add a reader for {suffix!r}: expected a suffix such as '.czi', other than "
            f"{', '.join(sorted(OURS))}"
        )
    _added[suffix] = read


def reader_of(path: Path) -> ImageReader | None:
    """Added or installed reader for the suffix of a file; None if there is none.

    Raises
    ------
    ConfigError
        If it belongs to a plug-in that cannot be imported.
    """
    suffix = path.suffix.lower()
    if suffix in _added or suffix in OURS or not suffix:
        return _added.get(suffix)
    if suffix[1:] not in plugins.offers(GROUP):
        return None
    found: ImageReader = plugins.find("reader of image files", suffix[1:], {}, GROUP)
    return found


def read(path: Path, reader: ImageReader) -> tuple[Image, float | None]:
    """Read a file with an added reader, and check the result.

    Raises
    ------
    CorruptDataError
        If it fails, or returns something else.
    """
    try:
        pixels, mpp = reader(path)
        pixels, mpp = np.asarray(pixels), None if mpp is None else float(mpp)
    except MemoryError:
        raise
    except Exception as error:  # third-party code may raise anything
        raise CorruptDataError(f"{path} cannot be read by {_name(reader)}: {error}") from error
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise CorruptDataError(
            f"{path}: {_name(reader)} gives pixels {pixels.shape} {pixels.dtype}, expected (H, W, 3) uint8"
        )
    return np.ascontiguousarray(pixels), mpp


def _name(reader: ImageReader) -> str:
    return f"{reader.__module__}:{getattr(reader, '__qualname__', type(reader).__qualname__)}"
