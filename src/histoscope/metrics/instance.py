"""Matching of true and predicted nuclei, and the scores of instance segmentation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import ConfigError
from histoscope.metrics._kernels import best_two
from histoscope.metrics.contingency import Overlap, as_overlap
from histoscope.metrics.semantic import mean_of_known, ratio

# Rounded, so that each is the double nearest to its two digits.
AP_THRESHOLDS: tuple[float, ...] = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))
"""0.50, 0.55, ..., 0.95."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Counts of a matching, which add up over images, and the scores that follow from them.

    Parameters
    ----------
    tp, fp, fn : int
        Matched pairs, predicted nuclei without a partner, true nuclei without a partner.
    sum_iou : float
        Sum of the intersections over union of the matched pairs.

    Examples
    --------
    >>> image_1, image_2 = Matches(tp=3, fp=1, sum_iou=2.4), Matches(tp=1, fn=1, sum_iou=0.8)
    >>> round((image_1 + image_2).pq, 3)
    0.64
    >>> Matches().pq, Matches(fp=1).pq
    (nan, 0.0)
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    sum_iou: float = 0.0

    def __add__(self, other: "Matches") -> "Matches":
        return Matches(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.sum_iou + other.sum_iou
        )

    @property
    def dq(self) -> float:
        """Detection quality, tp / (tp + fp / 2 + fn / 2); NaN if there are no nuclei on either side."""
        return ratio(self.tp, self.tp + self.fp / 2 + self.fn / 2)

    @property
    def sq(self) -> float:
        """Segmentation quality, the mean IoU of matched pairs; NaN if there are none."""
        return ratio(self.sum_iou, self.tp)

    @property
    def pq(self) -> float:
        """Panoptic quality, sum_iou / (tp + fp / 2 + fn / 2); NaN if there are no nuclei on either side."""
        return ratio(self.sum_iou, self.tp + self.fp / 2 + self.fn / 2)

    @property
    def f1(self) -> float:
        """2 tp / (2 tp + fp + fn): the same number as `dq`, under its older name."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def ap(self) -> float:
        """Score tp / (tp + fp + fn), as the Data Science Bowl 2018 defined it; NaN if there are no nuclei."""
        return ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def precision(self) -> float:
        """Tp / (tp + fp) of nuclei; NaN if nothing was predicted."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Tp / (tp + fn) of nuclei; NaN if there is nothing to find."""
        return ratio(self.tp, self.tp + self.fn)


def match(true: Overlap | ArrayLike, pred: ArrayLike | None = None, *, iou_threshold: float = 0.5) -> Matches:
    """Match true and predicted nuclei one to one where IoU is strictly above `iou_threshold`.

    From 0.5 up a nucleus can have only one such partner. Below, the matching has the largest number of pairs
    and, among those, the largest sum of IoUs.

    Parameters
    ----------
    true, pred : (H, W) integers
        Instance maps; or one `Overlap`.
    iou_threshold : float in [0, 1)
        For IoU *at least* 0.5, as in stardist, pass ``np.nextafter(0.5, 0)``.

    Returns
    -------
    Matches

    Raises
    ------
    ConfigError
        If the threshold is outside [0, 1).
    ShapeError
        If the maps do not fit together.

    References
    ----------
    .. [1] Kirillov et al., CVPR 2019, doi:10.1109/CVPR.2019.00963

    Examples
    --------
    >>> match([[1, 1, 1, 0, 2]], [[4, 4, 0, 0, 0]])
    Matches(tp=1, fp=0, fn=1, sum_iou=0.6666666666666666)
    """
    table = as_overlap(true, pred)
    _check_threshold(iou_threshold)
    return _match(table, table.iou, iou_threshold)


