import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from histoscope.metrics import Pixels, dice, iou, mcc, pixel_accuracy, pixels, precision, recall

COUNTS = st.builds(Pixels, *[st.integers(0, 10**9)] * 4)


@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn(seed, nuclei):
    true, pred = nuclei(seed)
    masks = (true > 0).ravel(), (pred > 0).ravel()
    for ours, theirs in [
        (pixel_accuracy, sk.accuracy_score),
        (precision, sk.precision_score),
        (recall, sk.recall_score),
        (dice, sk.f1_score),
        (iou, sk.jaccard_score),
        (mcc, sk.matthews_corrcoef),
    ]:
        assert ours(true, pred) == pytest.approx(theirs(*masks), abs=1e-12)


@given(arrays(np.uint8, (2, 3, 4), elements=st.integers(0, 2)))
def test_equals_scikit_learn_on_tiny_maps(maps):
    true, pred = maps
    masks = (true > 0).ravel(), (pred > 0).ravel()
    assert dice(true, pred) == pytest.approx(sk.f1_score(*masks, zero_division=np.nan), nan_ok=True)
    assert iou(true, pred) == pytest.approx(
        sk.jaccard_score(*masks) if (true > 0).any() or (pred > 0).any() else math.nan, nan_ok=True
    )
    assert precision(true, pred) == pytest.approx(
        sk.precision_score(*masks, zero_division=np.nan), nan_ok=True
    )
    assert recall(true, pred) == pytest.approx(sk.recall_score(*masks, zero_division=np.nan), nan_ok=True)
    both_kinds = all(0 < mask.sum() < mask.size for mask in masks)
    assert math.isnan(mcc(true, pred)) != both_kinds
    if both_kinds:
        assert mcc(true, pred) == pytest.approx(sk.matthews_corrcoef(*masks), abs=1e-12)


@given(COUNTS)
def test_bounds_and_relations(counts):
    for score in (counts.accuracy, counts.precision, counts.recall, counts.dice, counts.iou):
        assert math.isnan(score) or 0 <= score <= 1
    assert math.isnan(counts.mcc) or abs(counts.mcc) <= 1 + 1e-9
    if not math.isnan(counts.dice):
        assert counts.dice == pytest.approx(2 * counts.iou / (1 + counts.iou))
    swapped = Pixels(counts.tp, counts.fn, counts.fp, counts.tn)
    assert counts.precision == pytest.approx(swapped.recall, nan_ok=True)
    assert counts.dice == pytest.approx(swapped.dice, nan_ok=True)
    assert counts.mcc == pytest.approx(swapped.mcc, nan_ok=True)


def test_adding_counts_is_pooling_images(nuclei):
    parts = [nuclei(seed, side=4) for seed in range(3)]
    whole = [np.concatenate(maps) for maps in zip(*parts, strict=True)]
    assert sum((pixels(*part) for part in parts), Pixels()) == pixels(*whole)


@pytest.mark.parametrize(
    ("true", "pred", "expected"),
    [
        ([[0, 0]], [[0, 0]], {"pixel_accuracy": 1.0}),
        ([[1, 0]], [[0, 0]], {"pixel_accuracy": 0.5, "recall": 0.0, "dice": 0.0, "iou": 0.0}),
        ([[0, 0]], [[1, 0]], {"pixel_accuracy": 0.5, "precision": 0.0, "dice": 0.0, "iou": 0.0}),
    ],
)
def test_undefined_is_nan_not_zero(true, pred, expected):
    functions = {f.__name__: f for f in (pixel_accuracy, precision, recall, dice, iou, mcc)}
    for name, function in functions.items():
        assert function(true, pred) == pytest.approx(expected.get(name, math.nan), nan_ok=True), name


def test_an_image_of_no_pixels_has_no_scores():
    assert math.isnan(pixel_accuracy(np.zeros((0, 4), int), np.zeros((0, 4), int)))
