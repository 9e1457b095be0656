"""Annotations of ASAP, in XML: polygons in groups."""

from xml.etree import ElementTree

from histoscope.data.annotations.annotation import LINE, POINT, Annotations, Collector
from histoscope.errors import CorruptDataError

_LEFT_OUT = {"dot": POINT, "pointset": POINT, "measurement": LINE}


def read_asap_xml(root: ElementTree.Element, where: object) -> Annotations:
    """Read the annotations of ASAP; the class is the group of an annotation.

    A spline is read as the polygon of its points.

    Raises
    ------
    CorruptDataError
        If a coordinate is not a finite number.
    """
    found = Collector(where)
    for one in root.iter("Annotation"):
        kind = one.get("Type", "Polygon").lower()
        if kind in _LEFT_OUT:
            found.leave_out(_LEFT_OUT[kind])
            continue
        try:
            placed = [
                (int(point.get("Order", "0")), float(point.attrib["X"]), float(point.attrib["Y"]))
                for point in one.iter("Coordinate")
            ]
        except (KeyError, ValueError) as error:
            raise CorruptDataError(
                f"{where}: {one.get('Name', 'an annotation')!r} has a coordinate that is not a pair of "
                f"numbers ({error}); save it again in ASAP"
            ) from error
        found.notes["spline was read as the polygon of its points"] += kind == "spline"
        group = one.get("PartOfGroup", "None")
        ring = [(x, y) for _, x, y in sorted(placed, key=lambda point: point[0])]
        class_name = "" if group == "None" else group
        found.add([[ring]], class_name=class_name, name=one.get("Name", ""))
    return found.finish(origin="slide")
