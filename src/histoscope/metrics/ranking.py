"""Areas under the ROC and precision-recall curves of each class, of weighted patches."""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.metrics.classification import checked
from histoscope.metrics.pooling import Values, divide, mean_of_defined


class Area(Protocol):
    """Area under a curve of weighted patches."""

    def __call__(self, positive: NDArray[np.bool_], score: Values, weight: Values) -> Values:
        """Of (N,) patches with (..., N) weights, (...)."""


def auroc(true: ArrayLike, probability: ArrayLike) -> float:
    """Area under the ROC curve, each class against the rest, mean over classes.

    Classes with no patch or all patches have none and are excluded; `auroc_by_class` shows which.

    Examples
    --------
    >>> auroc([0, 1, 1], [[0.5, 0.5], [0.6, 0.4], [0.2, 0.8]])
    0.5
    """
    return float(mean_of_defined(auroc_by_class(true, probability)))


def auprc(true: ArrayLike, probability: ArrayLike) -> float:
    """Area under the precision-recall curve (average precision) of each class, mean over classes.

    Chance level is the prevalence of the class, not a half. Classes are excluded as in `auroc`.

    Examples
    --------
    >>> round(auprc([0, 1, 1], [[0.5, 0.5], [0.6, 0.4], [0.2, 0.8]]), 3)
    0.667
    """
    return float(mean_of_defined(auprc_by_class(true, probability)))


def auroc_by_class(true: ArrayLike, probability: ArrayLike) -> Values:
    """(C,) areas under the ROC curves; NaN for a class with no patch or all patches."""
    return by_class(roc_area, *checked(true, probability))


def auprc_by_class(true: ArrayLike, probability: ArrayLike) -> Values:
    """(C,) average precisions; NaN for a class with no patch or all patches."""
    return by_class(precision_recall_area, *checked(true, probability))


def by_class(area: Area, true: NDArray[np.intp], probability: Values, weight: Values | None = None) -> Values:
    """Areas of each class against the rest, (..., C), of patches with weights (..., N)."""
    weights = np.ones(len(true)) if weight is None else weight
    columns = [area(true == place, column, weights) for place, column in enumerate(probability.T)]
    return np.stack(columns, axis=-1)


def roc_area(positive: NDArray[np.bool_], score: Values, weight: Values) -> Values:
    """Probability that a positive patch scores above a negative one; ties count half."""
    of_positive, of_negative = _by_score(positive, score, weight)
    beaten = np.cumsum(of_negative, axis=-1) - of_negative / 2
    return divide((of_positive * beaten).sum(-1), of_positive.sum(-1) * of_negative.sum(-1))


def precision_recall_area(positive: NDArray[np.bool_], score: Values, weight: Values) -> Values:
    """Average precision: precision at each threshold, weighted by the gain in recall; no interpolation."""
    of_positive, of_negative = (counts[..., ::-1] for counts in _by_score(positive, score, weight))
    found = np.cumsum(of_positive, axis=-1)
    precision = divide(found, found + np.cumsum(of_negative, axis=-1))
    all_positive = of_positive.sum(-1)
    area = divide((of_positive * np.nan_to_num(precision)).sum(-1), all_positive)
    return np.where(of_negative.sum(-1) > 0, area, np.nan)


def _by_score(positive: NDArray[np.bool_], score: Values, weight: Values) -> tuple[Values, Values]:
    """Weight of positive and of negative patches at each distinct score, ascending."""
    if len(score) == 0:
        return np.zeros((*weight.shape[:-1], 1)), np.zeros((*weight.shape[:-1], 1))
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    weights = weight[..., order]
    sums = (np.add.reduceat(weights * mask[order], starts, axis=-1) for mask in (positive, ~positive))
    of_positive, of_negative = sums
    return of_positive, of_negative
