import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from histoscope.errors import ConfigError, DataError, UnknownNameError
from histoscope.metrics import independent_unit, interval, range_of

METHODS = ("jackknife", "percentile", "bca")


def table(values, patients=None, **columns):
    patients = range(len(values)) if patients is None else patients
    return pd.DataFrame({"patient": [f"p{k}" for k in patients], "pq": values, **columns})


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_equals_scipy_where_every_image_is_a_patient(method, rng):
    values = rng.beta(5, 2, 25)
    ours = interval(table(values), "pq", n=20_000, method=method, rng=rng)
    name = {"bca": "BCa"}.get(method, method)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method=name, rng=rng).confidence_interval
    tolerance = 0.04 * (theirs.high - theirs.low)
    assert ours.low == pytest.approx(theirs.low, abs=tolerance)
    assert ours.high == pytest.approx(theirs.high, abs=tolerance)


def test_equals_a_loop_over_patients(rng):
    """Draw patients one at a time and average their images: same law, other code."""
    patients = np.repeat(np.arange(8), [1, 5, 2, 3, 1, 4, 2, 2])
    values = rng.normal(0, 1, 8)[patients] + rng.normal(0, 0.3, len(patients))
    means = []
    for _ in range(4000):
        drawn = rng.integers(0, 8, 8)
        means.append(np.concatenate([values[patients == k] for k in drawn]).mean())
    expected = np.quantile(means, [0.05, 0.95])
    got = interval(table(values, patients), "pq", n=4000, level=0.9, method="percentile", rng=rng)
    assert [got.low, got.high] == pytest.approx(expected, abs=0.05)
    assert got.estimate == pytest.approx(values.mean())
    assert (got.n_clusters, got.n_images) == (8, 20)


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=30),
    st.sampled_from(METHODS),
    st.integers(0, 2**32),
)
def test_contains_the_estimate_and_is_the_same_for_the_same_seed(values, method, seed):
    patients = [k // 2 for k in range(len(values))]
    first, again = (
        interval(table(values, patients), "pq", n=300, method=method, rng=np.random.default_rng(seed))
        for _ in range(2)
    )
    assert first == again
    slack = 1e-9
    assert first.low - slack <= first.estimate <= first.high + slack
    if method != "jackknife":
        assert min(values) - slack <= first.low <= first.high <= max(values) + slack


@pytest.mark.parametrize("method", METHODS)
def test_more_confidence_is_wider_and_more_patients_narrower(method, rng):
    values = rng.normal(0, 1, 400)

    def width(data, level):
        got = interval(table(data), "pq", level=level, method=method, rng=np.random.default_rng(0))
        return got.high - got.low

    assert width(values[:40], 0.5) < width(values[:40], 0.95) < width(values[:40], 0.99)
    assert width(values, 0.95) < 0.6 * width(values[:40], 0.95)


def test_images_of_a_patient_promise_no_more_than_the_patient(rng):
    values = rng.normal(0, 1, 12)
    once = interval(table(values), "pq", rng=np.random.default_rng(1))
    copies = table(np.repeat(values, 10), np.repeat(np.arange(12), 10))
    ten_times = interval(copies, "pq", rng=np.random.default_rng(1))
    assert (ten_times.low, ten_times.high) == pytest.approx((once.low, once.high))
    by_image = interval(copies.assign(name=range(120)), "pq", cluster="name", rng=rng)
    assert by_image.high - by_image.low < 0.5 * (once.high - once.low)


def test_undefined_scores_are_dropped_and_counted(rng):
    got = interval(table([0.5, np.nan, 0.7, 0.6], [0, 1, 1, 2]), "pq", rng=rng)
    assert (got.n_clusters, got.n_images, got.n_undefined) == (3, 3, 1)
    assert got.estimate == pytest.approx(0.6)


@pytest.mark.parametrize(("values", "estimate"), [([0.5, 0.7], 0.6), ([np.nan], math.nan), ([], math.nan)])
def test_fewer_than_two_patients_give_no_interval(values, estimate, rng):
    got = interval(table(values, [0] * len(values)), "pq", rng=rng)
    assert got.estimate == pytest.approx(estimate, nan_ok=True)
    assert math.isnan(got.low)
    assert math.isnan(got.high)
    assert "[no interval]" in str(got)


def test_equal_scores_leave_room_for_others():
    got = interval(table([0.5] * 6), "pq")
    assert (got.low, got.high) == pytest.approx((0.5 * 0.025 ** (1 / 6), 1 - 0.5 * 0.025 ** (1 / 6)))
    assert math.isnan(interval(table([0.5] * 6, own=0.5), "own").low)  # nothing is known of such a score
    assert math.isnan(interval(table([50.0] * 6), "pq").low)  # nor of one that is no PQ, whatever its name


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_equal_scores_give_a_point_where_patients_are_drawn(method, rng):
    got = interval(table([0.5] * 6), "pq", method=method, rng=rng)
    assert (got.low, got.estimate, got.high) == (0.5, 0.5, 0.5)


def test_large_tables_are_drawn_in_blocks(rng, monkeypatch):
    values = table(rng.normal(0, 1, 50))
    ask = {"metric": "pq", "method": "percentile"}
    whole = interval(values, **ask, rng=np.random.default_rng(0))
    monkeypatch.setattr("histoscope.metrics.resampling._BLOCK", 1000)
    blocks = interval(values, **ask, rng=np.random.default_rng(0))
    assert (blocks.low, blocks.high) == pytest.approx((whole.low, whole.high), abs=0.03)


def test_the_number_of_patients_stands_beside_the_interval():
    assert str(interval(table([0.1, 0.5, 0.6, 0.9], [0, 0, 1, 2]), "pq")).endswith("] (3 patients)")
    assert str(interval(table([0.5]), "pq")) == "0.500 [no interval] (1 patient)"
    by_name = interval(table([0.5, 0.6], name=["a", "b"]), "pq", cluster="name")
    assert (by_name.unit, by_name.basis) == ("name", "2 images")


def test_ends_are_cut_where_the_score_ends():
    wide = interval(table([0.1, 0.9]), "pq")
    cut = wide.within(range_of("pq"))
    assert wide.low < 0 < 1 < wide.high
    assert (cut.low, cut.high, cut.estimate) == (0, 1, wide.estimate)
    assert wide.within(None) == wide
    assert math.isnan(interval(table([0.5]), "pq").within((0, 1)).low)


def test_what_patients_are_called_does_not_matter(rng):
    """Numbers, text and gaps that are no gaps: the same patients, the same interval."""
    values = rng.normal(0.5, 0.1, 6)
    plain = interval(table(values, [0, 0, 1, 1, 2, 2]), "pq")
    for names in (["NA", "None", "nan"], [0, 1, 2], [0.0, 1.0, 2.0], ["0", 1.0, 2]):
        patients = np.repeat(np.array(names, dtype=object), 2)
        assert interval(table(values).assign(patient=patients), "pq") == plain
    mixed = table(values).assign(patient=[0, "0", 1, 1.0, "2", 2])
    assert interval(mixed, "pq") == plain


def test_the_independent_unit_is_the_coarsest_known():
    columns = {"name": ["a", "b"], "source": ["s", ""], "patient": ["p", "q"]}
    assert independent_unit(pd.DataFrame(columns)) == "patient"
    assert independent_unit(pd.DataFrame(columns | {"patient": ["p", None]})) == "name"
    assert independent_unit(pd.DataFrame(columns | {"patient": ["", " "], "source": ["s", "t"]})) == "source"
    with pytest.raises(DataError, match="none of the columns patient, source and name"):
        independent_unit(pd.DataFrame({"pq": [0.1]}))


GOOD = table([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("data", "arguments", "error", "message"),
    [
        (GOOD.rename(columns={"pq": "aji_plus"}), {}, UnknownNameError, "Known: aji_plus"),
        (GOOD.rename(columns={"pq": "pqq"}), {}, UnknownNameError, "did you mean 'pqq'"),
        (GOOD, {"cluster": "patients"}, UnknownNameError, "did you mean 'patient'"),
        (GOOD, {"method": "bcaa"}, UnknownNameError, "did you mean 'bca'"),
        (GOOD.assign(patient=["a", "", "b"]), {}, DataError, "patient is empty in 1 of 3 rows"),
        (GOOD.assign(patient=["a", None, "b"]), {}, DataError, "cluster='source'"),
        (GOOD, {"method": "bca", "rng": None}, ConfigError, "rng is None, expected a seed"),
        (GOOD.assign(pq=["a", "b", "c"]), {}, DataError, "'pq' is not numeric"),
        (GOOD, {"n": 0}, ConfigError, "0 resamples"),
        (GOOD, {"level": 95}, ConfigError, "level is 95"),
    ],
)
def test_bad_input_is_named(data, arguments, error, message, rng):
    with pytest.raises(error, match=message):
        interval(data, "pq", **{"rng": rng} | arguments)