def aji(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> float:
    """Aggregated Jaccard index (AJI) as first published.

    Each true nucleus is paired with the predicted one of largest IoU (the first in reading order among ties).
    Their intersections and unions are summed. A predicted nucleus **may be in several pairs** and is then in
    the union each time; an unpaired one adds its area to the union once; a true nucleus without overlap adds
    its own area.

    Parameters
    ----------
    true, pred : (H, W) integers
        Instance maps; or one `Overlap`.

    Returns
    -------
    float in [0, 1], or NaN if both maps are empty

    References
    ----------
    .. [1] Kumar et al., IEEE Transactions on Medical Imaging 36(7), 2017, doi:10.1109/TMI.2017.2677499

    Examples
    --------
    >>> aji([[1, 1, 2, 2, 0, 0]], [[3, 3, 3, 3, 0, 4]])  # (2 + 2) / (4 + 4 + 1)
    0.4444444444444444
    """
    table = as_overlap(true, pred)
    best, _, _ = best_two(table.true_index, table.iou, len(table.true_ids))
    return _aggregate(table, best[best >= 0])


def aji_plus(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> float:
    """Aggregated Jaccard index with one-to-one pairs (AJI+).

    As `aji`, but pairs are the one-to-one assignment with the largest sum of IoUs, so no predicted nucleus
    is counted twice.

    References
    ----------
    .. [1] Graham et al., Medical Image Analysis 58, 2019, doi:10.1016/j.media.2019.101563

    Examples
    --------
    >>> aji_plus([[1, 1, 2, 2, 0, 0]], [[3, 3, 3, 3, 0, 4]])  # 2 / (4 + 2 + 1)
    0.2857142857142857
    """
    table = as_overlap(true, pred)
    every = np.arange(len(table.pixels))
    return _aggregate(table, _assign(table, every, table.iou))


def average_precision(
    true: Overlap | ArrayLike,
    pred: ArrayLike | None = None,
    *,
    thresholds: Sequence[float] = AP_THRESHOLDS,
) -> float:
    """Mean of tp / (tp + fp + fn) over IoU thresholds, as defined by the Data Science Bowl 2018.

    Unlike the average precision of object detection, it does not rank by confidence.

    Parameters
    ----------
    true, pred : (H, W) integers
        Instance maps; or one `Overlap`.
    thresholds : sequence of float in [0, 1)
        By default 0.50, 0.55, ..., 0.95.

    Returns
    -------
    float in [0, 1], or NaN if both maps are empty

    Raises
    ------
    ConfigError
        If there are no thresholds, or one is outside [0, 1).

    References
    ----------
    .. [1] Caicedo et al., Nature Methods 16, 2019, doi:10.1038/s41592-019-0612-7

    Examples
    --------
    >>> average_precision([[1, 1, 1, 1, 1]], [[1, 1, 1, 1, 0]])  # IoU 0.8: found at 6 of 10 thresholds
    0.6
    """
    table = as_overlap(true, pred)
    if len(thresholds) == 0:
        raise ConfigError("got no IoU thresholds, expected at least one, such as (0.5,)")
    for threshold in thresholds:
        _check_threshold(threshold)
    iou = table.iou
    return float(np.mean([_match(table, iou, threshold).ap for threshold in thresholds]))


def pq_image_mean(matches: Iterable[Matches]) -> float:
    """Mean over images of the panoptic quality, without images that have no nuclei on either side.

    Pathology papers mostly report this; the `sum` of the matches gives the pooled score of the original
    definition, which weights images by nuclei.

    Examples
    --------
    >>> images = [Matches(tp=1, sum_iou=0.9), Matches(tp=1, fp=8, sum_iou=0.5), Matches()]
    >>> round(pq_image_mean(images), 3), round(sum(images, Matches()).pq, 3)
    (0.5, 0.233)
    """
    return mean_of_known([each.pq for each in matches])


def _check_threshold(iou_threshold: float) -> None:
    if not 0.0 <= iou_threshold < 1.0:
        raise ConfigError(
            f"IoU threshold is {iou_threshold}, expected a number from 0 up to, but not including, 1"
        )


def _match(table: Overlap, iou: NDArray[np.float64], iou_threshold: float) -> Matches:
    candidates = np.flatnonzero(iou > iou_threshold)
    if iou_threshold < 0.5:
        # The bonus exceeds any sum of IoUs, so that the number of pairs is maximised first.
        bonus = 1.0 + min(len(table.true_ids), len(table.pred_ids))
        candidates = candidates[_assign(table, candidates, bonus + iou[candidates])]
    tp = len(candidates)
    return Matches(tp, len(table.pred_ids) - tp, len(table.true_ids) - tp, float(iou[candidates].sum()))


def _aggregate(table: Overlap, pairs: NDArray[Any]) -> float:
    """Sum of intersections over sum of unions, with the areas of nuclei that are in no pair."""
    alone_true = np.ones(len(table.true_ids), np.bool_)
    alone_pred = np.ones(len(table.pred_ids), np.bool_)
    alone_true[table.true_index[pairs]] = False
    alone_pred[table.pred_index[pairs]] = False
    union = (
        table.unions[pairs].sum() + table.true_areas[alone_true].sum() + table.pred_areas[alone_pred].sum()
    )
    return ratio(int(table.pixels[pairs].sum()), int(union))


def _assign(table: Overlap, pairs: NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[np.intp]:
    """Positions in `pairs` of the one-to-one choice of largest total weight (weights above 0)."""
    rows, cols = table.true_index[pairs], table.pred_index[pairs]
    best_of_row, row_first, row_second = best_two(rows, weights, len(table.true_ids))
    best_of_col, col_first, col_second = best_two(cols, weights, len(table.pred_ids))
    here = np.arange(len(pairs))
    # A pair that outweighs the best rivals of its row and of its column together is in every optimal
    # assignment: exchanging them for it can only gain. On real maps this decides nearly all.
    rival_in_row = np.where(best_of_row[rows] == here, row_second[rows], row_first[rows])
    rival_in_col = np.where(best_of_col[cols] == here, col_second[cols], col_first[cols])
    decided = weights > rival_in_row + rival_in_col
    row_is_open, col_is_open = np.ones(len(table.true_ids), np.bool_), np.ones(len(table.pred_ids), np.bool_)
    row_is_open[rows[decided]] = False
    col_is_open[cols[decided]] = False
    contested = np.flatnonzero(row_is_open[rows] & col_is_open[cols])
    if len(contested) == 0:
        return np.flatnonzero(decided)
    chosen = contested[_solve(rows[contested], cols[contested], weights[contested])]
    return np.sort(np.concatenate((np.flatnonzero(decided), chosen)))


def _solve(rows: NDArray[Any], cols: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.intp]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    row_ids, row = np.unique(rows, return_inverse=True)
    col_ids, col = np.unique(cols, return_inverse=True)
    n_rows, n_cols = len(row_ids), len(col_ids)
    # Each row also has a column of its own for "no partner", as the solver requires a full matching; adding 1
    # to every weight does not change it, but keeps explicit zeros out of the sparse table.
    alone = np.arange(n_rows)
    table = csr_array(
        (
            np.concatenate((weights + 1.0, np.ones(n_rows))),
            (np.concatenate((row, alone)), np.concatenate((col, n_cols + alone))),
        ),
        shape=(n_rows, n_cols + n_rows),
    )
    matched_rows, matched_cols = min_weight_full_bipartite_matching(table, maximize=True)
    partner = np.empty(n_rows, np.int64)
    partner[matched_rows] = matched_cols
    return np.flatnonzero(partner[row] == col)
