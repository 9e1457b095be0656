import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from histoscope import metrics
from histoscope.errors import DataError, ShapeError


@st.composite
def predictions(draw, most_classes=4):
    """Give truth and probabilities on a coarse grid, so that ties are frequent."""
    n_classes = draw(st.integers(2, most_classes))
    n = draw(st.integers(1, 25))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, (n, n_classes)) + (rng.random((n, n_classes)) < 0.1) * 20 + 0.5
    return rng.integers(0, n_classes, n), weights / weights.sum(1, keepdims=True)


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_counts_equal_scikit_learn(case):
    true, p = case
    predicted, classes = p.argmax(1), list(range(p.shape[1]))
    assert (
        metrics.confusion(true, predicted, len(classes))
        == sk.confusion_matrix(true, predicted, labels=classes)
    ).all()
    assert metrics.accuracy(true, p) == pytest.approx(sk.accuracy_score(true, predicted))
    assert metrics.balanced_accuracy(true, p) == pytest.approx(
        quietly(sk.balanced_accuracy_score, true, predicted)
    )
    assert metrics.macro_f1(true, p) == pytest.approx(sk.f1_score(true, predicted, average="macro"))
    theirs = quietly(sk.cohen_kappa_score, true, predicted)
    assert metrics.kappa(true, p) == pytest.approx(theirs, nan_ok=True)


LABELS = [
    (metrics.accuracy, sk.accuracy_score),
    (metrics.balanced_accuracy, sk.balanced_accuracy_score),
    (metrics.macro_f1, lambda true, predicted: sk.f1_score(true, predicted, average="macro")),
    (metrics.kappa, sk.cohen_kappa_score),
]


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_labels_are_taken_as_scikit_learn_takes_them(case):
    true, p = case
    predicted = p.argmax(1)
    names = np.array(["tumour", "benign", "in situ", "invasive"])
    for ours, theirs in LABELS:
        expected = pytest.approx(quietly(theirs, true, predicted), nan_ok=True)
        assert ours(true, predicted) == expected
        assert ours(true * 7 - 3, predicted * 7 - 3) == expected  # any whole numbers
        assert ours(names[true], names[predicted]) == expected
        assert ours(list(names[true]), pd.Series(names[predicted])) == expected
        assert ours(true, p) == expected


@pytest.mark.parametrize(
    ("true", "predicted"),
    [([0, 1], [0]), ([0, 1], ["a", "b"]), ([0.0, 1.0], [0, 1]), (["a"], [None]), ([0, 1], [0.2, 0.8])],
    ids=["lengths", "numbers and text", "floats", "missing", "scores"],
)
def test_labels_that_do_not_fit_are_refused(true, predicted):
    with pytest.raises(ShapeError, match=r"expected .*\(N, C\)"):
        metrics.accuracy(true, predicted)


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_areas_equal_scikit_learn_class_by_class(case):
    true, p = case
    roc, precision_recall = metrics.auroc_by_class(true, p), metrics.auprc_by_class(true, p)
    defined = []
    for place in range(p.shape[1]):
        mine = true == place
        if mine.all() or not mine.any():
            assert np.isnan(roc[place])
            assert np.isnan(precision_recall[place])
            continue
        defined.append(place)
        assert roc[place] == pytest.approx(sk.roc_auc_score(mine, p[:, place]))
        assert precision_recall[place] == pytest.approx(sk.average_precision_score(mine, p[:, place]))
    if defined:
        assert metrics.auroc(true, p) == pytest.approx(roc[defined].mean())
        assert metrics.auprc(true, p) == pytest.approx(precision_recall[defined].mean())
    else:
        assert np.isnan(metrics.auroc(true, p))


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_losses_equal_scikit_learn(case):
    true, p = case
    classes = list(range(p.shape[1]))
    assert metrics.nll(true, p) == pytest.approx(sk.log_loss(true, p, labels=classes))
    theirs = sk.brier_score_loss(true, p, labels=classes, scale_by_half=False)
    assert metrics.brier(true, p) == pytest.approx(theirs)


@settings(max_examples=40, deadline=None)
@given(predictions(), st.integers(0, 99))
def test_order_of_patches_and_names_of_classes_change_nothing(case, seed):
    true, p = case
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(true))
    swap = rng.permutation(p.shape[1])
    renamed, moved = np.argsort(swap)[true], p[:, swap]
    for name in ("accuracy", "macro_f1", "auroc", "auprc", "nll", "brier", "ece"):
        score = getattr(metrics, name)
        assert score(true[order], p[order]) == pytest.approx(score(true, p), nan_ok=True), name
        if name in {"auroc", "auprc", "nll", "brier"}:  # where the predicted class is not asked for: no ties
            assert score(renamed, moved) == pytest.approx(score(true, p), nan_ok=True), name


def test_a_perfect_and_an_always_wrong_model():
    true = np.array([0, 1, 2, 2])
    right, wrong = np.eye(3)[true], np.eye(3)[(true + 1) % 3]
    best = {"accuracy": 1, "balanced_accuracy": 1, "macro_f1": 1, "auroc": 1, "auprc": 1, "kappa": 1}
    for name, value in {**best, "ece": 0, "nll": 0, "brier": 0}.items():
        assert getattr(metrics, name)(true, right) == pytest.approx(value)
    assert metrics.accuracy(true, wrong) == metrics.macro_f1(true, wrong) == 0
    assert metrics.brier(true, wrong) == 2
    assert metrics.nll(true, wrong) == pytest.approx(-np.log(np.finfo(float).eps))


def test_undefined_is_nan():
    none = np.empty((0, 2))
    assert np.isnan(metrics.accuracy([], []))
    for name in (
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "kappa",
        "auroc",
        "auprc",
        "nll",
        "brier",
        "ece",
    ):
        assert np.isnan(getattr(metrics, name)([], none)), name
    alone = [[0.9, 0.1]] * 3
    assert np.isnan(metrics.kappa([0, 0, 0], alone))
    assert np.isnan(metrics.auroc([0, 0, 0], alone))
    assert metrics.accuracy([0, 0, 0], alone) == 1


@pytest.mark.parametrize(
    ("true", "p", "error", "told"),
    [
        ([0, 1], [[0.5, 0.5]], ShapeError, "2 true classes for 1"),
        ([0], [0.5], ShapeError, r"expected \(N, C\)"),
        ([2], [[0.5, 0.5]], DataError, "expected 0 to 1"),
        ([-1], [[0.5, 0.5]], DataError, "from -1"),
        ([0.0], [[0.5, 0.5]], ShapeError, "whole numbers"),
        ([0], [[0.5, 0.6]], DataError, "softmax"),
        ([0], [[3.0, -2.0]], DataError, "softmax"),
        ([0], [[np.nan, 1.0]], DataError, "row 0"),
    ],
)
def test_wrong_input_is_told(true, p, error, told):
    with pytest.raises(error, match=told):
        metrics.accuracy(true, p)


def test_confusion_of_unequal_lists():
    with pytest.raises(ShapeError, match="1 true and 2 predicted"):
        metrics.confusion([0], [0, 1], 2)
