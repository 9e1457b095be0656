"""The outline of the tissue, for the page."""

import json
from pathlib import Path
from typing import Any

from histoscope.errors import CorruptDataError


def rings_of(path: Path) -> dict[str, list[Any]]:
    """Rings of ``tissue.geojson`` in pixels of level 0: of tissue, and of what was left out of focus.

    Raises
    ------
    CorruptDataError
    """
    found: dict[str, list[Any]] = {"tissue": [], "ignored": []}
    try:
        root = json.loads(path.read_text(encoding="utf-8"))
        x, y = root.get("metadata", {}).get("offset_px", [0, 0])
        for feature in root["features"]:
            name = (feature["properties"].get("classification") or {}).get("name", "")
            kind = "ignored" if name == "Ignore*" else "tissue"
            shape = feature["geometry"]
            many = shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
            found[kind] += [[[px + x, py + y] for px, py in ring] for rings in many for ring in rings]
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CorruptDataError(f"{path} is no outline of tissue: {error!r}") from error
    return found
