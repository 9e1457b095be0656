"""Slides that OpenSlide reads: Aperio, Hamamatsu, Leica, MIRAX, Philips, Ventana, Zeiss, DICOM and more."""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from histoscope.errors import CorruptDataError
from histoscope.slides.levels import levels_of
from histoscope.slides.resampling import GLASS
from histoscope.slides.slide import Box, Level
from histoscope.types import Image

_CACHE_BYTES = 1 << 26
_ASSOCIATED = ("label", "macro", "thumbnail")


class OpenSlideReader:
    """Reads with OpenSlide; see `histoscope.slides.slide.Reader`."""

    def __init__(self, path: Path) -> None:
        self._slide = _opened(path)
        self._lock = threading.Lock()
        self.icc = _profile(self._slide)
        known = self._slide.properties
        sizes = list(self._slide.level_dimensions)
        # It converts positions on a level to level 0 and back, which is exact only for integer factors.
        native = [float(each).is_integer() for each in self._slide.level_downsamples]
        self.levels: tuple[Level, ...] = levels_of(sizes, native)
        self.vendor = str(known.get("openslide.vendor", ""))
        self.mpp = self._mpp(known)
        self.bounds = _bounds(known)
        known_images = set(self._slide.associated_images.keys())  # `in` would decode them
        self.associated = tuple(name for name in _ASSOCIATED if name in known_images)
        self.files = _files(path, self.vendor)

    def crop(self, box: Box, level: int) -> Image:
        """Pixels of a box inside a level."""
        from openslide import OpenSlideError

        slide = self._slide
        x, y = (round(at * slide.level_downsamples[level]) for at in (box.x, box.y))
        try:
            return _on_glass(np.asarray(slide.read_region((x, y), level, (box.width, box.height))))
        except OpenSlideError as error:
            _check_there(self.files)
            self._reopen(slide)
            raise CorruptDataError(f"{self.files[0]} cannot be read at {tuple(box)}: {error}") from error

    def _reopen(self, broken: Any) -> None:
        """Reopen the slide: after an error, OpenSlide does not read even its intact parts."""
        with self._lock:
            if self._slide is broken:
                self._slide = _opened(self.files[0])

    def picture(self, name: str) -> Image:
        """One of the associated images."""
        return _on_glass(np.asarray(self._slide.associated_images[name]))

    def close(self) -> None:
        """Close the files."""
        self._slide.close()

    def _mpp(self, known: Any) -> tuple[float, float] | None:
        x, y = (float(known.get(f"openslide.mpp-{axis}", 0) or 0) for axis in "xy")
        # Resolution tags of plain TIFF are usually those of a screen.
        is_screen = self.vendor == "generic-tiff" and max(x, y) > 5.0
        return (x, y) if min(x, y) > 0 and not is_screen else None


def _opened(path: Path) -> Any:
    import openslide

    try:
        slide = openslide.OpenSlide(path)
        slide.set_cache(openslide.OpenSlideCache(_CACHE_BYTES))
        _ = slide.color_profile
    except openslide.OpenSlideError as error:
        _check_there([path])
        raise CorruptDataError(f"{path}: {error}") from error
    return slide


def _check_there(files: Iterable[Path]) -> None:
    """Raise the error of an unavailable disk, which OpenSlide reports as an error of the slide."""
    for path in files:
        with path.open("rb", buffering=0) as file:
            file.read(1)


def _on_glass(pixels: Any) -> Image:
    """RGB from RGBA over white."""
    alpha = pixels[:, :, 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(pixels[:, :, :3], np.uint8)
    share = alpha.astype(np.float32) / 255.0
    mixed = pixels[:, :, :3] * share + GLASS * (1.0 - share)
    return np.asarray(np.rint(mixed), np.uint8)


def _bounds(known: Any) -> Box | None:
    values = [known.get(f"openslide.bounds-{name}") for name in ("x", "y", "width", "height")]
    return None if None in values else Box(*map(int, values))


def _profile(slide: Any) -> bytes:
    profile = slide.color_profile
    return b"" if profile is None else bytes(profile.tobytes())


def _files(path: Path, vendor: str) -> tuple[Path, ...]:
    """All files of the slide: MIRAX and DICOM have several."""
    if vendor == "mirax":
        folder = path.with_suffix("")
        return (path, *sorted(each for each in folder.iterdir() if each.is_file()))
    if vendor == "dicom":
        from histoscope.slides.by_pydicom import series_of

        return series_of(path)
    return (path,)
