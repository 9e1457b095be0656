"""Detection scores: true and predicted nuclei paired by centroids, whatever their outlines."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope import labels as label_maps
from histoscope.brief import brief
from histoscope.errors import ConfigError, ShapeError
from histoscope.metrics.contingency import as_overlap, classes_of_ids
from histoscope.metrics.semantic import ratio
from histoscope.types import Labels


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Counts of pairs of centroids, which add up over images, and the scores that follow from them.

    Parameters
    ----------
    paired : (C + 1, C + 1) int64
        Pairs by true class (row) and predicted class (column); 0 is no class.
    missed, extra : (C + 1,) int64
        True and predicted nuclei without a partner, by class.
    """

    paired: NDArray[np.int64]
    missed: NDArray[np.int64]
    extra: NDArray[np.int64]

    def __add__(self, other: "Detections") -> "Detections":
        if self.paired.shape != other.paired.shape:
            raise ShapeError(
                f"detections of {len(self.missed) - 1} and {len(other.missed) - 1} classes cannot be added"
            )
        return Detections(self.paired + other.paired, self.missed + other.missed, self.extra + other.extra)

    @property
    def f1(self) -> float:
        """F_d, 2 pairs / (2 pairs + missed + extra), whatever the class; NaN if there are no nuclei."""
        pairs = int(self.paired.sum())
        return ratio(2 * pairs, 2 * pairs + int(self.missed.sum() + self.extra.sum()))

    @property
    def accuracy(self) -> float:
        """Share of pairs with equal classes; NaN if there are no pairs."""
        return ratio(int(np.trace(self.paired)), int(self.paired.sum()))

    def counts_of(self, class_id: int) -> tuple[int, int, int]:
        """Pairs of this class on both sides, on one side only, and unpaired nuclei of it."""
        right = int(self.paired[class_id, class_id])
        either = int(self.paired[class_id].sum() + self.paired[:, class_id].sum())
        return right, either - 2 * right, int(self.missed[class_id] + self.extra[class_id])

    def f1_of(self, class_id: int) -> float:
        """F_c of a class: 2 right / (2 right + 2 confused + unpaired); NaN if it has no nuclei."""
        right, confused, unpaired = self.counts_of(class_id)
        return ratio(2 * right, 2 * right + 2 * confused + unpaired)


def detections(
    true: ArrayLike | Labels,
    pred: ArrayLike | Labels,
    true_classes: ArrayLike | None = None,
    pred_classes: ArrayLike | None = None,
    *,
    n_classes: int = 0,
    mpp: float,
    radius_um: float = 3.0,
) -> Detections:
    """Pair true and predicted nuclei by their centroids.

    As in HoVer-Net, all centroids are paired one to one with the least sum of distances, then pairs farther
    apart than the radius are dropped. (This is not always the largest number of pairs within the radius.)
    Time grows with the cube of the number of nuclei in an image, memory with the square.

    Parameters
    ----------
    true, pred : (H, W) integers
        Instance maps.
    true_classes, pred_classes : (n_ids + 1,) integers, optional
        Class of each id; 0 is no class. By default classes are ignored.
    n_classes : int
        Classes are 1 to `n_classes`.
    mpp : float
        Micrometres per pixel.
    radius_um : float
        Largest distance of a pair; the published 12 pixels at 40x are 3 micrometres.

    Returns
    -------
    Detections

    Raises
    ------
    ConfigError
        If `mpp` or `radius_um` is not above 0.
    ShapeError
        If the maps do not fit together, or an id has no class entry.

    References
    ----------
    .. [1] Graham et al., Medical Image Analysis 58, 2019, doi:10.1016/j.media.2019.101563

    Examples
    --------
    >>> true, pred = [[1, 0, 0, 0, 2]], [[0, 3, 0, 0, 0]]
    >>> detections(true, pred, mpp=0.5, radius_um=1.0).f1
    0.6666666666666666
    """
    if not (mpp > 0 and radius_um > 0):
        raise ConfigError(f"mpp is {mpp} and radius_um {radius_um}; expected both above 0")
    if (true_classes is None) != (pred_classes is None):
        raise ConfigError("got classes for one map only; give true_classes and pred_classes, or neither")
    table = as_overlap(true, pred)
    true_ids, pred_ids = table.true_ids, table.pred_ids
    of_true, of_pred = np.zeros(len(true_ids), np.intp), np.zeros(len(pred_ids), np.intp)
    if true_classes is not None and pred_classes is not None:
        of_true = classes_of_ids(true_ids, true_classes, n_classes, "true")
        of_pred = classes_of_ids(pred_ids, pred_classes, n_classes, "pred")
    rows, columns = _pair(centroids(true, true_ids), centroids(pred, pred_ids), radius_um / mpp)
    size = n_classes + 1
    paired = np.bincount(of_true[rows] * size + of_pred[columns], minlength=size**2).reshape(size, size)
    return Detections(
        paired=paired.astype(np.int64),
        missed=np.bincount(np.delete(of_true, rows), minlength=size).astype(np.int64),
        extra=np.bincount(np.delete(of_pred, columns), minlength=size).astype(np.int64),
    )


def detection_f1(per_image: Iterable[Detections]) -> dict[int, float]:
    """Detection F1 over all images, one `Detections` each, pooled as in HoVer-Net.

    Returns
    -------
    dict of int to float
        Key 0 is F_d, of nuclei of any class; key k is F_c of class k. NaN where there are none.

    Notes
    -----
    The paper's formula for a class also counts correct pairs of other classes; the published code does not,
    and neither does this. In that code an image without nuclei has a spurious one in its corner.

    Examples
    --------
    >>> maps = [[1, 0, 0, 2]], [[1, 0, 0, 2]]
    >>> one = detections(*maps, [0, 1, 2], [0, 1, 1], n_classes=2, mpp=0.25)
    >>> {k: round(score, 3) for k, score in detection_f1([one, one]).items()}
    {0: 1.0, 1: 0.5, 2: 0.0}
    """
    images = list(per_image)
    if not images:
        return {0: nan}
    total = sum(images[1:], images[0])
    return {0: total.f1, **{k: total.f1_of(k) for k in range(1, len(total.missed))}}


def centroids(labels: ArrayLike | Labels, ids: NDArray[np.int32]) -> NDArray[np.float64]:
    """Mean row and column, (N, 2), of the nuclei `ids`, (N,), which are all that the map has."""
    numbered, ascending = label_maps.relabel(np.asarray(labels, np.int32))
    _, xy = label_maps.centroids(numbered, len(ascending))
    return xy[np.searchsorted(ascending, ids), ::-1]


def _pair(
    true_px: NDArray[np.float64], pred_px: NDArray[np.float64], radius_px: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    distance = cdist(true_px, pred_px)
    rows, columns = linear_sum_assignment(distance)
    near = distance[rows, columns] <= radius_px
    return rows[near], columns[near]
