"""Objects of QuPath, as GeoJSON: annotations, detections and cells.

References
----------
.. [1] QuPath, qupath.lib.io.QuPathTypeAdapters, https://github.com/qupath/qupath
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from histoscope.data.annotations.annotation import KINDS, LINE, POINT, Annotations, Collector
from histoscope.errors import CorruptDataError

_IDS_OF_KINDS = {
    "PathAnnotationObject": "annotation",
    "PathDetectionObject": "detection",
    "PathCellObject": "cell",
    "PathTileObject": "tile",
    "TMACoreObject": "tmaCore",
    "PathRootObject": "root",
}
"""QuPath 0.2 wrote the kind instead of an id."""
_NO_NUCLEI = {
    "tile": "tile of QuPath",
    "tmacore": "core of a tissue microarray",
    "root": "root of QuPath's hierarchy",
}
_GEOMETRIES = {
    "Point": POINT,
    "MultiPoint": POINT,
    "LineString": LINE,
    "MultiLineString": LINE,
}


def read_qupath(content: bytes, where: object) -> Annotations:
    """Read the GeoJSON of QuPath: an array, a FeatureCollection, a feature or a bare geometry.

    For a cell, the outline of its nucleus is used, if it has one. Children in ``childObjects`` count as
    separate objects.

    Parameters
    ----------
    content : bytes
    where : object
        The file, for messages.

    Raises
    ------
    CorruptDataError
        If it is not such a file, or a coordinate is not a finite number.
    """
    try:
        root = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorruptDataError(
            f"{where} is not JSON ({error}); export it again, in QuPath with File > Export objects as GeoJSON"
        ) from error
    found = Collector(where)
    for feature in _features(root, where):
        _add(found, feature, where)
    return found.finish(origin="qupath", offset_px=_offset(root))


def _features(root: Any, where: object) -> Iterator[Mapping[str, Any]]:
    members: Any = root if isinstance(root, list) else [root]
    if isinstance(root, dict) and root.get("type") == "FeatureCollection":
        members = root.get("features")
        if not isinstance(members, list):
            raise CorruptDataError(
                f"{where} is a FeatureCollection without an array of features; export it again"
            )
    for member in members:
        kind = str(_dict(member).get("type"))
        if kind == "Feature":
            yield from _with_children(member)
        elif kind in {"Polygon", "MultiPolygon", "GeometryCollection", *_GEOMETRIES}:
            yield {"geometry": member}
        else:
            got = (
                f"an object with {', '.join(list(member)[:6]) or 'nothing'}"
                if isinstance(member, dict)
                else f"a {type(member).__name__}"
            )
            raise CorruptDataError(
                f"{where} holds {got}, expected GeoJSON: features as QuPath exports them with File > "
                "Export objects as GeoJSON"
            )


def _with_children(feature: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    todo = [feature]
    while todo:
        one = todo.pop()
        yield one
        children = one.get("childObjects") or _dict(one.get("properties")).get("childObjects") or []
        todo.extend(child for child in reversed(_list(children)) if isinstance(child, dict))


def _add(found: Collector, feature: Mapping[str, Any], where: object) -> None:
    properties = _dict(feature.get("properties"))
    kind = _kind(feature, properties)
    if kind in _NO_NUCLEI:
        found.leave_out(_NO_NUCLEI[kind])
        return
    geometry = feature.get("geometry")
    if kind == "cell":
        nucleus = feature.get("nucleusGeometry") or properties.get("nucleusGeometry")
        found.notes["cell without a nucleus outline: its own outline is used"] += nucleus is None
        geometry = nucleus or geometry
    reason, pieces = _pieces(_dict(geometry), where)
    if reason:
        points = _dict(geometry).get("coordinates")
        is_many = isinstance(points, list) and reason == POINT and isinstance((*points, 0)[0], list)
        found.leave_out(reason, len(points or ()) if is_many else 1)
        return
    name = properties.get("name") or feature.get("name") or ""
    found.add(pieces, class_name=_class_name(properties), name=str(name), kind=kind)


def _kind(feature: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    given = (
        properties.get("objectType"),
        properties.get("object_type"),
        feature.get("objectType"),
        properties.get("type"),
        _IDS_OF_KINDS.get(str(feature.get("id"))),
    )
    known = {kind.lower() for kind in (*KINDS, *_NO_NUCLEI)}
    return next((str(kind).lower() for kind in given if str(kind).lower() in known), "annotation")


def _class_name(properties: Mapping[str, Any]) -> str:
    """Name of the class; the parts of a derived class are joined as in QuPath."""
    given = properties.get("classification")
    if isinstance(given, dict):
        names = given.get("names")
        return ": ".join(map(str, names)) if isinstance(names, list) else str(given.get("name") or "")
    if isinstance(given, str):
        return given
    other = properties.get("type")  # TIAToolbox puts the class there
    return other if isinstance(other, str) and other.lower() not in {*KINDS, *_NO_NUCLEI} else ""


def _pieces(geometry: Mapping[str, Any], where: object) -> tuple[str, list[list[Any]]]:
    """Reason why a geometry has no outline, and its polygons."""
    kind, coordinates = str(geometry.get("type", "")), _list(geometry.get("coordinates"))
    if kind == "Polygon":
        return "", [coordinates]
    if kind == "MultiPolygon":
        return "", [_list(piece) for piece in coordinates]
    if kind == "GeometryCollection":
        members = [_pieces(_dict(member), where) for member in _list(geometry.get("geometries"))]
        pieces = [piece for _, found in members for piece in found]
        return ("" if pieces else next((reason for reason, _ in members if reason), "")), pieces
    if kind in _GEOMETRIES:
        return _GEOMETRIES[kind], []
    if not kind:
        return "object without a geometry", []
    raise CorruptDataError(f"{where} holds a geometry of type {kind!r}, expected Polygon or MultiPolygon")


def _offset(root: Any) -> tuple[float, float] | None:
    """Origin of the coordinates, as our own files give it."""
    offset = _dict(_dict(root).get("metadata")).get("offset_px")
    if not isinstance(offset, list) or [type(one) in {int, float} for one in offset] != [True, True]:
        return None
    return float(offset[0]), float(offset[1])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
