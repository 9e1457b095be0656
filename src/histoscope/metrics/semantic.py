"""Pixel scores of nuclei against background (semantic segmentation)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike

from histoscope.metrics.contingency import Overlap, as_overlap


@dataclass(frozen=True, slots=True)
class Pixels:
    """Counts of pixels, which add up over images, and the scores that follow from them.

    Examples
    --------
    >>> pooled = Pixels(tp=3, fp=1) + Pixels(tp=1, fn=1, tn=4)
    >>> pooled.precision, pooled.recall, pooled.dice
    (0.8, 0.8, 0.8)
    >>> Pixels(tn=9).dice  # both masks are empty: undefined
    nan
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: "Pixels") -> "Pixels":
        return Pixels(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def accuracy(self) -> float:
        """(tp + tn) / all."""
        return ratio(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)

    @property
    def precision(self) -> float:
        """Tp / (tp + fp); NaN if nothing was predicted."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Tp / (tp + fn); NaN if there are no nuclei."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def dice(self) -> float:
        """2 tp / (2 tp + fp + fn); NaN if both masks are empty."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """Tp / (tp + fp + fn); NaN if both masks are empty."""
        return ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def mcc(self) -> float:
        """Matthews correlation; NaN if a row or a column of the table of counts is empty."""
        product = (self.tp + self.fp) * (self.tp + self.fn) * (self.tn + self.fp) * (self.tn + self.fn)
        return ratio(self.tp * self.tn - self.fp * self.fn, sqrt(product))


def ratio(part: float, whole: float) -> float:
    """`part` / `whole`, or NaN where `whole` is 0."""
    return part / whole if whole else nan


def mean_of_known(scores: Sequence[float]) -> float:
    """Mean of the scores that are defined; NaN if none is."""
    known = np.array([score for score in scores if not isnan(score)])
    return float(known.mean()) if known.size else nan


def pixels(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> Pixels:
    """Pixel counts of two (H, W) instance maps or masks, with ids above 0 as nuclei, or of an `Overlap`."""
    table = as_overlap(true, pred)
    tp = int(table.pixels.sum())
    return Pixels(tp, int(table.pred_areas.sum()) - tp, int(table.true_areas.sum()) - tp, table.background)


def pixel_accuracy(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> float:
    """Share of correctly classified pixels, nucleus or background, in [0, 1]; high where background prevails.

    References
    ----------
    .. [1] Long et al., CVPR 2015, doi:10.1109/CVPR.2015.7298965

    Examples
    --------
    >>> pixel_accuracy([[1, 1, 0, 0]], [[5, 0, 0, 0]])
    0.75
    """
    return pixels(true, pred).accuracy


def precision(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> float:
    """Share of predicted nucleus pixels that are nucleus, in [0, 1]; NaN if nothing was predicted.

    References
    ----------
    .. [1] Kent et al., American Documentation 6(2), 1955, doi:10.1002/asi.5090060209

    Examples
    --------
    >>> precision([[1, 1, 0, 0]], [[5, 0, 0, 0]])
    1.0
    """
    return pixels(true, pred).precision


def recall(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> float:
    """Share of true nucleus pixels that were predicted as nucleus, in [0, 1]; NaN if there are none.

    References
    ----------
    .. [1] Kent et al., American Documentation 6(2), 1955, doi:10.1002/asi.5090060209

    Examples
    --------
    >>> recall([[1, 1, 0, 0]], [[5, 0, 0, 0]])
    0.5
    """
    return pixels(true, pred).recall


def dice(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> float:
    """Dice coefficient of the nucleus masks, in [0, 1]; NaN if both are empty.

    References
    ----------
    .. [1] Dice, Ecology 26(3), 1945, doi:10.2307/1932409

    Examples
    --------
    >>> dice([[1, 1, 0, 0]], [[5, 5, 5, 5]])
    0.6666666666666666
    """
    return pixels(true, pred).dice


def iou(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> float:
    """Intersection over union of the nucleus masks (Jaccard index), in [0, 1]; NaN if both are empty.

    References
    ----------
    .. [1] Jaccard, New Phytologist 11(2), 1912, doi:10.1111/j.1469-8137.1912.tb05611.x

    Examples
    --------
    >>> iou([[1, 1, 0, 0]], [[5, 5, 5, 5]])
    0.5
    """
    return pixels(true, pred).iou


def mcc(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> float:
    """Matthews correlation of the nucleus masks, in [-1, 1]; NaN if either mask is all of one kind.

    References
    ----------
    .. [1] Matthews, Biochimica et Biophysica Acta 405(2), 1975, doi:10.1016/0005-2795(75)90109-9

    Examples
    --------
    >>> mcc([[1, 1, 0, 0]], [[0, 0, 5, 5]])
    -1.0
    """
    return pixels(true, pred).mcc
