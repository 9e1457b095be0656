import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from histoscope.errors import ConfigError
from histoscope.metrics import (
    AP_THRESHOLDS,
    Matches,
    aji,
    aji_plus,
    average_precision,
    match,
    overlap,
    pq_image_mean,
)

TINY = arrays(np.int32, (2, 4, 5), elements=st.integers(0, 3))
COUNTS = st.builds(Matches, *[st.integers(0, 1000)] * 3)
AT_LEAST_HALF = float(np.nextafter(0.5, 0))


# Slow twins: full masks, no table, written from the definitions.


def masks(labels):
    return [labels == k for k in np.unique(labels) if k > 0]


def slow_ious(true, pred):
    return np.array(
        [[(t & p).sum() / (t | p).sum() for p in masks(pred)] for t in masks(true)], float
    ).reshape(len(masks(true)), len(masks(pred)))


def slow_match(true, pred, threshold):
    """Best one-to-one choice by trying them all: most pairs first, then the largest sum."""
    ious = slow_ious(true, pred)
    if ious.shape[0] > ious.shape[1]:
        ious = ious.T
    best = (0, 0.0)
    for columns in itertools.permutations(range(ious.shape[1]), ious.shape[0]):
        chosen = [ious[row, column] for row, column in enumerate(columns) if ious[row, column] > threshold]
        best = max(best, (len(chosen), sum(chosen)))
    return best


def slow_aji(true, pred):
    trues, preds = masks(true), masks(pred)
    inter = union = 0
    used = set()
    for t in trues:
        touching = sorted(
            (k for k, p in enumerate(preds) if (t & p).any()), key=lambda k: np.argmax(t & preds[k])
        )
        if not touching:
            union += t.sum()
            continue
        best = max(touching, key=lambda k: (t & preds[k]).sum() / (t | preds[k]).sum())
        inter, union = inter + (t & preds[best]).sum(), union + (t | preds[best]).sum()
        used.add(best)
    union += sum(p.sum() for k, p in enumerate(preds) if k not in used)
    return inter / union if union else math.nan


def aji_of(true, pred, pairs):
    trues, preds = masks(true), masks(pred)
    inter = sum((trues[i] & preds[j]).sum() for i, j in pairs)
    union = sum((trues[i] | preds[j]).sum() for i, j in pairs)
    rows, columns = {i for i, _ in pairs}, {j for _, j in pairs}
    union += sum(t.sum() for i, t in enumerate(trues) if i not in rows)
    union += sum(p.sum() for j, p in enumerate(preds) if j not in columns)
    return inter / union if union else math.nan


def slow_aji_plus(true, pred):
    ious = slow_ious(true, pred)
    pairs = [(i, j) for i, j in zip(*linear_sum_assignment(-ious), strict=True) if ious[i, j] > 0]
    return aji_of(true, pred, pairs)


@pytest.mark.parametrize("seed", range(4))
def test_equal_the_slow_twins_on_nuclei(seed, nuclei):
    true, pred = nuclei(seed, side=7)
    ious = slow_ious(true, pred)
    hits = ious > 0.5
    expected = Matches(int(hits.sum()), int((~hits.any(0)).sum()), int((~hits.any(1)).sum()))
    got = match(true, pred)
    assert (got.tp, got.fp, got.fn) == (expected.tp, expected.fp, expected.fn)
    assert got.sum_iou == pytest.approx(ious[hits].sum())
    assert aji(true, pred) == pytest.approx(slow_aji(true, pred))
    assert aji_plus(true, pred) == pytest.approx(slow_aji_plus(true, pred))
    assert 0 < aji_plus(true, pred) < 1


@given(TINY, st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.49, AT_LEAST_HALF, 0.5, 0.75]))
def test_matching_is_the_best_of_all(maps, threshold):
    got = match(*maps, iou_threshold=threshold)
    tp, sum_iou = slow_match(*maps, threshold)
    assert got.tp == tp
    assert got.sum_iou == pytest.approx(sum_iou)
    assert got.tp + got.fn == len(masks(maps[0]))
    assert got.tp + got.fp == len(masks(maps[1]))


@given(TINY)
def test_aji_equals_its_slow_twin(maps):
    assert aji(*maps) == pytest.approx(slow_aji(*maps), nan_ok=True)


