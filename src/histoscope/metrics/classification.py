"""Scores of patch classification.

Functions take ``true`` (N,) and ``probability`` (N, C); the predicted class has the largest probability, the
first of equals. Scores that only need predicted classes also take these (N,), as integers or names, like
scikit-learn. Classes for which a score is undefined are excluded from its mean.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import DataError, ShapeError
from histoscope.metrics.pooling import Function, Values, divide, mean_of_defined
from histoscope.renamed import renamed

_LEAST = float(np.finfo(np.float64).eps)  # as scikit-learn's log_loss: a zero would cost infinitely much
_ROUNDING = 0.02  # for rounded tables and half precision


def confusion(true: ArrayLike, predicted: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Confusion matrix: patches by true class (row) and predicted class (column).

    Parameters
    ----------
    true, predicted : (N,) int
        Classes from 0 to ``n_classes - 1``.
    n_classes : int

    Returns
    -------
    (C, C) int64

    Raises
    ------
    ShapeError
        If the lists differ in length.
    DataError
        If a class is out of range.

    Examples
    --------
    >>> confusion([0, 0, 1], [0, 1, 1], 2)
    array([[1, 1],
           [0, 1]])
    """
    rows, columns = _labels(true, n_classes, "true"), _labels(predicted, n_classes, "predicted")
    if len(rows) != len(columns):
        raise ShapeError(
            f"{len(rows)} true and {len(columns)} predicted classes; expected one of each per patch"
        )
    counts = np.bincount(rows * n_classes + columns, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


@renamed(probability="predicted")
def accuracy(true: ArrayLike, predicted: ArrayLike) -> float:
    """Share of patches whose predicted class is the true one; NaN without patches.

    Parameters
    ----------
    true : (N,) whole numbers or text
        Classes; numbers from 0, where probabilities are given.
    predicted : (N, C) float, or (N,) whole numbers or text
        Probabilities of the classes, or the predicted classes.

    Examples
    --------
    >>> accuracy([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    0.6666666666666666
    >>> accuracy([0, 1, 1], [0, 0, 1]), accuracy(["benign", "tumour"], ["tumour", "tumour"])
    (0.6666666666666666, 0.5)
    """
    return _from_confusion(accuracy_of, true, predicted)


@renamed(probability="predicted")
def balanced_accuracy(true: ArrayLike, predicted: ArrayLike) -> float:
    """Mean recall of the classes that occur.

    Examples
    --------
    >>> balanced_accuracy([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    0.75
    """
    return _from_confusion(balanced_accuracy_of, true, predicted)


@renamed(probability="predicted")
def macro_f1(true: ArrayLike, predicted: ArrayLike) -> float:
    """Mean F1 of the classes; a class that neither occurs nor is predicted is excluded.

    Examples
    --------
    >>> round(macro_f1([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), 3)
    0.667
    """
    return _from_confusion(macro_f1_of, true, predicted)


@renamed(probability="predicted")
def kappa(true: ArrayLike, predicted: ArrayLike) -> float:
    """Cohen's kappa: agreement beyond chance; 0 is chance, 1 is perfect.

    NaN where chance agreement is 1: a single class, true and predicted.

    References
    ----------
    .. [1] Cohen, Educational and Psychological Measurement 20(1), 1960, doi:10.1177/001316446002000104

    Examples
    --------
    >>> kappa([0, 0, 1, 1], [[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.1, 0.9]])
    0.5
    """
    return _from_confusion(kappa_of, true, predicted)


def accuracy_of(counts: Values) -> Values:
    """Accuracy from tables of counts (..., C, C)."""
    return divide(_diagonal(counts).sum(-1), counts.sum((-2, -1)))


def balanced_accuracy_of(counts: Values) -> Values:
    """Mean recall of the classes that occur, from tables of counts (..., C, C)."""
    return mean_of_defined(divide(_diagonal(counts), counts.sum(-1)))


def macro_f1_of(counts: Values) -> Values:
    """Mean F1 of classes from tables of counts (..., C, C)."""
    return mean_of_defined(divide(2 * _diagonal(counts), counts.sum(-1) + counts.sum(-2)))


def kappa_of(counts: Values) -> Values:
    """Cohen's kappa from tables of counts (..., C, C)."""
    total = counts.sum((-2, -1))
    by_chance = (counts.sum(-1) * counts.sum(-2)).sum(-1)  # times total, as is the rest: whole numbers
    return divide(total * _diagonal(counts).sum(-1) - by_chance, total**2 - by_chance)


def nll(true: ArrayLike, probability: ArrayLike) -> float:
    """Mean negative log-likelihood (log loss) of the true class, natural logarithm; 0 is best.

    Probabilities are clipped to 2.2e-16 as in scikit-learn, so that it is finite.

    Examples
    --------
    >>> round(nll([0, 1], [[0.9, 0.1], [0.5, 0.5]]), 4)
    0.3993
    """
    return _mean(log_losses(*checked(true, probability)))


def brier(true: ArrayLike, probability: ArrayLike) -> float:
    """Brier score: mean squared error of the probabilities, summed over classes.

    From 0, best, to 2, certain and always wrong. For two classes it is twice the one-class form.

    References
    ----------
    .. [1] Brier, Monthly Weather Review 78(1), 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2

    Examples
    --------
    >>> round(brier([0, 1], [[0.9, 0.1], [0.5, 0.5]]), 3)
    0.26
    """
    return _mean(squared_distances(*checked(true, probability)))


def log_losses(true: NDArray[np.intp], probability: Values) -> Values:
    """Negative log-likelihood of each patch, (N,)."""
    chosen = probability[np.arange(len(true)), true]
    losses: Values = -np.log(np.clip(chosen, _LEAST, 1.0))
    return losses


def squared_distances(true: NDArray[np.intp], probability: Values) -> Values:
    """Squared distance of each patch's probabilities from its truth, (N,)."""
    distance = probability.copy()
    distance[np.arange(len(true)), true] -= 1.0
    squares: Values = np.square(distance).sum(axis=1)
    return squares


def checked(true: ArrayLike, probability: ArrayLike) -> tuple[NDArray[np.intp], Values]:
    """Validated arrays of true classes (N,) and probabilities (N, C).

    Raises
    ------
    ShapeError
        If they are not (N,) and (N, C).
    DataError
        If a class has no column, or a row is not a distribution.
    """
    p = np.asarray(probability, np.float64)
    if p.ndim != 2 or p.shape[1] == 0:
        raise ShapeError(f"probabilities have shape {p.shape}, expected (N, C): patches, classes")
    labels = _labels(true, p.shape[1], "true")
    if len(labels) != len(p):
        raise ShapeError(
            f"{len(labels)} true classes for {len(p)} rows of probabilities; expected the same number"
        )
    # NaN fails both comparisons.
    good = ((p >= 0.0) & (p <= 1.0)).all(axis=1) & (np.abs(p.sum(axis=1) - 1.0) <= _ROUNDING)
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(
            f"row {row} of the probabilities is {p[row].tolist()}, expected numbers from 0 to 1 that sum to "
            "1; give the softmax of the logits"
        )
    return labels, p


def _from_confusion(formula: Function, true: ArrayLike, predicted: ArrayLike) -> float:
    given = np.asarray(predicted)
    if given.ndim == 1 and (given.dtype.kind != "f" or given.size == 0):
        rows, columns, n_classes = _numbered(np.asarray(true), given)
    else:
        rows, p = checked(true, predicted)
        columns, n_classes = p.argmax(axis=1), p.shape[1]
    return float(formula(confusion(rows, columns, n_classes).astype(np.float64)))


def _numbered(true: NDArray[Any], predicted: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Classes of two lists, integers or text, encoded as integers from 0, and the number of classes."""
    kinds = {"U" if _is_text(values) else values.dtype.kind for values in (true, predicted) if values.size}
    if true.shape != predicted.shape or not (kinds <= set("iub") or kinds == {"U"}):
        raise ShapeError(
            f"true classes are {true.shape} {true.dtype}, predicted ones {predicted.shape} "
            f"{predicted.dtype}; expected both (N,) whole numbers, both (N,) text, or in place of the "
            "predicted ones (N, C) probabilities"
        )
    names, numbers = np.unique(np.concatenate((true, predicted)), return_inverse=True)
    return numbers[: len(true)], numbers[len(true) :], max(len(names), 1)


def _is_text(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "U" or (
        values.dtype.kind == "O" and all(isinstance(value, str) for value in values.flat)
    )


def _diagonal(counts: Values) -> Values:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _labels(values: ArrayLike, n_classes: int, what: str) -> NDArray[np.intp]:
    labels = np.asarray(values)
    if labels.size == 0:
        labels = labels.astype(np.intp)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ShapeError(f"{what} classes are {labels.shape} {labels.dtype}, expected (N,) whole numbers")
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if low < 0 or high >= n_classes:
        raise DataError(
            f"{what} classes run from {low} to {high}, expected 0 to {n_classes - 1}: a class that the model "
            "does not know cannot be scored"
        )
    return labels.astype(np.intp)
