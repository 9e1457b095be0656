"""DICOM whole slide images that OpenSlide refuses: frames through pydicom.

References
----------
.. [1] DICOM PS3.3, A.32.8 VL Whole Slide Microscopy Image; C.8.12.4 for the order of frames.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import CorruptDataError, IncompleteError
from histoscope.places import PlaceError
from histoscope.slides.cache import TileCache, pasted
from histoscope.slides.dicom_frames import Frames
from histoscope.slides.levels import levels_of
from histoscope.slides.resampling import GLASS
from histoscope.slides.slide import Box, Level
from histoscope.slides.stored import whole_jpeg
from histoscope.types import Image

_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_BESIDE = {"LABEL": "label", "OVERVIEW": "macro", "THUMBNAIL": "thumbnail"}
"""Image types that are not levels: they may be cropped differently, or come from another camera."""
_CLEARER = 1.5
"""How much weaker the seams of one order of frames must be than those of the other."""


class DicomReader:
    """Reads DICOM slides; see `histoscope.slides.slide.Reader`.

    Raises
    ------
    CorruptDataError
        If the file is not a whole slide image, or files of the series are missing.
    """

    def __init__(self, path: Path) -> None:
        self.files = series_of(path)
        headers = [_header(one) for one in self.files]
        self._beside = {_BESIDE[kind]: Frames(one) for one in headers if (kind := _kind(one)) in _BESIDE}
        volumes = [one for one in headers if _kind(one) not in _BESIDE]
        if not volumes:
            volumes = [_header(path)]  # an overview without a volume counts as a slide

        def size(one: Any) -> tuple[int, int]:
            return int(one.TotalPixelMatrixColumns), int(one.TotalPixelMatrixRows)

        volumes.sort(key=size, reverse=True)
        levels = [list(parts) for _, parts in groupby(volumes, key=size)]
        self._levels = [[Frames(part) for part in parts] for parts in levels]
        for frames in chain(*self._levels):
            frames.check_whole()
        self._places = [_places(parts, path) for parts in self._levels]
        self._is_grid = [
            all(left % parts[0].shape[1] == 0 == top % parts[0].shape[0] for left, top in places)
            for parts, places in zip(self._levels, self._places, strict=True)
        ]
        self._cache = TileCache()
        finest = levels[0][0]
        if "RESAMPLED" in _words(finest) and len(self.files) > 1:
            raise IncompleteError(
                f"{path}: the finest level of the series is missing; of its {len(self.files)} files here the "
                "largest has {} x {} px, a smaller copy: put all files into one folder".format(*size(finest))
            )
        self.levels: tuple[Level, ...] = levels_of([size(parts[0]) for parts in levels])
        self.mpp = _mpp(finest)
        self.bounds: Box | None = None
        self.vendor = "dicom"
        self.icc = _profile(finest)
        self.associated: tuple[str, ...] = tuple(sorted(self._beside))

    def crop(self, box: Box, level: int) -> Image:
        """Pixels of a box inside a level."""
        frames = self._levels[level]
        out = np.full((box.height, box.width, 3), GLASS, np.uint8)
        near, there = list(self._near(box, level)), set(self._cache.keys())
        for k, file in enumerate(frames):
            file.want(number for _, (of, number) in near if of == k and (level, k, number) not in there)
        for (left, top), (part, number) in near:
            tile = self._cache.get((level, part, number), partial(frames[part].pixels, number))
            pasted(out, box, tile, left, top)
        return out

    def _near(self, box: Box, level: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Frames that may overlap a box; in a regular grid, exactly those."""
        places = self._places[level]
        height, width = self._levels[level][0].shape
        if not self._is_grid[level]:
            for (left, top), one in places.items():
                if (
                    left < box.x + box.width
                    and box.x < left + width
                    and top < box.y + box.height
                    and box.y < top + height
                ):
                    yield (left, top), one
            return
        for top in range(box.y // height * height, box.y + box.height, height):
            for left in range(box.x // width * width, box.x + box.width, width):
                if (left, top) in places:
                    yield (left, top), places[left, top]

    def tile_size(self, level: int) -> tuple[int, int] | None:
        """Width and height of the frames of a level; None if they do not form a regular grid."""
        height, width = self._levels[level][0].shape
        return (width, height) if self._is_grid[level] else None

    def jpeg_tile(self, level: int, column: int, row: int) -> bytes | None:
        """A frame as stored; None if it is missing or not a JPEG."""
        height, width = self._levels[level][0].shape
        part, number = self._places[level].get((column * width, row * height), (0, -1))
        frames = self._levels[level][part]
        if number < 0 or frames.codec != "jpeg8_decode":
            return None
        return whole_jpeg(b"".join(frames.fragments(number)))

    def picture(self, name: str) -> Image:
        """One of the associated images."""
        return self._beside[name].pixels(0)

    def close(self) -> None:
        """Nothing stays open."""


def series_of(path: Path) -> tuple[Path, ...]:
    """All whole slide files of the series that a DICOM file belongs to, from its folder, by name."""
    wanted = _header(path)
    same = wanted.get("SeriesInstanceUID")
    return tuple(each for each, header in _slides_of(path.parent) if header.get("SeriesInstanceUID") == same)


def first_files(folder: Path) -> dict[Path, Path]:
    """Each DICOM slide file of a folder, under any name -> the first file of its slide."""
    first: dict[str, Path] = {}
    return {
        path: first.setdefault(str(header.get("SeriesInstanceUID")), path)
        for path, header in _slides_of(folder)
    }


def _slides_of(folder: Path) -> Iterator[tuple[Path, Any]]:
    """Files in a folder with whole slide images, with their headers, by name."""
    for path in sorted(folder.iterdir()):
        if path.is_file():
            with suppress(CorruptDataError):
                yield path, _header(path)


def _header(path: Path) -> Any:
    import pydicom
    from pydicom.errors import InvalidDicomError

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # some values are too long
    try:
        with path.open("rb") as file:
            header = pydicom.dcmread(file, stop_before_pixels=True)
            header.pixels_at = file.tell() + 12  # after tag, type and length
            header.lies_at = path
    except PlaceError:
        raise
    except (InvalidDicomError, OSError, EOFError) as error:
        raise CorruptDataError(f"{path} is not a DICOM file: {error}") from error
    if header.get("SOPClassUID") != _WHOLE_SLIDE or "TotalPixelMatrixColumns" not in header:
        kind = getattr(header.get("SOPClassUID"), "name", "an unknown kind")
        raise CorruptDataError(f"{path} is DICOM, but of {kind}, expected a whole slide image")
    return header


def _words(header: Any) -> list[str]:
    words = header.get("ImageType") or []
    return [words] if isinstance(words, str) else [str(word) for word in words]


def _kind(header: Any) -> str:
    """Third word of the image type, such as VOLUME or LABEL."""
    return (*_words(header), "", "", "")[2]


def _places(parts: list[Frames], path: Path) -> dict[tuple[int, int], tuple[int, int]]:
    """Position of each frame of a level: left and top -> file and number."""
    header = parts[0].header
    columns, rows = int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows)
    height, width = parts[0].shape
    across, down = -(-columns // width), -(-rows // height)
    organisation = header.get("DimensionOrganizationType")
    is_known = organisation == "TILED_FULL"
    positions: dict[tuple[int, int], tuple[int, int]] = {}
    for k, part in enumerate(parts):
        first = int(part.header.get("ConcatenationFrameOffsetNumber", 0))
        groups = part.header.get("PerFrameFunctionalGroupsSequence") or []
        for number in range(part.count):
            if not is_known and number < len(groups) and "PlanePositionSlideSequence" in groups[number]:
                place = groups[number].PlanePositionSlideSequence[0]
                left = int(place.ColumnPositionInTotalImagePixelMatrix) - 1
                top = int(place.RowPositionInTotalImagePixelMatrix) - 1
                organisation = "TILED_SPARSE"
            else:
                top, left = ((first + number) // across) * height, ((first + number) % across) * width
            positions[left, top] = (k, number)
    if organisation != "TILED_SPARSE" and len(positions) < across * down:
        raise IncompleteError(
            f"{path}: the series holds {len(positions)} of {across * down} frames of its level of "
            f"{columns} x {rows} px; a file is missing: copy all of them into one folder"
        )
    if organisation is None and min(across, down) > 1:
        return _by_seams(parts, path, positions, down)
    return positions


def _by_seams(
    parts: list[Frames], path: Path, by_rows: dict[tuple[int, int], tuple[int, int]], down: int
) -> dict[tuple[int, int], tuple[int, int]]:
    """Rows first or columns first, if not given: the order in which neighbouring frames fit."""
    height, width = parts[0].shape
    frames = sorted(by_rows.values())
    by_columns = {(k // down * width, k % down * height): one for k, one in enumerate(frames)}
    edges: dict[tuple[int, int], NDArray[np.float32]] = {}

    def seam(places: dict[tuple[int, int], tuple[int, int]]) -> float:
        steps = []
        for (left, top), one in places.items():
            other = places.get((left + width, top))
            for each in (one, other):
                if each is not None and each not in edges:
                    frame = parts[each[0]].pixels(each[1]).astype(np.float32)
                    edges[each] = np.stack([frame[:, 0], frame[:, -1]])
            if other is not None:
                steps.append(float(np.abs(edges[one][1] - edges[other][0]).mean()))
        return float(np.mean(steps))

    rows_first, columns_first = seam(by_rows), seam(by_columns)
    if max(rows_first, columns_first) < _CLEARER * min(rows_first, columns_first):
        raise CorruptDataError(
            f"{path} does not give the order of its frames (DimensionOrganizationType), and their seams "
            "do not show it; convert it again, for example with wsidicomizer"
        )
    return by_rows if rows_first < columns_first else by_columns


def _mpp(header: Any) -> tuple[float, float] | None:
    shared = header.get("SharedFunctionalGroupsSequence")
    measures = shared[0].get("PixelMeasuresSequence") if shared else None
    spacing = measures[0].get("PixelSpacing") if measures else None
    return None if spacing is None else (1e3 * float(spacing[1]), 1e3 * float(spacing[0]))


def _profile(header: Any) -> bytes:
    paths = header.get("OpticalPathSequence")
    return bytes(paths[0].get("ICCProfile") or b"") if paths else b""