@given(TINY)
def test_aji_plus_is_that_of_a_best_assignment(maps):
    """Several assignments may be best; the score must be of one of them."""
    ious = slow_ious(*maps)
    rows, columns = ious.shape
    assignments: dict[tuple, float] = {}
    for choice in itertools.product([None, *range(columns)], repeat=rows):
        taken = [j for j in choice if j is not None]
        pairs = [(i, j) for i, j in enumerate(choice) if j is not None and ious[i, j] > 0]
        if len(taken) == len(set(taken)):
            assignments[tuple(pairs)] = sum(ious[i, j] for i, j in pairs)
    best = max(assignments.values())
    scores = [aji_of(*maps, list(pairs)) for pairs, total in assignments.items() if total > best - 1e-9]
    got = aji_plus(*maps)
    assert any(got == pytest.approx(score, nan_ok=True) for score in scores)


@pytest.mark.parametrize("seed", range(3))
def test_assignment_where_everything_touches_everything(seed):
    """No pair is clear here, so all of them go to the solver; scipy's dense one is the judge."""
    rng = np.random.default_rng(seed)
    true, pred = rng.integers(0, 40, (2, 70, 70), dtype=np.int32)
    ious = slow_ious(true, pred)
    assert aji_plus(true, pred) == pytest.approx(slow_aji_plus(true, pred))
    weights = np.where(ious > 0.012, 100 + ious, 0)
    best = linear_sum_assignment(weights, maximize=True)
    got = match(true, pred, iou_threshold=0.012)
    assert 0 < got.tp == int((weights[best] > 0).sum())
    assert got.sum_iou == pytest.approx(ious[best][weights[best] > 0].sum())


@given(TINY)
def test_bounds_order_and_exchange(maps):
    table, swapped = overlap(*maps), overlap(*maps[::-1])
    forth, back = match(table), match(swapped)
    assert (forth.tp, forth.fp, forth.fn) == (back.tp, back.fn, back.fp)
    assert forth.sum_iou == pytest.approx(back.sum_iou)
    for score in (aji(table), aji_plus(table), forth.pq, forth.dq, forth.sq, average_precision(table)):
        assert math.isnan(score) or 0 <= score <= 1
    if forth.tp:
        assert forth.pq == pytest.approx(forth.sq * forth.dq)
        assert forth.sq > 0.5
    counts = [match(table, iou_threshold=threshold).tp for threshold in (0.0, *AP_THRESHOLDS)]
    assert counts == sorted(counts, reverse=True)


@given(arrays(np.int32, (4, 5), elements=st.integers(0, 3)))
def test_a_map_matches_itself(labels):
    n = len(masks(labels))
    one = 1.0 if n else math.nan
    assert match(labels, labels) == Matches(tp=n, sum_iou=n)
    for score in (aji(labels, labels), aji_plus(labels, labels), average_precision(labels, labels)):
        assert score == pytest.approx(one, nan_ok=True)


@given(COUNTS, COUNTS)
def test_counts_add(a, b):
    total = a + b
    assert (total.tp, total.fp, total.fn) == (a.tp + b.tp, a.fp + b.fp, a.fn + b.fn)
    assert total.f1 == pytest.approx(total.dq, nan_ok=True)
    if total.tp:
        assert total.f1 == pytest.approx(2 / (1 / total.precision + 1 / total.recall))
        assert total.ap == pytest.approx(total.f1 / (2 - total.f1))


def test_adding_matches_is_pooling_images(nuclei):
    parts = [nuclei(seed, side=4) for seed in range(3)]
    shift = np.arange(3)[:, None, None] * 1000
    whole = [
        np.concatenate([labels + move * (labels > 0) for labels, move in zip(maps, shift, strict=True)])
        for maps in zip(*parts, strict=True)
    ]
    total, pooled = sum((match(*part) for part in parts), Matches()), match(*whole)
    assert (total.tp, total.fp, total.fn) == (pooled.tp, pooled.fp, pooled.fn)
    assert total.sum_iou == pytest.approx(pooled.sum_iou)
    assert total.pq != pytest.approx(pq_image_mean(match(*part) for part in parts))


def test_a_prediction_taken_twice_counts_twice_in_aji_and_once_in_aji_plus():
    true, pred = [[1, 1, 2, 2, 2]], [[5, 5, 5, 5, 5]]
    assert aji(true, pred) == pytest.approx((2 + 3) / (5 + 5))
    assert aji_plus(true, pred) == pytest.approx(3 / (5 + 2))


