"""A slide in numbers, from its table of cells alone."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from histoscope.errors import CorruptDataError, DatasetNotFoundError
from histoscope.export.cells_measure import ABOUT, measure_cells


def write(path, names, points, **changes):
    about = {
        "slide": "a.svs",
        "mpp": [0.5, 0.25],
        "tissue_mm2": 2.0,
        "classes": ["tumour", "immune"],
    } | changes
    table = pa.table({"class": names, "x_px": points[:, 0], "y_px": points[:, 1]})
    pq.write_table(table.replace_schema_metadata({ABOUT: json.dumps(about)}), path)
    return path


def test_densities_shares_and_distances(tmp_path):
    points = np.array([[0.0, 0], [6, 16], [0, 40]])  # in um: 0 0, 3 4, 0 10
    row = measure_cells(write(tmp_path / "cells.parquet", ["tumour", "immune", "tumour"], points))
    assert row["slide"] == "a.svs"
    assert (row["cells"], row["cells_per_mm2"], row["n_tumour"], row["per_mm2_immune"]) == (3, 1.5, 2, 0.5)
    assert row["share_tumour"] == pytest.approx(2 / 3, rel=1e-4)
    assert row["nearest_um_tumour_to_immune"] == pytest.approx((5 + np.hypot(3, 6)) / 2, rel=1e-4)
    assert row["nearest_um_tumour_to_tumour"] == 10
    assert np.isnan(row["nearest_um_immune_to_immune"])
    assert row["neighbours_immune_to_tumour"] == 1


def test_a_slide_without_cells(tmp_path):
    row = measure_cells(
        write(tmp_path / "cells.parquet", pa.array([], pa.string()), np.empty((0, 2)), tissue_mm2=0)
    )
    assert row["cells"] == 0
    assert np.isnan(row["cells_per_mm2"])


def test_what_is_no_table_of_cells_is_told(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="histoscope predict"):
        measure_cells(tmp_path / "cells.parquet")
    (tmp_path / "a.parquet").write_text("no")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "b.parquet")
    for name in "ab":
        with pytest.raises(CorruptDataError, match="no table of cells"):
            measure_cells(tmp_path / f"{name}.parquet")
