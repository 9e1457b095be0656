"""Two groups of patients: intervals, exact tests, and what cannot be said."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind

from histoscope.errors import DataError, ShapeError
from histoscope.metrics import compare_groups
from histoscope.metrics.groups import MANY, _apart


def test_the_distance_is_that_of_welch():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 9), rng.normal(1, 3, 6)
    assert _apart(a, b) == pytest.approx(abs(ttest_ind(a, b, equal_var=False).statistic))


def test_the_p_value_is_exact_for_few_patients():
    found = compare_groups([1.0, 2.0, 3.0], [7.0, 8.0, 9.0, 11.0])
    assert found.p == pytest.approx(1 / 35)  # no other of 35 ways to share out is as far apart
    assert found.smallest_p == pytest.approx(1 / 35)
    assert (found.difference, found.n_a, found.n_b) == (-6.75, 3, 4)
    assert found.low < found.difference < found.high < 0


def test_random_sharing_is_reproducible_and_near_the_exact_p():
    rng = np.random.default_rng(1)
    a, b = rng.lognormal(0, 1, 8), rng.lognormal(0.5, 1, 8)
    drawn, exact = compare_groups(a, b, n=9999).p, compare_groups(a, b, n=100_000).p
    assert drawn == compare_groups(a, b, n=9999).p
    assert drawn == pytest.approx(exact, abs=0.015)


def test_many_patients_take_the_test_that_sharing_out_comes_to():
    rng = np.random.default_rng(4)
    a, b = rng.lognormal(0, 0.5, MANY), rng.lognormal(0.1, 0.5, MANY)
    shared = compare_groups(a[1:], b, n=999).p
    assert compare_groups(a, b).p == pytest.approx(ttest_ind(a, b, equal_var=False).pvalue)
    assert shared == pytest.approx(ttest_ind(a[1:], b, equal_var=False).pvalue, abs=0.05)


def test_exchanging_the_groups_turns_the_sign_alone():
    rng = np.random.default_rng(2)
    a, b = rng.lognormal(0, 1, 5), rng.lognormal(1, 1, 6)
    one, other = compare_groups(a, b), compare_groups(b, a)
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert one.p == pytest.approx(other.p)


def test_the_interval_covers_the_difference_of_few_skewed_patients():
    rng = np.random.default_rng(3)
    found = [
        compare_groups(rng.lognormal(0, 0.7, 4), rng.lognormal(0, 0.7, 9), n=1, rng=rng) for _ in range(300)
    ]
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    assert covered > 0.93


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [([], [1.0, 2.0], math.nan), ([1.0], [1.0, 2.0], math.nan), ([2.0, 2.0], [2.0, 2.0], 1.0)],
)
def test_too_few_or_equal_patients_have_no_interval(a, b, p):
    found = compare_groups(a, b)
    assert found.p == pytest.approx(p, nan_ok=True)
    assert math.isnan(found.low)


def test_intervals_end_at_the_limits():
    a, b = [0.0, 0.1, 9.0], [1.0, 2.0, 1.5]
    assert compare_groups(a, b).low_a < 0
    found = compare_groups(a, b, limits=(0.0, math.inf))
    assert found.low_a == 0.0
    assert compare_groups(a, b).low < found.low < found.difference


def test_unknown_numbers_are_dropped_and_bad_ones_refused():
    assert compare_groups([1.0, math.nan, 2.0], [3.0, 4.0]).n_a == 2
    with pytest.raises(DataError, match="infinite"):
        compare_groups([1.0, math.inf], [1.0])
    with pytest.raises(ShapeError, match=r"shape \(1, 2\), expected a flat list"):
        compare_groups([[1.0, 2.0]], [1.0])
