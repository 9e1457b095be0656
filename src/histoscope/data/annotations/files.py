"""Matching annotation files to slides."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from histoscope.data.annotations.reading import PACKED, SUFFIXES
from histoscope.data.readers.index import plain
from histoscope.errors import DatasetNotFoundError
from histoscope.words import count, listed

_PARTS = "cells.[0-9][0-9][0-9][0-9].geojson.gz"
"""Files that `histoscope predict` writes for a slide."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Slides with their annotations.

    Parameters
    ----------
    found : list of (Path, list of Path)
        A slide and its annotation files.
    lone_images, lone_annotations : list of Path
        Those without a counterpart.
    """

    found: list[tuple[Path, list[Path]]]
    lone_images: list[Path]
    lone_annotations: list[Path]


def pair(image: Path, annotations: Path) -> Pairs:
    """Match annotation files to slides.

    Parameters
    ----------
    image : Path
        A slide, or a folder of slides.
    annotations : Path
        An annotation file; or a folder with files named like the slides (``a.svs`` has ``a.geojson``,
        ``a.svs.geojson``, ``a.xml`` or ``a.0001.geojson.gz``), or with folders that ``predict`` wrote.

    Raises
    ------
    DatasetNotFoundError
        If one is missing, or no file belongs to a slide.
    """
    for path, what in ((image, "image"), (annotations, "annotation file")):
        if not path.exists():
            raise DatasetNotFoundError(f"no {what} at {path}")
    single = not image.is_dir() or any(path.suffix.lower() == ".dcm" for path in image.iterdir())
    if not annotations.is_dir():
        if not single:
            raise DatasetNotFoundError(
                f"{image} is a folder of images, but {annotations} is one file; give the folder of their "
                "annotation files, each named like its image"
            )
        return Pairs([(image, [annotations])], [], [])
    if single and (parts := sorted(annotations.glob(_PARTS))):
        return Pairs([(image, parts)], [], [])
    groups = _groups(annotations)
    images = [image] if single else sorted(each for each in image.iterdir() if _is_image(each))
    found, lone = [], []
    used: set[str] = set()
    for each in images:
        keys = _keys(each, groups) - used
        used |= keys
        if files := sorted(path for key in keys for path in groups[key]):
            found.append((each, files))
        else:
            lone.append(each)
    if not found:
        raise DatasetNotFoundError(
            f"none of {count(len(images), 'image')} of {image} has an annotation file of the same name in "
            f"{annotations}; there are {listed(sorted(groups)[:5]) or 'no annotation files'}"
        )
    unused = [path for key, files in groups.items() if key not in used for path in files]
    return Pairs(found, lone, [] if single else sorted(unused))


def of_slides(slides: Iterable[Path], annotations: Path) -> dict[Path, list[Path]]:
    """Annotation files of each slide that has some; a folder of annotations is listed once for all slides."""
    if not annotations.is_dir():
        return {slide: [annotations] for slide in slides if annotations.exists()}
    if parts := sorted(annotations.glob(_PARTS)):
        return dict.fromkeys(slides, parts)
    groups = _groups(annotations)
    found = {}
    for slide in slides:
        if files := sorted(path for key in _keys(slide, groups) for path in groups[key]):
            found[slide] = files
    return found


def _keys(image: Path, groups: Mapping[str, list[Path]]) -> set[str]:
    return groups.keys() & {plain(image.name), plain(image.stem)}


def _groups(folder: Path) -> dict[str, list[Path]]:
    """Annotation files of a folder by the slide's name, ignoring case."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if parts := sorted(path.glob(_PARTS)):
                groups[plain(path.name)] = parts
        elif (key := _key(path.name)) is not None:
            groups.setdefault(plain(key), []).append(path)
    return groups


def _key(name: str) -> str | None:
    """Name without the suffixes of annotations and the number of a part; None if it is not such a file."""
    stem = _without(name, PACKED)
    bare = _without(stem, SUFFIXES)
    if bare == stem and not name.lower().endswith(".zip"):
        return None
    return re.sub(r"\.\d{4}$", "", bare)


def _without(name: str, suffixes: Iterable[str]) -> str:
    return next((name[: -len(each)] for each in suffixes if name.lower().endswith(each)), name)


def _is_image(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return any(each.suffix.lower() == ".dcm" for each in path.iterdir())
    return _key(path.name) is None
