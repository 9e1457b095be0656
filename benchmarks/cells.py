"""Time the writing of a slide's cells to every format; print a Markdown table.

    python benchmarks/cells.py [--numbers 10000 100000 1000000]

Cells are drawn nuclei, 1,000 a field, laid side by side in parts of 20,000. Each number is a process of its
own, so that its peak of memory is its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow.parquet as pq

from histoscope import synth
from histoscope.export import measure
from histoscope.export.cells import Cells
from histoscope.export.cells_anndata import write_anndata
from histoscope.export.cells_geojson import write_cells_geojson, write_centres
from histoscope.export.cells_labels import outlines_of, write_labels_pyramid
from histoscope.export.cells_measure import measure_cells
from histoscope.nuclei import Nuclei
from histoscope.predict.slides.files import CELLS, batches_of, write_csv
from histoscope.predict.slides.store import Store

CLASSES = ("epithelial", "inflammatory", "spindle")
FIELD_PX, FIELDS = 1024, 20
FORMATS = ("parquet", "geojson", "centres", "csv", "labels", "anndata", "measure")


def field() -> Nuclei:
    """About a thousand nuclei."""
    sample = synth.generate((FIELD_PX, FIELD_PX), mpp=0.5, rng=0)
    assert sample.instances is not None
    n = int(sample.instances.max())
    kinds = np.random.default_rng(0).integers(0, len(CLASSES) + 1, n + 1).astype(np.uint8)
    found = Nuclei.from_labels(sample.instances, mpp=0.5, classes=kinds)
    return replace(found, class_probability=np.full((n, len(CLASSES)), 1 / len(CLASSES), np.float32))


def one(number: int) -> dict[str, float]:
    """Seconds of each format, and the peak of memory in MB."""
    import shapely

    nuclei = field()
    table = measure(nuclei, np.full((FIELD_PX, FIELD_PX, 3), 150, np.uint8), CLASSES)
    times: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        begin = perf_counter()
        yield
        times[name] = perf_counter() - begin

    n_fields = -(-number // len(nuclei))
    across = int(np.ceil(np.sqrt(n_fields)))
    with tempfile.TemporaryDirectory() as temporary, Store.hold(Path(temporary), {}) as store:
        names = []
        for first in range(0, n_fields, FIELDS):
            tables = []
            for k in range(first, min(first + FIELDS, n_fields)):
                corner = k % across * FIELD_PX, k // across * FIELD_PX
                cells = Cells.of(nuclei, table, CLASSES, corner=corner, scale=(2.0, 2.0))
                tables.append(cells.to_arrow(CLASSES, part=f"{first:04d}_0000", slide="a slide"))
            names.append(f"{first:04d}_0000")
            import pyarrow as pa

            store.write(names[-1], pa.concat_tables(tables).unify_dictionaries())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        about = {"slide": "a", "mpp": [0.25, 0.25], "tissue_mm2": 1.0, "classes": list(CLASSES)}
        with timed("parquet"):
            store.join(names, Cells.none(CLASSES).to_arrow(CLASSES, part="", slide="").schema, about)
        path = store.folder / CELLS
        with timed("geojson"):
            write_cells_geojson(store.folder, batches_of(path), CLASSES)
        with timed("centres"):
            write_centres(store.folder / "centres.geojson.gz", batches_of(path), CLASSES)
        with timed("csv"):
            write_csv(store.folder / "cells.csv", batches_of(path))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        with timed("anndata"):
            write_anndata(store.folder / "cells.h5ad", pq.read_table(path))
        with timed("measure"):
            measure_cells(path)
        drawn = outlines_of(
            shapely.from_wkb(store.read(names[0])["geometry"].to_numpy(zero_copy_only=False)), (2.0, 2.0)
        )

        def rows(top: int, bottom: int) -> np.ndarray:
            band = drawn.to_labels((bottom - top, FIELD_PX * min(FIELDS, across)), corner=(top % FIELD_PX, 0))
            return np.tile(band, (1, -(-across // FIELDS)))[:, : across * FIELD_PX]

        with timed("labels"):
            side = across * FIELD_PX
            write_labels_pyramid(
                store.folder / "labels.ome.tif", (side, n_fields // across * FIELD_PX), 0.5, rows
            )
    return times | {"before_mb": before, "peak_mb": peak}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--numbers", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one)))
        return
    print("| cells | " + " | ".join(f"{name} s" for name in FORMATS) + " | MB before | MB peak |")
    print("|--:|" + "--:|" * (len(FORMATS) + 2))
    for number in given.numbers:
        command = [sys.executable, __file__, "--one", str(number)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        row = json.loads(done.stdout.splitlines()[-1])
        values = [f"{row[name]:.1f}" for name in FORMATS]
        print(
            f"| {number:,} | {' | '.join(values)} | {row['before_mb']:.0f} | {row['peak_mb']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
