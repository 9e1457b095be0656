"""Places of classes: distances and neighbourhoods by brute force; random labels are found random."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.errors import ShapeError
from histoscope.metrics.spatial import N_NEIGHBOURS, spatial


def plainly(points, kinds, n):
    """Nearest distances and neighbours from the whole matrix of distances."""
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest, shares = np.full((n, n), np.nan), np.full((n, n), np.nan)
    for a in range(n):
        rows = distances[kinds == a]
        for b in range(n):
            to = rows[:, kinds == b]
            if to.size and np.isfinite(to.min(axis=1)).all():
                nearest[a, b] = to.min(axis=1).mean()
        if len(rows):
            near = kinds[rows.argsort(axis=1)[:, : min(N_NEIGHBOURS, len(points) - 1)]]
            shares[a] = [(near == b).mean() for b in range(n)]
    return nearest, shares


@given(seed=st.integers(0, 10**6), n=st.integers(2, 300), n_classes=st.integers(1, 4))
def test_distances_and_neighbours_by_brute_force(seed, n, n_classes):
    rng = np.random.default_rng(seed)
    points, kinds = rng.uniform(0, 500, (n, 2)), rng.integers(0, n_classes, n)
    found = spatial(points, kinds, n_classes, n_permutations=2)
    nearest, shares = plainly(points, kinds, n_classes)
    np.testing.assert_allclose(found.nearest_um, nearest)
    np.testing.assert_allclose(found.neighbours, shares)


def test_random_labels_are_found_random():
    rng = np.random.default_rng(1)
    small = []
    for _ in range(60):
        points, kinds = rng.uniform(0, 400, (150, 2)), rng.permutation(np.repeat([0, 1], [120, 30]))
        small.append(spatial(points, kinds, 2, n_permutations=39, rng=rng).p_value[0, 1] <= 0.1)
    assert 0 <= np.mean(small) < 0.25  # a tenth, within what 60 draws allow


def test_clusters_are_found():
    rng = np.random.default_rng(2)
    points = np.concatenate([rng.uniform(0, 1000, (800, 2)), rng.normal(500, 30, (100, 2))])
    kinds = np.repeat([0, 1], [800, 100])
    found = spatial(points, kinds, 2)
    assert found.p_value[1, 1] == pytest.approx(0.02)
    assert found.nearest_um[1, 1] < 0.5 * found.nearest_random_um[1, 1]
    assert found.neighbours[1, 1] > 5 * found.neighbours_random[1, 1]


def test_a_sample_of_sources_says_nearly_the_same(monkeypatch):
    rng = np.random.default_rng(3)
    points, kinds = rng.uniform(0, 3000, (6000, 2)), rng.integers(0, 3, 6000)
    whole = spatial(points, kinds, 3, n_permutations=9)
    monkeypatch.setattr("histoscope.metrics.spatial.MOST_SOURCES", 700)
    some = spatial(points, kinds, 3, n_permutations=9)
    np.testing.assert_allclose(some.nearest_um, whole.nearest_um, rtol=0.08)
    np.testing.assert_allclose(some.nearest_random_um, whole.nearest_random_um, rtol=0.08)


def test_rare_and_absent_classes():
    points = np.array([[0.0, 0], [3, 4], [6, 8], [0, 1]])
    found = spatial(points, np.array([0, 0, 0, 2]), 3)
    assert found.nearest_um[0, 2] == pytest.approx((1 + np.hypot(3, 3) + np.hypot(6, 7)) / 3)
    assert np.isnan(found.nearest_um[2, 2])
    assert np.isnan(found.nearest_um[:, 1]).all()
    assert np.isnan(found.nearest_um[1]).all()
    for few in (0, 1):
        assert np.isnan(spatial(points[:few], np.zeros(few, int), 2).nearest_um).all()


def test_what_does_not_fit_is_told():
    with pytest.raises(ShapeError, match=r"expected \(N, 2\) and \(N,\)"):
        spatial(np.zeros((3, 2)), np.zeros(2, int), 2)
    with pytest.raises(ShapeError, match="expected 0 to 1"):
        spatial(np.zeros((3, 2)), np.array([0, 1, 2]), 2)
