"""Aperio ImageScope annotations: outlines of nuclei in XML, drawn as instance maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from histoscope.data.views import compact
from histoscope.errors import CorruptDataError, DatasetNotFoundError
from histoscope.types import Labels

Polygon = NDArray[np.float64]
"""(N, 2) x, y in pixels; pixel centres are at integers."""


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """Regions of an Aperio ImageScope file: outlines of nuclei, and holes (negative regions) in them."""

    outlines: Sequence[Polygon]
    holes: Sequence[Polygon] = ()

    def drawn(self, shape: tuple[int, ...]) -> Labels:
        """Draw it as an instance map (H, W) of `shape`, see `rasterise`."""
        return rasterise(self.outlines, shape, holes=self.holes)


def read_aperio(path: str | Path) -> Annotation:
    """Read the regions of an Aperio ImageScope annotation file, in order.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If it is not ImageScope XML, or a vertex is not a finite number.
    """
    if not Path(path).is_file():
        raise DatasetNotFoundError(
            f"no annotation at {path}; expected an XML file of the same name as its tile"
        )
    try:
        root = ElementTree.parse(path).getroot()
        regions = [(_is_negative(region), _polygon(region)) for region in root.iter("Region")]
    except (ElementTree.ParseError, KeyError, ValueError, UnicodeError) as error:
        raise CorruptDataError(f"{path} is not an Aperio annotation ({error}); get the file again") from error
    if root.tag != "Annotations":
        raise CorruptDataError(
            f"{path} holds <{root.tag}>, expected <Annotations> as Aperio ImageScope writes it"
        )
    if not all(np.isfinite(polygon).all() for _, polygon in regions):
        raise CorruptDataError(f"{path} has a vertex that is not a finite number; get the file again")
    return Annotation(
        [polygon for negative, polygon in regions if not negative],
        [polygon for negative, polygon in regions if negative],
    )


def _is_negative(region: ElementTree.Element) -> bool:
    return region.get("NegativeROA", "0").strip().lower() not in {"", "0", "false"}


def _polygon(region: ElementTree.Element) -> Polygon:
    points = [(vertex.attrib["X"], vertex.attrib["Y"]) for vertex in region.iter("Vertex")]
    return np.array(points, np.float64).reshape(-1, 2)


def rasterise(
    polygons: Sequence[Polygon], shape: tuple[int, ...], *, holes: Sequence[Polygon] = ()
) -> Labels:
    """Draw the outlines of nuclei as an instance map of `shape`.

    A pixel belongs to the polygon that contains its centre. Where polygons overlap, the smaller one wins, so
    that a large nucleus never hides a small one; polygons outside the image, still hidden, or with fewer than
    3 points are dropped. A hole is cut out of the nucleus that fills most of it, and does not affect others.
    Ids are numbered without gaps in the order of the polygons.

    Examples
    --------
    >>> rasterise([np.array([(0.5, 0.5), (2.5, 0.5), (2.5, 2.5), (0.5, 2.5)])], (4, 4))
    array([[0, 0, 0, 0],
           [0, 1, 1, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]], dtype=int32)
    """
    from skimage.draw import polygon as pixels_inside

    numbered = [(polygon, number) for number, polygon in enumerate(polygons, start=1)]
    todo = [one for one in [*numbered, *((hole, 0) for hole in holes)] if len(one[0]) >= 3]
    instances = np.zeros(shape, np.int32)
    for polygon, number in sorted(todo, key=lambda one: -_area(one[0])):
        x, y = polygon.T
        rows, columns = pixels_inside(y, x, shape)
        if not number:
            around = instances[rows, columns]
            owned = around == np.bincount(around[around > 0], minlength=1).argmax()
            rows, columns = rows[owned], columns[owned]
        instances[rows, columns] = number
    return compact(instances)[0]


def _area(polygon: Polygon) -> float:
    x, y = (polygon - polygon[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def unusable_regions(annotation: Annotation, shape: tuple[int, ...]) -> list[str]:
    """Warnings about regions that a label map of `shape` cannot show."""
    polygons = annotation.outlines
    whole = [polygon for polygon in polygons if len(polygon) >= 3]
    edge = (shape[1] - 1, shape[0] - 1)
    outside = sum(bool((p.max(axis=0) < 0).any() or (p.min(axis=0) > edge).any()) for p in whole)
    drawn = int(annotation.drawn(shape).max(initial=0))
    reasons = {
        "with fewer than 3 points": len(polygons) - len(whole),
        "wholly outside the image": outside,
        "smaller than a pixel or hidden by others": len(whole) - outside - drawn,
    }
    return [f"{count} region(s) {reason} left out" for reason, count in reasons.items() if count]
