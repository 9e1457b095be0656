"""Kernel distance: the same as a slow twin, 0 on average for alike sets, and a null that knows patients."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope.errors import ShapeError
from histoscope.metrics import kernel_distance, kernel_distance_with_null


def _slow(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, pair by pair."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (sum(float(p) * float(q) for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    within = [
        sum(kernel(part[i], part[j]) for i in range(len(part)) for j in range(len(part)) if i != j)
        / (len(part) * (len(part) - 1))
        for part in (x, y)
    ]
    between = sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))
    return within[0] + within[1] - 2 * between


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 9), m=st.integers(2, 9), d=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_agrees_with_the_slow_twin(n: int, m: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(0.5, 2, size=(m, d))
    assert kernel_distance(x, y) == pytest.approx(_slow(x, y), rel=1e-9, abs=1e-9)
    assert kernel_distance(x, y) == pytest.approx(kernel_distance(y, x), rel=1e-9, abs=1e-9)


def test_splits_agree_with_the_slow_twin() -> None:
    rng = np.random.default_rng(3)
    x, y, groups = rng.normal(size=(12, 3)), rng.normal(size=(7, 3)), np.repeat([5, 2, 9, 4], 3)
    found = kernel_distance_with_null(x, y, real_groups=groups, n_splits=3, rng=np.random.default_rng(8))
    again, names = np.random.default_rng(8), np.unique(groups)
    for k in range(3):
        order, made = again.permutation(4), again.permutation(7)[:2]
        one, other = (np.isin(groups, names[part]) for part in (order[:2], order[2:]))
        assert found.null[k] == pytest.approx(_slow(x[one], x[other]), abs=1e-9)
        assert found.against[k] == pytest.approx(_slow(x[one], y[made]), abs=1e-9)
    assert found.value == pytest.approx(_slow(x, y), abs=1e-9)


def test_unbiased_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values = [kernel_distance(*rng.normal(size=(2, 30, 4))) for _ in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)
    x, y = rng.normal(size=(2, 30, 4))
    whole = kernel_distance(x, y)
    monkeypatch.setattr(sys.modules[kernel_distance.__module__], "_BLOCK", 7)
    assert kernel_distance(x, y) == pytest.approx(whole, rel=1e-12)


def test_null_keeps_patients_whole() -> None:
    # Patients differ: halves by patient are farther apart than by row, and alike patients are no farther.
    rng = np.random.default_rng(1)

    def patients() -> np.ndarray:
        return (rng.normal(0, 1, (24, 1, 5)) + rng.normal(0, 0.3, (24, 12, 5))).reshape(-1, 5)

    groups = np.repeat(np.arange(24), 12)
    real, alike = patients(), patients()
    by_patient = kernel_distance_with_null(real, alike, real_groups=groups, synthetic_groups=groups)
    by_row = kernel_distance_with_null(real, alike)
    assert np.median(by_patient.null) > 5 * abs(np.median(by_row.null))
    assert 0.1 < by_patient.share_beyond < 0.9
    moved = kernel_distance_with_null(real, alike + 2, real_groups=groups, synthetic_groups=groups)
    assert moved.share_beyond == 1
    assert "farther than real in 100%" in str(moved)


@pytest.mark.parametrize(
    ("real", "synthetic", "words"),
    [
        (np.zeros((3, 2)), np.zeros((3, 4)), "the same d"),
        (np.zeros((1, 2)), np.zeros((3, 2)), "two rows"),
        (np.zeros(3), np.zeros((3, 2)), r"\(N, d\)"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), "NaN"),
    ],
)
def test_wrong_features_say_what_was_expected(real: np.ndarray, synthetic: np.ndarray, words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        kernel_distance(real, synthetic)


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"real_groups holds 2"):
        kernel_distance_with_null(np.zeros((6, 2)), np.zeros((6, 2)), real_groups=[0, 0, 0, 1, 1, 1])
    with pytest.raises(ShapeError, match="a group for each row"):
        kernel_distance_with_null(np.zeros((6, 2)), np.zeros((6, 2)), real_groups=[0, 1])
