"""From the parts of a slide to the files that people and programs read."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from histoscope import __version__
from histoscope.export.cells import Cells
from histoscope.export.cells_anndata import write_anndata
from histoscope.export.cells_geojson import write_cells_geojson, write_centres
from histoscope.export.result import write_png
from histoscope.files import whole, write_text
from histoscope.predict.slides.labels import write_labels
from histoscope.predict.slides.overview import overview_picture
from histoscope.predict.slides.run import Found
from histoscope.predict.slides.store import CELLS
from histoscope.slides import Slide
from histoscope.slides.tissue import CELL_UM
from histoscope.tables import write_table

if TYPE_CHECKING:
    import pyarrow as pa

ORIGINS = ("qupath", "slide")
OUTPUTS = ("geojson", "csv", "labels", "anndata")


def write_slide(
    slide: Slide,
    found: Found,
    classes: Sequence[str],
    mpp: float,
    *,
    kinds: Sequence[str] = ("geojson",),
    origin: str = "qupath",
) -> dict[str, Any]:
    """Write the files of one slide from its parts, each whole or not at all.

    Parameters
    ----------
    slide : Slide
    found : Found
    classes : sequence of str
        Names of class 1, 2, ...
    mpp : float
        Of the network.
    kinds : sequence of str
        Of `OUTPUTS`.
    origin : {"qupath", "slide"}
        Where places of the GeoJSON begin: QuPath crops slides to their scanned part, if the file names one.

    Returns
    -------
    dict
        The slide's row of the summary.
    """
    import pyarrow.parquet as pq

    folder = found.store.folder
    offset = (float(slide.bounds.x), float(slide.bounds.y)) if origin == "qupath" else (0.0, 0.0)
    empty = Cells.none(classes).to_arrow(classes, part="", slide="")
    about = {
        "slide": slide.path.name,
        "slide_hash": slide.quick_hash,
        "size_px": slide.size,
        "mpp": slide.known_mpp(),
        "tissue_mm2": found.tissue.area_mm2,
        "classes": list(classes),
        "software": f"histoscope {__version__}",
    }
    found.store.join(found.parts, empty.schema, about)
    counts = Counter(pq.read_table(folder / CELLS, columns=["class_id"])["class_id"].to_pylist())
    if "geojson" in kinds:
        write_cells_geojson(folder, batches_of(folder / CELLS), classes, offset_px=offset)
        write_centres(folder / "centres.geojson.gz", batches_of(folder / CELLS), classes, offset_px=offset)
    if "labels" in kinds:
        write_labels(folder / "labels.ome.tif", slide, found, mpp)
    if "anndata" in kinds:
        write_anndata(folder / "cells.h5ad", pq.read_table(folder / CELLS))
    if "csv" in kinds:
        write_csv(folder / "cells.csv", batches_of(folder / CELLS))
    write_png(folder / "overview.png", overview_picture(slide, found, classes))
    write_tissue(folder / "tissue.geojson", slide, found, offset)
    write_table(folder / "problems.csv", pd.DataFrame(found.problems, columns=_PROBLEM_COLUMNS))
    return _row(slide, found, classes, counts)


_PROBLEM_COLUMNS = ["part", "x_px", "y_px", "width_px", "height_px", "error"]


def batches_of(path: Path, rows: int = 20_000) -> Iterator["pa.Table"]:
    """Cells of a file, some thousand at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=rows):
            yield pa.Table.from_batches([batch])


def write_csv(path: Path, batches: Iterator["pa.Table"]) -> None:
    """Write all columns but the polygons as CSV."""
    import pyarrow.csv as pc

    with whole(path) as temporary:
        writer = None
        for batch in batches:
            table = batch.drop_columns(["geometry", "bbox"])
            if writer is None:
                writer = pc.CSVWriter(temporary, table.schema)
            writer.write(table)
        if writer is not None:
            writer.close()


def write_tissue(path: Path, slide: Slide, found: Found, offset: tuple[float, float]) -> None:
    """Write the tissue as annotations of QuPath, on the sides of the cells of the mask."""
    import cv2
    import shapely

    from histoscope.export.cells import polygons_of
    from histoscope.nuclei import Nuclei

    _, pieces = cv2.connectedComponents(found.tissue.mask.astype(np.uint8), connectivity=4)
    scale = slide.scale_at(CELL_UM)
    shapes = polygons_of(Nuclei.from_labels(pieces, mpp=CELL_UM), scale=scale)
    moved = shapely.transform(shapes, lambda xy: np.round(xy - np.asarray(offset), 1))
    features = [
        {
            "type": "Feature",
            "geometry": json.loads(shape),
            "properties": {"objectType": "annotation", "name": "tissue", "isLocked": True},
        }
        for shape in shapely.to_geojson(moved)
    ]
    about = {"offset_px": list(offset), "unit": "pixels of level 0, from the offset"}
    collection = {"type": "FeatureCollection", "metadata": about, "features": features}
    write_text(path, json.dumps(collection) + "\n")


def _row(slide: Slide, found: Found, classes: Sequence[str], counts: dict[int, int]) -> dict[str, Any]:
    mpp_x, mpp_y = slide.known_mpp()
    area = found.tissue.area_mm2
    row: dict[str, Any] = {
        "slide": slide.path.name,
        "width_px": slide.size[0],
        "height_px": slide.size[1],
        "mpp_x": mpp_x,
        "mpp_y": mpp_y,
        "reader": slide.reader_name,
        "tissue_mm2": round(area, 4),
        **found.quality,
        "problems": len(found.problems),
        "nuclei": found.n_cells,
        "nuclei_per_mm2": round(found.n_cells / area, 2) if area else 0.0,
    }
    for k, name in enumerate(classes, 1):
        n = counts.get(k, 0)
        row |= {f"n_{name}": n, f"per_mm2_{name}": round(n / area, 2) if area else 0.0}
    return row
