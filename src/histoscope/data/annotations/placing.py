"""Annotations on a slide: their position, and which are regions of interest or nuclei."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.data.annotations.annotation import Annotation, Annotations
from histoscope.errors import DataError
from histoscope.types import class_key
from histoscope.words import count, listed

ORIGINS = ("qupath", "slide")
OBJECTS = ("auto", "detections", "annotations", "all")
MOST_OUTSIDE = 0.01
"""Share of annotations that may lie outside the image: a few strays. More mean another image."""
_REGION = re.compile(r"(rois?|regions?)(?![a-z])", re.IGNORECASE)
_IGNORED = "ignore*"


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Annotations in the pixels of a slide's level 0.

    Parameters
    ----------
    nuclei : (N,) object
        Shapely polygons.
    class_names : list of str
        Of each nucleus; empty if it has none.
    regions : list of Annotation
        Regions of interest.
    counts : Counter of str
        Number of objects read, left out and changed.
    """

    nuclei: NDArray[np.object_]
    class_names: list[str]
    regions: list[Annotation]
    counts: Counter[str]


def place(
    files: Sequence[Annotations],
    size: tuple[int, int],
    bounds: tuple[int, int],
    *,
    where: str,
    origin: str | None = None,
    roi_class: str | None = None,
    objects: str = "auto",
) -> Placed:
    """Place annotations on their slide and divide them into nuclei and regions of interest.

    Parameters
    ----------
    files : sequence of Annotations
    size : (int, int)
        Width and height of level 0.
    bounds : (int, int)
        x, y of the scanned area on level 0, the origin of QuPath's coordinates.
    where : str
        Annotations and image, for messages.
    origin : {"qupath", "slide"}, optional
        Origin of the coordinates. By default, as the files say, otherwise as in files of their kind.
    roi_class : str, optional
        Class or name of the regions of interest. By default annotations whose class or name begins with ROI
        or region, such as QuPath's ``Region*``.
    objects : {"auto", "detections", "annotations", "all"}
        Which other objects are nuclei; auto takes detections and cells, or annotations if there are none.

    Raises
    ------
    DataError
        If the files are empty or do not fit the image, or no region is called `roi_class`.
    """
    found = [
        Annotation(shape, one.class_name, one.name, one.kind)
        for file in files
        for one, shape in zip(file.objects, _moved(file, bounds, origin), strict=True)
    ]
    counts: Counter[str] = sum((file.left_out + file.notes for file in files), Counter())
    if not found:
        reasons = "; ".join(f"{count(n, 'object')}: {reason}" for reason, n in counts.items())
        raise DataError(f"{where}: no outlines{f' ({reasons})' if reasons else ''}; expected polygons")
    is_region = _are_regions(found, roi_class, where)
    _check_extent(found, size, bounds, where=where)
    is_ignored = np.array([class_key(one.class_name) == _IGNORED for one in found]) & ~is_region
    by_person = np.array([one.kind == "annotation" for one in found])
    rest = ~is_region & ~is_ignored
    if objects == "auto":
        objects = "detections" if (rest & ~by_person).any() else "annotations"
    is_nucleus = rest & (by_person if objects == "annotations" else ~by_person if objects != "all" else rest)
    counts["region of interest"] = int(is_region.sum())
    counts["object of the class Ignore* was left out"] = int(is_ignored.sum())
    kept = "detections and cells" if objects == "detections" else "annotations"
    counts[f"other object was left out: {kept} are used (see --objects)"] = int((rest & ~is_nucleus).sum())
    nuclei = [found[k] for k in np.flatnonzero(is_nucleus)]
    shapes = np.array([one.polygon for one in nuclei], object)
    regions = [found[k] for k in np.flatnonzero(is_region)]
    return Placed(shapes, [one.class_name for one in nuclei], regions, +counts)


def _moved(file: Annotations, bounds: tuple[int, int], origin: str | None) -> NDArray[np.object_]:
    import shapely

    offset = file.offset_px if origin is None else None
    if offset is None:
        offset = bounds if (origin or file.origin) == "qupath" else (0.0, 0.0)
    shapes = np.array([one.polygon for one in file.objects], object)
    if offset == (0, 0):
        return shapes
    moved: NDArray[np.object_] = shapely.transform(shapes, lambda points: points + offset)
    return moved


def _are_regions(found: Sequence[Annotation], roi_class: str | None, where: str) -> NDArray[np.bool_]:
    words = [(one.class_name, one.name) if one.kind == "annotation" else ("", "") for one in found]
    if roi_class is None:
        return np.array([any(_REGION.match(word.strip()) for word in pair) for pair in words])
    wanted = class_key(roi_class)
    regions = np.array([wanted in {class_key(word) for word in pair} for pair in words])
    if not regions.any():
        known = sorted({word for pair in words for word in pair if word})
        there = f"there are {listed(known[:12])}" if known else "no annotation has a class or a name"
        raise DataError(f"{where}: no annotation has the class or name {roi_class!r}; {there}")
    return regions


def _check_extent(
    found: Sequence[Annotation],
    size: tuple[int, int],
    bounds: tuple[int, int],
    *,
    where: str,
) -> None:
    """Refuse annotations that lie outside the image."""
    import shapely

    boxes: Any = shapely.bounds(np.array([one.polygon for one in found], object))
    beyond = _beyond(boxes, size)
    if beyond.sum() <= MOST_OUTSIDE * len(found):
        return
    x0, y0 = boxes[:, :2].min(axis=0)
    x1, y1 = boxes[:, 2:].max(axis=0)
    hint = "is it from another image, or from this one at another resolution?"
    corner = np.array((*bounds, *bounds))
    for moved, name in ((boxes - corner, "slide"), (boxes + corner, "qupath")):
        if bounds != (0, 0) and not _beyond(moved, size).any():
            hint = f"with --origin {name} all of them would lie inside it"
    raise DataError(
        f"{where}: {beyond.sum():,} of {len(found):,} annotations lie outside the image; they span x "
        f"{x0:,.0f} to {x1:,.0f} and y {y0:,.0f} to {y1:,.0f}, but the image has {size[0]:,} x "
        f"{size[1]:,} px: {hint}"
    )


def _beyond(boxes: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    outside: NDArray[np.bool_] = (boxes[:, 2:] <= 0).any(axis=1) | (boxes[:, :2] >= size).any(axis=1)
    return outside
