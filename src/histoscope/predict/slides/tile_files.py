"""Files of the classified tiles of a slide: for QuPath, as CSV, as pictures; and the area of each class."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histoscope.export.cells_geojson import write_cells_geojson
from histoscope.export.heatmap import draw_heatmap, draw_probability
from histoscope.export.result import write_png
from histoscope.export.tilemap import TileMap
from histoscope.export.tiles import tile_map
from histoscope.predict.slides.files import TILES, batches_of, write_csv
from histoscope.predict.slides.overview import VIEW_PX, beside, slide_picture
from histoscope.predict.slides.work import Found
from histoscope.predict.tilemap import edges
from histoscope.slides import Slide


def write_tiles(
    slide: Slide,
    found: Found,
    classes: Sequence[str],
    side_px: int,
    kinds: Sequence[str],
    offset_px: tuple[float, float],
) -> dict[str, Any]:
    """Write the tiles of a slide in other formats and as pictures, each file completely or not at all.

    Parameters
    ----------
    slide : Slide
    found : Found
        Of `histoscope.predict.slides.tiles.ClassifyTiles`.
    classes : sequence of str
        Names of class 1, 2, ...
    side_px : int
        Of a tile, in pixels of the network.
    kinds : sequence of str
        Of ``geojson`` and ``csv``.
    offset_px : (float, float)
        Origin of the GeoJSON coordinates.

    Returns
    -------
    dict
        Number of tiles, and mm2 of tissue and share of each class.
    """
    import pyarrow.parquet as pq

    folder, mpp = found.store.folder, found.work.mpp
    if "geojson" in kinds:
        batches = batches_of(folder / TILES)
        write_cells_geojson(folder, batches, classes, offset_px=offset_px, stem="tiles", kind="tile")
    if "csv" in kinds:
        write_csv(folder / "tiles.csv", batches_of(folder / TILES))
    size = slide.size_at(mpp)
    n_empty = len(edges(size[0], side_px)) * len(edges(size[1], side_px)) - found.n_rows
    wanted = ["bbox", "tissue", *(f"p_{name}" for name in classes)]
    table = pq.read_table(folder / TILES, columns=wanted)
    tiles = tile_map(table, classes, slide.scale_at(mpp), size, mpp=mpp, n_empty=n_empty)
    _draw(folder, slide, found, tiles, classes)
    return _areas(tiles, classes)


def heatmap_names(classes: Sequence[str]) -> list[str]:
    """Name of the heat map of each class: letters and digits unchanged, others as ``_``.

    Examples
    --------
    >>> heatmap_names(["a_b_3", "a/b", "a b"])
    ['heatmap_a_b_3.png', 'heatmap_a_b.png', 'heatmap_a_b_3_3.png']
    """
    names: list[str] = []
    for k, name in enumerate(classes, 1):
        stem = "heatmap_" + re.sub(r"[^\w.-]", "_", name)
        while f"{stem}.png" in names:
            stem += f"_{k}"
        names.append(f"{stem}.png")
    return names


def _draw(folder: Path, slide: Slide, found: Found, tiles: TileMap, classes: Sequence[str]) -> None:
    """Draw the classes beside the tissue, and the probability of each class."""
    picture, outlined = slide_picture(slide, found)
    mapped = draw_heatmap(picture, tiles, classes, largest_px=VIEW_PX)
    write_png(folder / "overview.png", beside(outlined, mapped))
    for k, name in enumerate(heatmap_names(classes)):
        write_png(folder / name, draw_probability(picture, tiles, k, classes[k]))


def _areas(tiles: TileMap, classes: Sequence[str]) -> dict[str, Any]:
    area = np.bincount(tiles.predicted, tiles.tissue_mm2, minlength=len(classes)).tolist()
    total = sum(area)
    row: dict[str, Any] = {"tiles": len(tiles)}
    for name, part in zip(classes, area, strict=True):
        row |= {f"mm2_{name}": round(part, 4), f"share_{name}": round(part / total, 4) if total else 0.0}
    return row
