"""Slides in numbers on the command line: printed, as CSV and as JSON."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner

from histoscope.cli.main import app
from histoscope.export.cells_measure import ABOUT


def test_what_needs_more_cells_than_there_are_is_left_empty(tmp_path):
    none = pa.table(
        {
            "class": pa.array([], pa.string()),
            "x_px": pa.array([], pa.float64()),
            "y_px": pa.array([], pa.float64()),
        }
    )
    for name, area in (("glass", 0.0), ("tissue", 2.0)):
        about = {"slide": f"{name}.svs", "mpp": [0.5, 0.5], "tissue_mm2": area, "classes": ["a", "b"]}
        (tmp_path / name).mkdir()
        pq.write_table(
            none.replace_schema_metadata({ABOUT: json.dumps(about)}), tmp_path / name / "cells.parquet"
        )
    printed, written, told = (
        CliRunner().invoke(app, ["measure", str(tmp_path), *more])
        for more in ((), ("--out", str(tmp_path / "a.csv")), ("--json",))
    )
    assert (printed.exit_code, written.exit_code) == (0, 0)
    text = (tmp_path / "a.csv").read_text()
    assert "nan" not in (printed.stdout + text).lower()
    assert text.splitlines()[1].startswith("glass.svs,0.0,0,0.0,")
    for row in json.loads(told.stdout):
        assert (row["cells_per_mm2"], row["per_mm2_a"], row["share_b"], row["nearest_um"]) == (0, 0, 0, None)