def test_a_tie_goes_to_the_first_in_reading_order():
    # IoU of 2 with both is 1/3 (1 of 3 pixels); the left one is taken, the right one left over.
    true, pred = [[0, 1, 1, 0]], [[9, 9, 4, 4]]
    assert aji(true, pred) == pytest.approx(1 / (3 + 2))


def test_exactly_half_is_no_match():
    true, pred = [[1, 1, 0]], [[1, 0, 0]]
    assert match(true, pred) == Matches(fp=1, fn=1)
    assert match(true, pred, iou_threshold=AT_LEAST_HALF) == Matches(tp=1, sum_iou=0.5)


def test_two_rivals_at_exactly_half_make_one_match():
    assert match([[1, 1]], [[1, 2]], iou_threshold=AT_LEAST_HALF) == Matches(tp=1, fp=1, sum_iou=0.5)


@pytest.mark.parametrize("threshold", AP_THRESHOLDS)
def test_every_threshold_is_strict_to_the_last_bit(threshold):
    true = np.ones((1, 20), np.int32)
    pred = np.zeros_like(true)
    pred[0, : round(threshold * 20)] = 1
    assert match(true, pred, iou_threshold=threshold).tp == 0
    assert match(true, pred, iou_threshold=float(np.nextafter(threshold, 0))).tp == 1


@pytest.mark.parametrize(
    ("true", "pred", "aji_value", "counts"),
    [
        ([[0, 0]], [[0, 0]], math.nan, Matches()),
        ([[1, 0]], [[0, 0]], 0.0, Matches(fn=1)),
        ([[0, 0]], [[1, 0]], 0.0, Matches(fp=1)),
    ],
)
def test_empty_sides(true, pred, aji_value, counts):
    assert match(true, pred) == counts
    assert match(true, pred, iou_threshold=0.0) == counts
    for score in (aji(true, pred), aji_plus(true, pred), counts.pq, average_precision(true, pred)):
        assert score == pytest.approx(aji_value, nan_ok=True)
    assert math.isnan(counts.sq)


def test_image_mean_leaves_out_undefined_images():
    assert pq_image_mean([Matches(tp=1, sum_iou=0.6), Matches(fp=1), Matches()]) == pytest.approx(0.3)
    assert math.isnan(pq_image_mean([Matches()]))
    assert math.isnan(pq_image_mean([]))


@pytest.mark.parametrize("threshold", [-0.1, 1.0, 1.5, math.nan])
def test_bad_thresholds(threshold):
    with pytest.raises(ConfigError, match="IoU threshold is"):
        match([[1]], [[1]], iou_threshold=threshold)
    with pytest.raises(ConfigError, match="no IoU thresholds"):
        average_precision([[1]], [[1]], thresholds=())


# Independent implementations.


@pytest.mark.parametrize("seed", range(3))
def test_equals_stardist(seed, nuclei):
    stardist = pytest.importorskip("stardist.matching")
    table = overlap(*nuclei(seed))
    for threshold in (0.1, 0.3, *AP_THRESHOLDS):
        theirs = stardist.matching(*nuclei(seed), thresh=threshold)
        # stardist counts IoU of at least the threshold.
        ours = match(table, iou_threshold=float(np.nextafter(threshold, 0)))
        assert (ours.tp, ours.fp, ours.fn) == (theirs.tp, theirs.fp, theirs.fn)
        if ours.tp:  # there stardist says 0, we say that it is undefined
            assert ours.sq == pytest.approx(theirs.mean_true_score / theirs.recall)
        assert ours.pq == pytest.approx(theirs.panoptic_quality)
        assert ours.f1 == pytest.approx(theirs.f1)
        assert ours.ap == pytest.approx(theirs.accuracy)


@pytest.mark.slow  # for the import
def test_equals_torchmetrics(nuclei):
    torch = pytest.importorskip("torch")
    panoptic = pytest.importorskip("torchmetrics.functional.detection").panoptic_quality
    true, pred = nuclei(0, side=6)

    def stacked(labels):  # category 1 for nuclei, 0 for background; then the instance
        return torch.from_numpy(np.stack([labels > 0, labels], -1).astype(np.int64))[None]

    scores = panoptic(
        stacked(pred), stacked(true), things={1}, stuffs={0}, return_sq_and_rq=True, return_per_class=True
    )
    ours = match(true, pred)
    assert scores.flatten()[:3].tolist() == pytest.approx([ours.pq, ours.sq, ours.dq], abs=1e-6)
