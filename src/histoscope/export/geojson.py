"""GeoJSON for QuPath: detections or tiles with classes, colours and measurements."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import pandas as pd

from histoscope.export.features import class_names
from histoscope.export.overlay import colours, warn_outlines
from histoscope.files import whole
from histoscope.nuclei import Nuclei
from histoscope.nuclei.outlines import Ring

if TYPE_CHECKING:
    from histoscope.export.tilemap import TileMap

_SPACE = UUID("6c1f0b3e-5e0f-4b5c-9f43-0d9f6f1a7c11")
_NO_MEASUREMENTS = {"id", "class", "x_um", "y_um"}


def write_geojson(
    path: str | Path,
    nuclei: Nuclei,
    *,
    classes: Sequence[str] = (),
    table: pd.DataFrame | None = None,
    outlines: object = None,
    offset_px: tuple[float, float] = (0.0, 0.0),
    name: str = "",
) -> None:
    """Write nuclei as a GeoJSON FeatureCollection; in QuPath, drop the file onto the open image.

    A nucleus in several pieces is a MultiPolygon; one without a pixel is left out.

    Parameters
    ----------
    path : str or Path
        Written atomically.
    nuclei : Nuclei
    classes : sequence of str
        Names of class 1, 2, ...
    table : DataFrame, optional
        From `histoscope.export.measure`; its numbers become QuPath's measurements.
    outlines : object
        No longer used: nuclei have their own.
    offset_px : (float, float)
        x, y of the image's corner on the slide, in full-resolution pixels, for tiles.
    name : str
        Name of the image. The ids of nuclei are derived from it and from their position, so that the same
        nuclei get the same ids in each run, and nuclei of other images different ones.
    """
    warn_outlines(outlines)
    _write(path, _nuclei(nuclei, classes, table, offset_px, name))


def write_tiles(
    path: str | Path,
    tiles: "TileMap",
    classes: Sequence[str],
    *,
    offset_px: tuple[float, float] = (0.0, 0.0),
    name: str = "",
) -> None:
    """Write classified tiles as QuPath tiles: squares with class and probabilities.

    Parameters
    ----------
    path : str or Path
        Written atomically.
    tiles : TileMap
    classes : sequence of str
        Names of class 0, 1, ...
    offset_px : (float, float)
        x, y of the image's corner on the slide, in full-resolution pixels.
    name : str
        Name of the image; the ids of tiles are derived from it.
    """
    _write(path, _tiles(tiles, classes, offset_px, name))


def _tiles(
    tiles: "TileMap", classes: Sequence[str], offset_px: tuple[float, float], name: str
) -> Iterator[dict[str, Any]]:
    """Each tile as a GeoJSON feature."""
    palette = colours(classes)[1:]
    x, y = offset_px
    for box, place, row, share in zip(
        tiles.box_px.tolist(), tiles.predicted, tiles.probability, tiles.tissue, strict=True
    ):
        left, top, right, bottom = box[0] + x, box[1] + y, box[2] + x, box[3] + y
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        numbers = {f"p_{kind}": float(value) for kind, value in zip(classes, row, strict=True)}
        yield {
            "type": "Feature",
            "id": str(uuid5(_SPACE, f"{name}:tile:{box}")),
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {
                "objectType": "tile",
                "classification": {"name": classes[place], "color": palette[place]},
                "measurements": _known({**numbers, "tissue": float(share)}),
            },
        }


def _nuclei(
    nuclei: Nuclei,
    classes: Sequence[str],
    table: pd.DataFrame | None,
    offset_px: tuple[float, float],
    name: str,
) -> Iterator[dict[str, Any]]:
    """Each nucleus that has a pixel as a GeoJSON feature, in the order of the table.

    Its number in table and map is written twice: as a property for GeoJSON readers, and as a measurement for
    QuPath, which drops other properties.
    """
    palette, names = colours(classes, unsure=nuclei.may_be_unsure), class_names(nuclei, classes)
    numbers = _numbers(nuclei, table)
    for label, pieces in sorted(nuclei.outlines.polygons().items()):
        class_id = int(nuclei.class_id[label - 1])
        shape = [[_closed(ring, offset_px) for ring in piece] for piece in pieces]
        yield {
            "type": "Feature",
            "id": str(uuid5(_SPACE, f"{name}:{label}:{shape[0][0][0]}")),
            "geometry": {"type": "Polygon", "coordinates": shape[0]}
            if len(shape) == 1
            else {"type": "MultiPolygon", "coordinates": shape},
            "properties": {
                "objectType": "detection",
                "id": label,
                "classification": {"name": names[label - 1], "color": palette[class_id % len(palette)]},
                "measurements": {"id": float(label), **_known(numbers[label - 1])},
            },
        }


def _write(path: str | Path, found: Iterator[dict[str, Any]]) -> None:
    with whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        before = "\n"
        for feature in found:
            file.write(before + json.dumps(feature, allow_nan=False))
            before = ",\n"
        file.write("\n]}\n")


def _numbers(nuclei: Nuclei, table: pd.DataFrame | None) -> list[dict[str, float]]:
    if table is None:
        return [{"probability": value} for value in nuclei.probability.astype(float).tolist()]
    columns = [column for column in table.columns if column not in _NO_MEASUREMENTS]
    rows = table[columns].to_numpy(float).tolist()
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _known(numbers: Mapping[str, float]) -> dict[str, float]:
    """Finite numbers, to five digits; JSON has no NaN."""
    return {key: float(f"{value:.5g}") for key, value in numbers.items() if math.isfinite(value)}


def _closed(ring: Ring, offset_px: tuple[float, float]) -> list[list[float]]:
    """Points of a ring, shifted, with the first repeated at the end."""
    points: list[list[float]] = (ring.astype(float) + offset_px).tolist()
    return [*points, points[0]]
