"""Edits applied to a table of cells: what was meant is changed, what was not meant never."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from histoscope.edits import Edit, apply, labels_of, merged, read_cells
from histoscope.edits.applying import EDITED
from histoscope.edits.cells import table_of

SIDE = 8  # of each nucleus, in pixels


def of(found, row, kind="delete", **what):
    x, y = (found.table[name][row].as_py() for name in ("x_px", "y_px"))
    about = {"nucleus": found.table["id"][row].as_py(), "centre_px": (x, y), "of": found.of}
    return Edit.new(kind, "ada", **about | what)


def box(x, y, side=SIDE):
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


def test_nuclei_are_deleted_reclassified_confirmed_and_drawn(results):
    found = read_cells(results)
    drawn = Edit.new("draw", "ada", polygon_px=box(100, 80), class_name="tumour", of=found.of)
    said = [of(found, 0), of(found, 1, "reclassify", class_name="tumour"), of(found, 2, "confirm"), drawn]
    fixed = apply(found, merged(said))
    table = fixed.table
    assert len(table) == 12
    assert table["class"].to_pylist() == ["tumour", *["stroma"] * 10, "tumour"]
    assert table["class_id"].to_pylist() == [2, *[1] * 10, 2]
    assert table[EDITED].to_pylist() == ["reclassify", "confirm", *[""] * 9, "draw"]
    last = table.slice(11).to_pylist()[0]
    assert (last["id"], last["x_px"], last["y_px"], last["probability"]) == (drawn.id, 104, 84, 1.0)
    assert last["p_tumour"] is None
    assert last["bbox"] == {"xmin": 100, "ymin": 80, "xmax": 108, "ymax": 88}
    # What nobody spoke of is as it was.
    kept = table.slice(2, 9).drop_columns([EDITED])
    assert kept.to_pylist() == found.table.slice(3).to_pylist()
    assert (fixed.unmatched, fixed.replaced) == ((), 0)


def test_nothing_said_changes_nothing(results):
    found = read_cells(results)
    assert apply(found, merged([])).table.drop_columns([EDITED]).to_pylist() == found.table.to_pylist()


def test_results_of_another_model_are_noticed(tmp_path, results, write_cells):
    other = read_cells(write_cells(tmp_path / "other" / "cells.parquet", shift=5))
    said = [of(read_cells(results), k) for k in range(3)]
    fixed = apply(other, merged(said))
    assert len(fixed) == 12
    assert set(fixed.unmatched) == set(said)


@pytest.mark.parametrize("change", [{"centre_px": (15.5, 14.0)}, {"of": "another"}, {"nucleus": "none"}])
def test_an_id_alone_is_not_enough(results, change):
    found = read_cells(results)
    fixed = apply(found, merged([of(found, 0, **change)]))
    assert (len(fixed), len(fixed.unmatched)) == (12, 1)


def test_what_was_drawn_on_another_slide_is_given_back(results):
    found = read_cells(results)
    fixed = apply(found, merged([Edit.new("draw", "ada", polygon_px=box(100, 80), of="another")]))
    assert (len(fixed), len(fixed.unmatched)) == (12, 1)


def test_a_nucleus_drawn_over_a_found_one_takes_its_place(results):
    found = read_cells(results)
    said = [Edit.new("draw", "ada", polygon_px=box(11, 11)), Edit.new("draw", "ada", polygon_px=box(35, 15))]
    fixed = apply(found, merged(said))
    assert (len(fixed), fixed.replaced) == (13, 1)
    assert found.table["id"][0].as_py() not in fixed.table["id"].to_pylist()


def test_a_class_beside_those_of_the_model_gets_a_number(results):
    found = read_cells(results)
    fixed = apply(found, merged([of(found, 3, "reclassify", class_name="mitosis")]))
    assert fixed.classes == ("stroma", "tumour", "mitosis")
    assert fixed.table["class_id"][3].as_py() == 3


def test_nuclei_without_classes_stay_so(tmp_path, write_cells):
    found = read_cells(write_cells(tmp_path / "cells.parquet", classes=()))
    fixed = apply(found, merged([of(found, 0, "confirm"), Edit.new("draw", "ada", polygon_px=box(100, 80))]))
    assert fixed.classes == ()
    assert set(fixed.table["class"].to_pylist()) == {"nucleus"}


@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.5, 1.0, 2.0]))
@examples(max_examples=25, deadline=None)
def test_a_window_of_the_label_map_is_the_window_of_all(tmp_path_factory, seed, scale, write_cells):
    found = read_cells(write_cells(tmp_path_factory.mktemp("cells") / "cells.parquet"))
    rng = np.random.default_rng(seed)
    table = apply(found, merged([of(found, int(row)) for row in rng.choice(12, 3, replace=False)])).table
    shape = (int(80 / scale), int(100 / scale))
    labels, rows = labels_of(table, shape, scale=scale)
    assert len(rows) == len(table) == labels.max()
    top, left = int(rng.integers(0, 20)), int(rng.integers(0, 20))
    part, some = labels_of(table, (30, 30), corner_px=(left * scale, top * scale), scale=scale)
    window = labels[top : top + 30, left : left + 30]
    seen = np.append(-1, some)[part][: window.shape[0], : window.shape[1]]
    assert np.array_equal(seen, np.append(-1, rows)[window])


def test_labels_lie_where_the_polygons_are(results):
    table = read_cells(results).table
    labels, rows = labels_of(table, (96, 128))
    for k, row in enumerate(rows, 1):
        x0, y0, x1, y1 = shapely.from_wkb(table["geometry"][int(row)].as_py()).bounds
        assert (labels[int(y0) : int(y1), int(x0) : int(x1)] == k).all()
    assert np.count_nonzero(labels) == 12 * SIDE * SIDE


def test_unsure_nuclei_stay_of_no_class(results):
    """In all tables class 0 is called `unsure`; as a class of its own it would be learned."""
    found = read_cells(results)
    classes, named = ("stroma", "tumour", "unsure"), ["stroma", "unsure"] * 6
    polygons = shapely.from_wkb(found.table["geometry"].to_numpy())
    ids = found.table["id"].to_pylist()
    found = replace(found, table=table_of(ids, named, classes, [0.9] * 12, polygons, {}), classes=classes)
    assert found.table["class_id"].to_pylist() == [1, 0] * 6
    fixed = apply(found, merged([of(found, 1, "reclassify", class_name="tumour")])).table
    assert fixed["class"].to_pylist()[:4] == ["stroma", "tumour", "stroma", "unsure"]
    assert fixed["class_id"].to_pylist()[:4] == [1, 2, 1, 0]
