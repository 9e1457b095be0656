"""Annotations of a slide: outlines with classes, from any file format."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from histoscope.errors import CorruptDataError

if TYPE_CHECKING:
    import shapely

KINDS = ("annotation", "detection", "cell")
"""What drew an outline: a person (or a region finder), a nucleus detector, a cell detector."""
_LARGEST = 1e9
"""No slide has so many pixels in a row."""
POINT, LINE, NO_AREA = "point (a nucleus needs an outline)", "line (no area)", "outline without an area"


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """One outline.

    Parameters
    ----------
    polygon : shapely.Polygon or shapely.MultiPolygon
        Valid, with an area; x and y in pixels of level 0, pixel (0, 0) covers the square from 0 to 1.
    class_name, name : str
        Empty if it has none.
    kind : str
        One of `KINDS`.
    """

    polygon: "shapely.Geometry"
    class_name: str = ""
    name: str = ""
    kind: str = "annotation"


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """Content of an annotation file.

    Parameters
    ----------
    objects : list of Annotation
        In the order of the file.
    origin : {"qupath", "slide"}
        Origin of the coordinates in files of this kind: the slide's bounds, as in QuPath, or the first pixel
        of level 0.
    offset_px : (float, float), optional
        x, y of the origin on level 0, if the file gives it.
    left_out : Counter of str
        Objects without an outline, by reason.
    notes : Counter of str
        Outlines that differ from those in the file, by reason.
    """

    objects: list[Annotation]
    origin: str = "qupath"
    offset_px: tuple[float, float] | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


class Collector:
    """Gathers the objects of a file, and checks their coordinates.

    Parameters
    ----------
    where : str
        The file, for messages.
    """

    def __init__(self, where: object) -> None:
        self._where = where
        self._seen = 0
        self._found: list[tuple[Any, str, str, str]] = []
        self.left_out: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()

    def add(
        self,
        pieces: Iterable[Sequence[Any]],
        *,
        class_name: str = "",
        name: str = "",
        kind: str = "annotation",
    ) -> None:
        """Add an object.

        Parameters
        ----------
        pieces : iterable of sequences of (n, 2) points
            Each an outer ring, then the holes in it.
        class_name, name, kind : str
            As for `Annotation`.

        Raises
        ------
        CorruptDataError
            If a coordinate is not a finite number.
        """
        import shapely

        self._seen += 1
        polygons = []
        for piece in pieces:
            rings = [self._ring(points) for points in piece]
            if rings and len(rings[0]) >= 3:
                polygons.append(shapely.Polygon(rings[0], [hole for hole in rings[1:] if len(hole) >= 3]))
        if not polygons:
            self.left_out[NO_AREA] += 1
            return
        shape = polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
        self._found.append((shape, class_name.strip(), name.strip(), kind))

    def leave_out(self, reason: str, n: int = 1) -> None:
        """Count objects that have no outline."""
        self._seen += 1
        self.left_out[reason] += n

    def finish(self, *, origin: str, offset_px: tuple[float, float] | None = None) -> Annotations:
        """Repair outlines that cross themselves, and return all objects."""
        import shapely

        shapes = np.array([each[0] for each in self._found], object)
        broken = ~np.asarray(shapely.is_valid(shapes), bool)
        shapes[broken] = [_repaired(shape) for shape in shapes[broken]]
        self.notes["outline that crosses itself was repaired"] += int(broken.sum())
        has_area = np.asarray(shapely.area(shapes)) > 0
        self.left_out[NO_AREA] += int((~has_area).sum())
        objects = [
            Annotation(shape, *words)
            for shape, (_, *words), is_kept in zip(shapes, self._found, has_area, strict=True)
            if is_kept
        ]
        return Annotations(objects, origin, offset_px, +self.left_out, +self.notes)

    def _ring(self, points: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Points of a ring without the last, where it repeats the first."""
        try:
            ring = np.asarray(points, np.float64)
        except (TypeError, ValueError):
            ring = np.full((1, 2), np.nan)
        if ring.size == 0:
            return np.empty((0, 2))
        if ring.ndim != 2 or ring.shape[1] < 2 or not (np.abs(ring[:, :2]) < _LARGEST).all():
            raise CorruptDataError(
                f"{self._where}: object {self._seen} has a coordinate that is not a finite number, expected "
                "x, y in pixels; export the annotations again"
            )
        ring = ring[:, :2]
        return ring[:-1] if len(ring) > 1 and (ring[0] == ring[-1]).all() else ring


def _repaired(shape: "shapely.Geometry") -> "shapely.Geometry":
    """The same points inside, without crossings; empty if it has no area."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(shape)))
    polygons = [part for part in parts if part.geom_type == "Polygon"]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
