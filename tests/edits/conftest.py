"""Results of a prediction, as small as they can be."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from histoscope.edits import Edit
from histoscope.edits.cells import table_of
from histoscope.export.cells_measure import ABOUT

CLASSES = ("stroma", "tumour")
SIDE, STEP = 8, 20


def grid(n=12, per_row=4):
    """Squares of 8 px, 20 px apart, the first from (10, 10) on."""
    corners = [(10 + STEP * (k % per_row), 10 + STEP * (k // per_row)) for k in range(n)]
    return np.array([shapely.box(x, y, x + SIDE, y + SIDE) for x, y in corners], object)


def _write_cells(path, n=12, *, digest="slide a", classes=CLASSES, slide="slide.png", shift=0):
    """A table of cells as `predict` leaves it, all of the first class."""
    polygons = shapely.transform(grid(n), lambda xy: xy + shift)
    share = np.linspace(0.95, 0.5, n)
    more = {"p_stroma": share.tolist(), "p_tumour": (1 - share).tolist()} if classes else {}
    name = classes[0] if classes else "nucleus"
    ids = [f"{digest}-{shift}-{k}" for k in range(n)]
    table = table_of(ids, [name] * n, classes, share.tolist(), polygons, more)
    table = table.append_column("part", pa.array(["0"] * n).dictionary_encode())
    about = {"slide": slide, "slide_hash": digest, "classes": list(classes), "mpp": [0.5, 0.5]}
    about |= {"size_px": [128, 96], "tissue_mm2": 1.0, "software": "histoscope 0", "model": "m"}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, ABOUT: json.dumps(about)}), path)
    return path


@pytest.fixture(scope="session")
def write_cells():
    """Give the function that writes a table of cells."""
    return _write_cells


@pytest.fixture(scope="session")
def edit():
    """Give the function that makes an edit at a second of its own."""
    return _edit


@pytest.fixture
def results(tmp_path, write_cells):
    return write_cells(tmp_path / "out" / "slide" / "cells.parquet")


def _edit(kind="delete", author="ada", second=0, **what):
    """An edit at a second of its own."""
    if kind not in {"undo", "draw"} and "polygon_px" not in what:
        what = {"nucleus": "n1", "centre_px": (1.0, 2.0)} | what
    made = {"id": f"{author}{second}{kind}", "time": f"2026-11-29T18:00:{second:02d}.000000Z"}
    return Edit(kind=kind, author=author, **made | what)
