"""The outline of the tissue, for the page."""

import json
from pathlib import Path
from typing import Any

from histoscope.viewer.reading import reading


def rings_of(path: Path) -> dict[str, list[Any]]:
    """Rings of ``tissue.geojson`` in pixels of level 0: of tissue, and of what was left out of focus.

    Raises
    ------
    CorruptDataError
    """
    found: dict[str, list[Any]] = {"tissue": [], "ignored": []}
    with reading(path):
        root = json.loads(path.read_text(encoding="utf-8"))
        x, y = root.get("metadata", {}).get("offset_px", [0, 0])
        for feature in root["features"]:
            name = (feature["properties"].get("classification") or {}).get("name", "")
            kind = "ignored" if name == "Ignore*" else "tissue"
            shape = feature["geometry"]
            many = shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
            found[kind] += [[[px + x, py + y] for px, py in ring] for rings in many for ring in rings]
        json.dumps(found, allow_nan=False)  # numbers, all of them
    return found
