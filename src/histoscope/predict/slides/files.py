"""Output files for a slide: for QuPath, for scverse, as CSV; and measurements."""

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histoscope.export.cells_anndata import write_anndata
from histoscope.export.cells_geojson import write_cells_geojson, write_centres
from histoscope.export.cells_measure import measure_cells, plain
from histoscope.files import whole, write_text

if TYPE_CHECKING:
    import pyarrow as pa

CELLS, TILES = "cells.parquet", "tiles.parquet"


def write_cells(
    folder: Path, classes: Sequence[str], kinds: Sequence[str], offset_px: tuple[float, float]
) -> None:
    """Write the cells of a slide in other formats, each file completely or not at all.

    Parameters
    ----------
    folder : Path
        With ``cells.parquet``.
    classes : sequence of str
        Names of class 1, 2, ...
    kinds : sequence of str
        Of ``geojson``, ``csv`` and ``anndata``.
    offset_px : (float, float)
        Origin of the GeoJSON coordinates.
    """
    import pyarrow.parquet as pq

    if "geojson" in kinds:
        write_cells_geojson(folder, batches_of(folder / CELLS), classes, offset_px=offset_px)
        write_centres(folder / "centres.geojson.gz", batches_of(folder / CELLS), classes, offset_px=offset_px)
    if "anndata" in kinds:
        write_anndata(folder / "cells.h5ad", pq.read_table(folder / CELLS))
    if "csv" in kinds:
        write_csv(folder / "cells.csv", batches_of(folder / CELLS))


def write_measures(folder: Path, classes: Sequence[str]) -> dict[str, Any]:
    """Write the measurements of `histoscope.export.cells_measure` for a slide; returns those for the summary.

    Parameters
    ----------
    folder : Path
        With ``cells.parquet``; gets ``measures.json``.
    classes : sequence of str
        Names of class 1, 2, ...

    Returns
    -------
    dict
        Nuclei, and nuclei per mm2 of tissue, in total and by class; share of each class; mean distance to the
        nearest nucleus, and the Clark-Evans index.
    """
    found = measure_cells(folder / CELLS)
    write_text(folder / "measures.json", json.dumps(plain(found), indent=2, ensure_ascii=False) + "\n")
    area, n_all = found["tissue_mm2"], found["cells"]
    row: dict[str, Any] = {"nuclei": n_all, "nuclei_per_mm2": _density(n_all, area)}
    row |= {name: found[name] for name in ("nearest_um", "clark_evans")}
    for name in classes:
        n = found[f"n_{name}"]
        row |= {f"n_{name}": n, f"share_{name}": found[f"share_{name}"]}
        row[f"per_mm2_{name}"] = _density(n, area)
    return row


def _density(n: int, area_mm2: float) -> float:
    return round(n / area_mm2, 2) if area_mm2 else 0.0


def batches_of(path: Path, rows: int = 20_000) -> Iterator["pa.Table"]:
    """Rows of a file, some thousand at a time; for a file without rows, its columns once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if not file.metadata.num_rows:
            yield file.read()
        for batch in file.iter_batches(batch_size=rows):
            yield pa.Table.from_batches([batch])


def write_csv(path: Path, batches: Iterator["pa.Table"]) -> None:
    """Write all columns except the polygons as CSV; without rows, only the header."""
    import pyarrow.csv as pc

    tables = (batch.drop_columns(["geometry", "bbox"]) for batch in batches)
    first = next(tables)
    with whole(path) as temporary, pc.CSVWriter(temporary, first.schema) as writer:
        for table in chain([first], tables):
            writer.write(table)
