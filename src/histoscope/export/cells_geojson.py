"""Cells of a slide as GeoJSON for QuPath, in files that it can hold in memory."""

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from histoscope.export.cells import FEATURES
from histoscope.export.overlay import colours
from histoscope.files import whole

if TYPE_CHECKING:
    import pyarrow as pa

MOST_CELLS = 200_000
"""Cells a file: QuPath reads a file as a whole."""
_NUMBERS = ("probability", *FEATURES, "tissue")


def write_cells_geojson(
    folder: Path,
    batches: Iterable["pa.Table"],
    classes: Sequence[str],
    *,
    offset_px: tuple[float, float] = (0.0, 0.0),
    most_cells: int = MOST_CELLS,
    stem: str = "cells",
    kind: str = "detection",
) -> list[Path]:
    """Write cells as detections: ``cells.0001.geojson.gz`` and so on, each whole or not at all.

    Parameters
    ----------
    folder : Path
    batches : iterable of pyarrow.Table
        From `histoscope.export.cells.Cells.to_arrow`.
    classes : sequence of str
        Names of class 1, 2, ...
    offset_px : (float, float)
        x, y of what the viewer takes for the origin, in pixels of level 0; taken from all places.
    most_cells : int
        In a file.
    stem, kind : str
        Beginning of the names, and what QuPath makes of a row: ``tiles`` and ``tile`` for tiles.

    Returns
    -------
    list of Path
        One file at least; old ones beyond the last are removed.
    """
    about = {"offset_px": list(offset_px), "unit": "pixels of level 0, from the offset"}
    written: list[Path] = []
    lines = (
        line for batch in batches for line in feature_lines(batch, classes, offset_px=offset_px, kind=kind)
    )
    while True:
        chunk = _taken(lines, most_cells)
        first = next(chunk, None)
        if first is None and written:
            break
        path = folder / f"{stem}.{len(written) + 1:04d}.geojson.gz"
        with whole(path) as temporary, _gzip(temporary) as file:
            head = json.dumps({"type": "FeatureCollection", "metadata": about})
            file.write(head[:-1].encode() + b', "features": [')
            if first is not None:
                file.write(b"\n" + first.encode())
            for line in chunk:
                file.write(b",\n" + line.encode())
            file.write(b"\n]}\n")
        written.append(path)
        if first is None:
            break
    for path in folder.glob(f"{stem}.[0-9][0-9][0-9][0-9].geojson.gz"):
        if path not in written:
            path.unlink()
    return written


def feature_lines(
    cells: "pa.Table",
    classes: Sequence[str],
    *,
    offset_px: tuple[float, float] = (0.0, 0.0),
    kind: str = "detection",
) -> Iterator[str]:
    """Give each cell as a line of GeoJSON, an object of QuPath with class, colour and measurements."""
    import shapely

    polygons = shapely.from_wkb(cells["geometry"].to_numpy(zero_copy_only=False))
    moved = shapely.transform(polygons, lambda xy: np.round(xy - np.asarray(offset_px), 2))
    shapes = shapely.to_geojson(moved)
    palette = colours(classes)
    kinds = [
        json.dumps({"name": name, "color": list(palette[k % len(palette)])})
        for k, name in zip(cells["class_id"].to_pylist(), cells["class"].to_pylist(), strict=True)
    ]
    known = [name for name in _NUMBERS if name in cells.column_names]
    names = [*known, *(name for name in cells.column_names if name.startswith("p_"))]
    numbers = np.stack([cells[name].to_numpy().astype(float) for name in names], axis=1)
    pattern = ", ".join(f"{json.dumps(name).replace('%', '%%')}: %.5g" for name in names)
    for cell_id, shape, of, row in zip(cells["id"].to_pylist(), shapes, kinds, numbers.tolist(), strict=True):
        yield (
            f'{{"type": "Feature", "id": "{cell_id}", "geometry": {shape}, "properties": {{"objectType": '
            f'"{kind}", "classification": {of}, "measurements": {{{pattern % tuple(row)}}}}}}}'
        )


def write_centres(
    path: Path,
    batches: Iterable["pa.Table"],
    classes: Sequence[str],
    *,
    offset_px: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Write the centres of all cells, one MultiPoint a class: light, for an overview in QuPath."""
    palette = colours(classes)
    points: dict[tuple[int, str], list[list[float]]] = {}
    for batch in batches:
        places = np.round(
            np.stack([batch["x_px"].to_numpy(), batch["y_px"].to_numpy()], axis=1) - np.asarray(offset_px), 1
        )
        keys = zip(batch["class_id"].to_pylist(), batch["class"].to_pylist(), strict=True)
        for key, place in zip(keys, places.tolist(), strict=True):
            points.setdefault(key, []).append(place)
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "MultiPoint", "coordinates": places},
            "properties": {
                "objectType": "annotation",
                "classification": {"name": name, "color": list(palette[k % len(palette)])},
            },
        }
        for (k, name), places in sorted(points.items())
    ]
    with whole(path) as temporary, _gzip(temporary) as file:
        file.write(json.dumps({"type": "FeatureCollection", "features": features}).encode())


def _taken(lines: Iterator[str], n: int) -> Iterator[str]:
    for _ in range(n):
        line = next(lines, None)
        if line is None:
            return
        yield line


@contextmanager
def _gzip(path: Path) -> Iterator[gzip.GzipFile]:
    """A gzip file without a name and a time in it: the same bytes each run."""
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=3, fileobj=file, mtime=0) as packed,
    ):
        yield packed
