"""Scores of one matching of two label maps: panoptic quality and its factors, F1, average precision.

Each takes two instance maps (H, W), or their `Overlap`, and is NaN where there is nothing to divide by. To
pool images, add the counts that `match` gives.
"""

from numpy.typing import ArrayLike

from histoscope.metrics.contingency import Overlap
from histoscope.metrics.instance import match


def pq(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> float:
    """Panoptic quality: the summed IoU of matched nuclei / (tp + fp / 2 + fn / 2), which is `dq` times `sq`.

    Nuclei match where their IoU is above 0.5. For other thresholds, and to pool images, see `match`.

    Parameters
    ----------
    true, pred : (H, W) integers
        Instance maps; or one `Overlap`.

    Returns
    -------
    float in [0, 1], or NaN if both maps are empty

    References
    ----------
    .. [1] Kirillov et al., CVPR 2019, doi:10.1109/CVPR.2019.00963

    Examples
    --------
    >>> pq([[1, 1, 1, 0, 2]], [[4, 4, 0, 0, 0]])  # IoU 2/3 of one pair, one nucleus missed
    0.4444444444444444
    """
    return match(true, pred).pq


def dq(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> float:
    """Detection quality: tp / (tp + fp / 2 + fn / 2) of nuclei that match at IoU above 0.5, a factor of `pq`.

    References
    ----------
    .. [1] Kirillov et al., CVPR 2019, doi:10.1109/CVPR.2019.00963

    Examples
    --------
    >>> dq([[1, 1, 1, 0, 2]], [[4, 4, 0, 0, 0]])
    0.6666666666666666
    """
    return match(true, pred).dq


def sq(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> float:
    """Segmentation quality: mean IoU, in (0.5, 1], of nuclei that match at IoU above 0.5, a factor of `pq`.

    NaN if no nuclei match.

    References
    ----------
    .. [1] Kirillov et al., CVPR 2019, doi:10.1109/CVPR.2019.00963

    Examples
    --------
    >>> sq([[1, 1, 1, 0, 2]], [[4, 4, 0, 0, 0]])
    0.6666666666666666
    """
    return match(true, pred).sq


def f1(true: Overlap | ArrayLike, pred: ArrayLike | None = None, *, iou_threshold: float = 0.5) -> float:
    """F1 of nuclei: 2 tp / (2 tp + fp + fn), matched where IoU is strictly above `iou_threshold`, in [0, 1).

    At 0.5 this is `dq`, and ``f1_50`` of the tables; other thresholds are a `ConfigError`.

    References
    ----------
    .. [1] Caicedo et al., Nature Methods 16, 2019, doi:10.1038/s41592-019-0612-7

    Examples
    --------
    >>> f1([[1, 1, 1, 0, 2]], [[4, 4, 0, 0, 0]]), f1([[1, 1, 1, 0, 2]], [[4, 4, 0, 0, 0]], iou_threshold=0.7)
    (0.6666666666666666, 0.0)
    """
    return match(true, pred, iou_threshold=iou_threshold).f1


def ap(true: Overlap | ArrayLike, pred: ArrayLike | None = None, *, iou_threshold: float = 0.5) -> float:
    """Average precision of the Data Science Bowl 2018: tp / (tp + fp + fn) at one IoU threshold, as of `f1`.

    It ranks nothing by confidence. `average_precision` is its mean over thresholds.

    References
    ----------
    .. [1] Caicedo et al., Nature Methods 16, 2019, doi:10.1038/s41592-019-0612-7

    Examples
    --------
    >>> ap([[1, 1, 1, 0, 2]], [[4, 4, 0, 0, 0]])
    0.5
    """
    return match(true, pred, iou_threshold=iou_threshold).ap


def ap_75(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> float:
    """Average precision of the Data Science Bowl 2018 at IoU 0.75, see `ap`.

    References
    ----------
    .. [1] Caicedo et al., Nature Methods 16, 2019, doi:10.1038/s41592-019-0612-7

    Examples
    --------
    >>> ap_75([[1, 1, 1, 1, 1]], [[1, 1, 1, 1, 0]]), ap_75([[1, 1, 1, 0, 2]], [[4, 4, 0, 0, 0]])
    (1.0, 0.0)
    """
    return ap(true, pred, iou_threshold=0.75)
