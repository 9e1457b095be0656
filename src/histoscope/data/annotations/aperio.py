"""Annotations of Aperio ImageScope, in XML: layers of regions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from histoscope.data.annotations.annotation import LINE, Annotations, Collector
from histoscope.errors import CorruptDataError

_FREEHAND, _RECTANGLE, _ELLIPSE = "0", "1", "2"
_RIM_PX = 1e-4
"""Outlines are widened by this, so that pixels whose centres lie on them belong to the region."""
_CORNERS = 64
"""Vertices of the polygon that replaces an ellipse."""


def read_aperio_xml(root: ElementTree.Element, where: object) -> Annotations:
    """Read the regions of ImageScope.

    The class is the name of the layer, or of the layer's attribute, or the text of the region. Negative
    regions are holes in the region of the same layer that they overlap most. Vertices count from pixel
    centres (measured, see docs/data.md), so half a pixel is added; a pixel whose centre is on the outline
    belongs to the region.

    Raises
    ------
    CorruptDataError
        If it is not a file from ImageScope, or a vertex is not a finite number.
    """
    import shapely

    found = Collector(where)
    for layer in root.iter("Annotation"):
        positive: list[tuple[NDArray[np.float64], str]] = []
        holes: list[NDArray[np.float64]] = []
        for region in layer.iter("Region"):
            if region.find(".//V") is not None:
                raise CorruptDataError(
                    f"{where} is from HALO, expected XML from ImageScope or ASAP, or GeoJSON; export GeoJSON"
                )
            if region.get("Type", _FREEHAND) not in {_FREEHAND, _RECTANGLE, _ELLIPSE}:
                found.leave_out(LINE)
                continue
            points = _outline(region, where)
            if region.get("NegativeROA", "0").strip().lower() in {"", "0", "false"}:
                positive.append((points, region.get("Text", "")))
            else:
                holes.append(points)
        for (points, text), own in zip(positive, _owned([ring for ring, _ in positive], holes), strict=True):
            found.add([[points, *own]], class_name=_class_name(layer) or text, name=text)
    annotations = found.finish(origin="slide")
    outlines = shapely.buffer([one.polygon for one in annotations.objects], _RIM_PX, join_style="mitre")
    objects = [replace(one, polygon=shape) for one, shape in zip(annotations.objects, outlines, strict=True)]
    return replace(annotations, objects=objects)


def _outline(region: ElementTree.Element, where: object) -> NDArray[np.float64]:
    try:
        points = np.array(
            [(float(vertex.attrib["X"]), float(vertex.attrib["Y"])) for vertex in region.iter("Vertex")]
        ).reshape(-1, 2)
    except (KeyError, ValueError) as error:
        raise CorruptDataError(
            f"{where} has a vertex that is not a pair of numbers ({error}); export it again"
        ) from error
    points = points + 0.5
    kind = region.get("Type", _FREEHAND)
    if len(points) and (kind == _ELLIPSE or (kind == _RECTANGLE and len(points) == 2)):
        low, high = points.min(axis=0), points.max(axis=0)
        if kind == _RECTANGLE:
            return np.array([low, (high[0], low[1]), high, (low[0], high[1])])
        angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
        round_ = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        points = (low + high) / 2 + (high - low) / 2 * round_
    return points


def _owned(
    rings: Sequence[NDArray[np.float64]], holes: Sequence[NDArray[np.float64]]
) -> list[list[NDArray[np.float64]]]:
    """Holes of each ring."""
    import shapely

    own: list[list[NDArray[np.float64]]] = [[] for _ in rings]
    if not holes or not rings:
        return own
    empty = shapely.Polygon()
    shapes: Any = np.array([shapely.Polygon(ring).buffer(0) if len(ring) >= 3 else empty for ring in rings])
    for hole in holes:
        if len(hole) >= 3:
            shared = shapely.area(shapely.intersection(shapes, shapely.Polygon(hole).buffer(0)))
            if shared.max() > 0:
                own[int(shared.argmax())].append(hole)
    return own


def _class_name(layer: ElementTree.Element) -> str:
    if layer.get("Name", "").strip():
        return layer.get("Name", "").strip()
    for attribute in layer.iter("Attribute"):
        name, value = attribute.get("Name", "").strip(), attribute.get("Value", "").strip()
        if value or (name and name != "Description"):
            return value or name
    return ""
