"""Suppression: stardist's choice, the greedy rule by brute force, order, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope.errors import ConfigError, ShapeError
from histoscope.geometry import area_px2, draw, object_probability, overlap, star_distances, suppress
from histoscope.metrics import match


def _stardist(points, distances, probability, threshold: float) -> np.ndarray:
    nms = pytest.importorskip("stardist.nms").non_maximum_suppression_inds
    order = np.argsort(-probability, kind="stable")
    kept = nms(distances[order], points[order], probability[order], thresh=threshold, verbose=0)
    return order[kept]


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1])
@pytest.mark.parametrize(("n_rays", "step_px"), [(32, 20), (64, 36)])
def test_keeps_the_nuclei_that_stardist_keeps(
    touching, candidates, noise: float, n_rays: int, step_px: int
) -> None:
    points, distances, probability = candidates(touching(1, 6, step_px), n_rays, noise, 1)
    for threshold in (0.3, 0.4, 0.5):
        ours = suppress(points, distances, probability, iou_threshold=threshold).keep
        np.testing.assert_array_equal(ours, _stardist(points, distances, probability, threshold))


@pytest.mark.parametrize("seed", range(3))
def test_differs_from_stardist_in_tiny_fragments_only(labels, candidates, seed: int) -> None:
    points, distances, probability = candidates(labels(seed, (200, 300), 120), 32, 0.03, seed)
    ours = suppress(points, distances, probability).keep
    theirs = _stardist(points, distances, probability, 0.4)
    differ = np.setxor1d(ours, theirs)
    assert len(differ) < 0.1 * len(theirs)
    assert area_px2(distances[differ]).max(initial=0) < 40


@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from([3, 5, 8, 32]), st.floats(0.05, 0.9))
@settings(max_examples=40, deadline=None)
def test_is_the_greedy_rule(seed: int, n: int, n_rays: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 60, (n, 2)).astype(np.float32)
    distances = rng.uniform(3, 20, (n, n_rays)).astype(np.float32)
    probability = rng.integers(0, 8, n).astype(np.float32)  # many are equal
    keep, winner = suppress(points, distances, probability, iou_threshold=threshold)

    order = np.argsort(-probability, kind="stable")
    assert keep.tolist() == [k for k in order if winner[k] == k]
    rank = np.argsort(order)
    for k in range(n):
        w = winner[k]
        assert winner[w] == w
        assert rank[w] <= rank[k]
        better = [j for j in keep if rank[j] < rank[k]]
        shares = overlap(
            points[better],
            distances[better],
            *(np.repeat(a[k : k + 1], len(better), 0) for a in (points, distances)),
        )
        # Whole-pixel corners and rounded crossings move small overlaps by some percent.
        for j, share in zip(better, shares, strict=True):
            if j == w:
                assert share > threshold - 0.2
            elif rank[j] < rank[w]:
                assert share < threshold + 0.2


def test_first_winner_is_the_most_probable_one() -> None:
    points = np.array([[50, 50], [50, 66], [50, 58]], np.float32)
    distances = np.full((3, 32), 10.0)
    for probability, winner in (((0.9, 0.8, 0.7), 0), ((0.8, 0.9, 0.7), 1)):
        assert suppress(points, distances, probability, iou_threshold=0.2).winner.tolist() == [0, 1, winner]


def test_equal_candidates_keep_the_first_row() -> None:
    keep, winner = suppress(np.full((5, 2), 30.0), np.full((5, 16), 7.0), np.full(5, 0.5))
    assert keep.tolist() == [0]
    assert winner.tolist() == [0] * 5


def test_threshold_is_a_limit_that_must_be_passed() -> None:
    # Two squares of 8 x 8 px (corners at whole pixels) that share exactly a half.
    points, distances = np.array([[20, 20], [20, 24]]), np.full((2, 4), 4.0)
    shares = overlap(points[:1], distances[:1], points[1:], distances[1:])[0]
    for threshold, kept in ((shares, 2), (np.nextafter(np.float32(shares), np.float32(0)), 1)):
        assert len(suppress(points, distances, [1, 0.5], iou_threshold=float(threshold)).keep) == kept


def test_small_inside_large_is_one_nucleus() -> None:
    points = np.full((2, 2), 40.0)
    distances = np.stack([np.full(32, 30.0), np.full(32, 4.0)])
    assert suppress(points, distances, [0.5, 0.9]).keep.tolist() == [1]


def test_rowsmay_come_in_any_order(labels, candidates) -> None:
    points, distances, probability = candidates(labels(0), 16, 0.05, 0)
    keep, winner = suppress(points, distances, probability)
    turn = np.random.default_rng(1).permutation(len(points))
    kept_2, winner_2 = suppress(points[turn], distances[turn], probability[turn])
    np.testing.assert_array_equal(turn[kept_2], keep)
    np.testing.assert_array_equal(turn[winner_2], winner[turn])


def test_threads_and_lots_change_nothing(labels, candidates, monkeypatch: pytest.MonkeyPatch) -> None:
    import numba as nb

    points, distances, probability = candidates(labels(2, (200, 300), 120), 16, 0.1, 0)
    assert len(points) > 5000
    one = suppress(points, distances, probability)
    monkeypatch.setattr(nb.config, "NUMBA_NUM_THREADS", 3)
    monkeypatch.setattr("histoscope.geometry.suppression._SMALLEST", 1)
    for a, b in zip(suppress(points, distances, probability), one, strict=True):
        np.testing.assert_array_equal(a, b)


def test_far_away_huge_and_pointlike_candidates() -> None:
    points = np.array([[0, 0], [-50, -70], [2e8, 3], [-50.2, -70], [10, 10]], np.float32)
    distances = np.full((5, 32), 8.0)
    distances[4] = 0
    distances[0] = 5e4
    keep, winner = suppress(points, distances, [0.1, 0.9, 0.8, 0.7, 0.6])
    assert keep.tolist() == [1, 2, 4]  # without an area nothing is suppressed, and nothing suppresses
    assert winner.tolist() == [1, 1, 2, 1, 4]


def test_nothing_gives_nothing() -> None:
    for points, distances in ((np.zeros((0, 2)), np.zeros((0, 32))), ([], np.zeros((0, 32)))):
        keep, winner = suppress(points, distances, [])
        assert keep.shape == winner.shape == (0,)
        assert keep.dtype == winner.dtype == np.int64


@pytest.mark.parametrize("n_rays", [32, 64])
def test_perfect_predictions_give_the_labels_back(touching, n_rays: int) -> None:
    labels = touching(0, 10, 36)
    for grid in (1, 2):
        probability = object_probability(labels, grid=grid)
        rows, columns = np.nonzero(probability > 0.5)
        distances = star_distances(labels, n_rays, grid=grid)[rows, columns]
        points = np.stack([rows, columns], 1) * grid
        keep, _ = suppress(points, distances, probability[rows, columns])
        assert match(labels, draw(points[keep], distances[keep], labels.shape)).pq > 0.95


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 1e12])
def test_impossible_distances_name_the_candidate(value: float) -> None:
    distances = np.full((4, 8), 3.0)
    distances[2, 5] = value
    with pytest.raises(ShapeError, match="candidate 2"):
        suppress(np.zeros((4, 2)), distances, np.ones(4))


def test_bad_input_is_refused() -> None:
    points, distances = np.zeros((4, 2)), np.ones((4, 8))
    with pytest.raises(ShapeError, match="probability has shape"):
        suppress(points, distances, np.ones(3))
    with pytest.raises(ShapeError, match="candidate 1 is NaN"):
        suppress(points, distances, [1, np.nan, 1, 1])
    with pytest.raises(ShapeError, match="points have shape"):
        suppress(points[:3], distances, np.ones(4))
    with pytest.raises(ShapeError, match="point 0"):
        suppress(np.full((4, 2), np.nan), distances, np.ones(4))
    with pytest.raises(ShapeError, match="3 rays or more"):
        suppress(points, distances[:, :2], np.ones(4))
    for threshold in (-0.1, 1.1, np.nan):
        with pytest.raises(ConfigError, match="iou_threshold"):
            suppress(points, distances, np.ones(4), iou_threshold=threshold)
