import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from histoscope.errors import ConfigError, DataError, UnknownNameError
from histoscope.metrics import independent_unit, interval
from histoscope.metrics.intervals import cluster_bootstrap

METHODS = ("expanded", "percentile", "bca")


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


def test_expanded_is_students_interval_for_normal_data(rng):
    values = stats.norm.ppf((np.arange(12) + 0.5) / 12)
    got = interval(table(values), "pq", n=50_000, rng=rng)
    expected = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    # Without the factor for n - 1 the interval would be 4 % narrower, with the normal law 11 %.
    assert [got.low, got.high] == pytest.approx(expected, abs=0.015 * (expected[1] - expected[0]))


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
    assert min(values) - slack <= first.low <= first.high <= max(values) + slack
    assert first.low - slack <= first.estimate <= first.high + slack


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


@pytest.mark.slow
@pytest.mark.parametrize(("n_patients", "lowest"), [(6, 0.90), (14, 0.925), (30, 0.93)])
def test_coverage_is_near_nominal(n_patients, lowest, rng):
    """Of 95 % intervals about 95 % hold the truth: images of a patient alike, patients of unequal size.

    With 1,500 simulations the standard error is .006.
    """
    covered, simulations = 0, 1500
    for _ in range(simulations):
        patients = np.repeat(np.arange(n_patients), rng.integers(1, 5, n_patients))
        values = rng.normal(0, 1, n_patients)[patients] + rng.normal(0, 0.5, len(patients))
        low, high = cluster_bootstrap(values, patients, n=500, level=0.95, method="expanded", rng=rng)
        covered += low <= 0 <= high
    assert lowest <= covered / simulations <= 0.975


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
    assert "nan" in str(got)


@pytest.mark.parametrize("method", METHODS)
def test_equal_scores_give_a_point(method, rng):
    got = interval(table([0.5] * 6), "pq", method=method, rng=rng)
    assert (got.low, got.estimate, got.high) == (0.5, 0.5, 0.5)


def test_large_tables_are_drawn_in_blocks(rng, monkeypatch):
    values = table(rng.normal(0, 1, 50))
    whole = interval(values, "pq", rng=np.random.default_rng(0))
    monkeypatch.setattr("histoscope.metrics.intervals._BLOCK", 1000)
    blocks = interval(values, "pq", rng=np.random.default_rng(0))
    assert (blocks.low, blocks.high) == pytest.approx((whole.low, whole.high), abs=0.03)


def test_the_independent_unit_is_the_coarsest_known():
    columns = {"name": ["a", "b"], "source": ["s", ""], "patient": ["p", "q"]}
    assert independent_unit(pd.DataFrame(columns)) == "patient"
    assert independent_unit(pd.DataFrame(columns | {"patient": ["p", None]})) == "name"
    assert independent_unit(pd.DataFrame(columns | {"patient": ["", " "], "source": ["s", "t"]})) == "source"
    with pytest.raises(DataError, match="no column patient, source or name"):
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
        (GOOD.assign(pq=["a", "b", "c"]), {}, DataError, "'pq' is not numeric"),
        (GOOD, {"n": 0}, ConfigError, "0 resamples"),
        (GOOD, {"level": 95}, ConfigError, "level is 95"),
    ],
)
def test_bad_input_is_named(data, arguments, error, message, rng):
    with pytest.raises(error, match=message):
        interval(data, "pq", rng=rng, **arguments)
