"""Some corrected nuclei as GeoJSON."""

import json
import math
from typing import Any

from histoscope.edits.applying import EDITED, Applied
from histoscope.export.overlay import colours_by_name

_NO_MEASUREMENTS = frozenset({"id", "class", "class_id", "part", "bbox", "geometry", "x_um", "y_um", EDITED})


def collection(fixed: Applied, offset_px: tuple[float, float] = (0.0, 0.0)) -> dict[str, Any]:
    """A FeatureCollection of detections, with classes, colours, measurements, and who decided by an edit.

    Parameters
    ----------
    fixed : Applied
    offset_px : (float, float)
        x, y of what QuPath takes for the origin; taken from all places.
    """
    import shapely

    palette = colours_by_name(fixed.classes)
    shapes = shapely.from_wkb(fixed.table["geometry"].to_numpy())
    moved = shapely.transform(shapes, lambda xy: (xy - offset_px).round(2))
    features = []
    for shape, row in zip(moved, fixed.table.drop_columns(["geometry"]).to_pylist(), strict=True):
        numbers = {
            key: float(f"{value:.5g}")
            for key, value in row.items()
            if key not in _NO_MEASUREMENTS and isinstance(value, int | float) and math.isfinite(value)
        }
        kind = {"name": row["class"], "color": list(palette[row["class"]])}
        features.append(
            {
                "type": "Feature",
                "id": row["id"],
                "geometry": json.loads(shapely.to_geojson(shape)),
                "properties": {
                    "objectType": "detection",
                    "classification": kind,
                    "edited": row[EDITED],
                    "measurements": numbers,
                },
            }
        )
    about = {"offset_px": list(offset_px), "unit": "pixels of level 0, from the offset"}
    return {"type": "FeatureCollection", "metadata": about, "features": features}
