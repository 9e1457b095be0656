"""The nuclei to look at first: the least sure, from all over the slide."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from histoscope.edits import least_sure


def cells(probability, x, y, **shares):
    ids = pa.array([f"n{k}" for k in range(len(x))], pa.string())
    columns = {"id": ids, "probability": np.asarray(probability, float)}
    return pa.table({**columns, "x_px": np.asarray(x, float), "y_px": np.asarray(y, float), **shares})


@given(seed=st.integers(0, 1000), n=st.integers(0, 60), there=st.integers(0, 40))
def test_no_more_than_asked_none_twice_none_that_was_seen(seed, n, there):
    rng = np.random.default_rng(seed)
    table = cells(rng.random(there), rng.random(there) * 1000, rng.random(there) * 500)
    seen = {f"n{k}" for k in range(0, there, 3)}
    rows = least_sure(table, n, without=seen)
    assert len(rows) == len(set(rows.tolist())) == min(n, there - len(seen))
    assert not {f"n{k}" for k in rows} & seen


def test_one_bad_corner_does_not_take_all():
    rng = np.random.default_rng(0)
    bad = rng.random((500, 2)) * 100  # of a slide of 1,000 x 1,000
    good = rng.random((500, 2)) * 1000
    place = np.concatenate([bad, good])
    table = cells(np.repeat([0.51, 0.9], 500), *place.T)
    rows = least_sure(table, 40)
    columns = np.unique(place[rows] // 250, axis=0)
    assert len(columns) >= 9  # of sixteen squares
    assert rows[0] < 500


def test_of_one_place_the_least_sure_come_first():
    table = cells([0.9, 0.6, 0.7, 0.8], [1, 1, 1, 1], [1, 1, 1, 1])
    assert least_sure(table, 3).tolist() == [1, 2, 3]


def test_classes_tell_more_than_the_probability():
    place = [1.0] * 3
    shares = {"p_a": [0.5, 0.9, 0.4], "p_b": [0.5, 0.1, 0.6], "p_c": [0.0, 0.0, 0.0]}
    assert least_sure(cells([0.9, 0.2, 0.5], place, place, **shares), 3).tolist() == [0, 2, 1]


def test_a_number_that_is_missing_is_least_sure():
    assert least_sure(cells([0.5, np.nan], [1, 1], [1, 1]), 1).tolist() == [1]


def test_a_row_of_nuclei_is_no_square():
    assert len(least_sure(cells(np.linspace(0, 1, 100), np.arange(100), np.zeros(100)), 20)) == 20
