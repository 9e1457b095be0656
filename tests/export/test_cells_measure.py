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


@pytest.mark.parametrize("classes", [["tumour", "immune"], []])
def test_a_slide_without_cells(tmp_path, classes):
    path, none = tmp_path / "cells.parquet", pa.array([], pa.string())
    row = measure_cells(write(path, none, np.empty((0, 2)), tissue_mm2=0, classes=classes))
    undefined = {name for name, value in row.items() if value != value}
    assert undefined == {name for name in row if name.startswith(("nearest", "clark", "neighbours"))}
    zero = {name: value for name, value in row.items() if name not in undefined | {"slide"}}
    assert set(zero.values()) == {0}
    names = {f"{key}_{name}" for key in ("n", "share", "per_mm2") for name in classes or ["nucleus"]}
    assert names <= set(zero)


def test_what_is_no_table_of_cells_is_told(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="histoscope predict"):
        measure_cells(tmp_path / "cells.parquet")
    (tmp_path / "a.parquet").write_text("no")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "b.parquet")
    for name in "ab":
        with pytest.raises(CorruptDataError, match="not a table of cells"):
            measure_cells(tmp_path / f"{name}.parquet")


@pytest.mark.parametrize("classes", [[], ["tumour", "immune"]])
def test_the_nearest_cell_of_a_random_pattern_is_where_theory_says(tmp_path, classes):
    """Of a Poisson pattern of density d, on average half of one over the root of d away."""
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(4)
    points = rng.uniform(0, 1, (8000, 2)) * [4000, 8000]  # px of 0.5 and 0.25 um: 2 mm a side
    names = rng.choice(classes or ["nucleus"], len(points))
    row = measure_cells(write(tmp_path / "a.parquet", names, points, tissue_mm2=4.0, classes=classes))
    assert row["nearest_um"] == pytest.approx(0.5 / np.sqrt(8000 / 2000.0**2), rel=0.03)
    assert row["clark_evans"] == pytest.approx(1.0, abs=0.03)
    nearest, _ = cKDTree(points * [0.5, 0.25]).query(points * [0.5, 0.25], 2)
    assert row["nearest_um"] == pytest.approx(nearest[:, 1].mean(), rel=1e-4)
    if classes:
        pair = "tumour_to_immune"
        assert row[f"nearest_ratio_{pair}"] == pytest.approx(1.0, abs=0.05)
        assert row[f"neighbours_{pair}"] == pytest.approx(row["share_immune"], abs=0.02)
    else:
        assert not any(key.startswith(("nearest_ratio", "neighbours")) for key in row)


def test_classes_called_like_a_pair_have_columns_of_their_own(tmp_path):
    points = np.random.default_rng(6).uniform(0, 500, (40, 2))
    classes = ["a", "a_to_b", "b_to_c", "c"]
    row = measure_cells(write(tmp_path / "a.parquet", np.repeat(classes, 10), points, classes=classes))
    assert sum(key.startswith("nearest_um_") for key in row) == 16
    assert {'nearest_um_a_to_"b_to_c"', 'nearest_um_"a_to_b"_to_c'} <= row.keys()


def test_clusters_and_grids_are_told_from_a_random_pattern(tmp_path):
    rng = np.random.default_rng(5)
    centres = rng.uniform(0, 1000, (50, 2)).repeat(40, axis=0)
    rows, columns = np.mgrid[:45, :45] * (1000 / 45)
    patterns = centres + rng.normal(0, 5, centres.shape), np.stack([rows.ravel(), columns.ravel()], axis=1)
    found = []
    for points in patterns:
        path = write(
            tmp_path / "a.parquet", ["a"] * len(points), points, tissue_mm2=1.0, classes=["a"], mpp=[1, 1]
        )
        found.append(measure_cells(path)["clark_evans"])
    assert found[0] < 0.3
    assert found[1] == pytest.approx(2.0, abs=0.01)  # of a square grid
