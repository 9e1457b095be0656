"""Time the classifying of cells that are there already; print a Markdown table.

    python benchmarks/classify_cells.py [--numbers 100000 1000000]

A slide of 20,480 px of drawn tissue, cells at random places in 25 row groups, and a small network on patches
of 32 px, so that what is beside the network shows. Each number is a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import tifffile

from histoscope import models, synth
from histoscope.export.cells import FEATURES, Cells
from histoscope.export.cells_measure import ABOUT
from histoscope.jobs.journal import Job
from histoscope.predict import PatchClassifier
from histoscope.predict.slides.batch import SlideSettings, run
from histoscope.predict.slides.cells import ClassifyCells
from histoscope.slides import open_slide

SIDE_PX, TILE_PX, PARTS, RADIUS_PX = 20_480, 512, 5, 8.0


def draw_slide(path: Path) -> None:
    """One tile of tissue again and again, and a level an eighth as large."""
    tile = synth.generate((TILE_PX, TILE_PX), mpp=0.5, rng=3).image
    n = SIDE_PX // TILE_PX
    common: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        every = (tile for _ in range(n * n))
        size = {"shape": (SIDE_PX, SIDE_PX, 3), "dtype": np.uint8, "tile": (TILE_PX, TILE_PX)}
        file.write(every, **size, resolution=(20_000, 20_000), **common)
        small = np.tile(tile[::8, ::8], (n, n, 1))
        file.write(small, tile=(256, 256), subfiletype=1, resolution=(2_500, 2_500), **common)


def draw_cells(path: Path, slide: Path, number: int) -> None:
    """Write round cells at random places, a row group a part."""
    import shapely

    with open_slide(slide) as opened:
        digest, mpp = opened.quick_hash, opened.known_mpp()
    names = [f"{row:04d}_{column:04d}" for row in range(PARTS) for column in range(PARTS)]
    about = {"slide": slide.name, "slide_hash": digest, "mpp": mpp, "tissue_mm2": 100.0, "classes": []}
    schema = Cells.none(()).to_arrow((), part="", slide="").schema
    text = json.dumps({**about, "parts": names, "problems": {}})
    schema = schema.with_metadata({**schema.metadata, ABOUT: text.encode()})
    rng, each, side = np.random.default_rng(0), number // len(names), SIDE_PX / PARTS
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for k, name in enumerate(names):
            centre = (rng.random((each, 2)) + np.array([k % PARTS, k // PARTS])) * side
            shapes = shapely.buffer(shapely.points(centre), RADIUS_PX, quad_segs=6)
            kinds = np.zeros(each, np.uint8), np.full(each, "nucleus", object), np.ones(each, np.float32)
            features = pd.DataFrame({feature: np.ones(each) for feature in FEATURES})
            cells = Cells(shapes, centre, *kinds, None, features)
            rows = cells.to_arrow((), part=name, slide=digest)
            writer.write_table(rows.replace_schema_metadata(schema.metadata))


def one(slide: Path, cells: Path) -> dict[str, float]:
    """Seconds until all have a class, and in all; and the peak of memory in MB."""
    options = {"width": 4, "depth": 2}
    network = models.create(
        "classifier", backbone="unet", patch_px=32, mpp=0.5, options=options, classes=["a", "b"]
    )
    work = ClassifyCells(PatchClassifier(network.eval(), fingerprint="drawn at random"), cells)
    begin, last = perf_counter(), 0.0

    def on_part(*_: int) -> None:
        nonlocal last
        last = perf_counter() - begin

    with tempfile.TemporaryDirectory() as out:
        outcome = run(work, [Job(slide, "slide")], Path(out), SlideSettings(), on_part=on_part)
    assert not outcome.failed, outcome.failed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"classes": last, "all": perf_counter() - begin, "peak_mb": peak}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--numbers", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--one", type=Path, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(*given.one)))
        return
    print("| cells | with classes | all files written | MB peak |\n|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        slide = Path(folder) / "slide.tif"
        draw_slide(slide)
        for number in given.numbers:
            cells = Path(folder) / f"{number}.parquet"
            draw_cells(cells, slide, number)
            command = [sys.executable, __file__, "--one", str(slide), str(cells)]
            told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(
                f"| {number:,} | {told['classes']:.0f} s | {told['all']:.0f} s | {told['peak_mb']:,.0f} MB |"
            )


if __name__ == "__main__":
    main()
