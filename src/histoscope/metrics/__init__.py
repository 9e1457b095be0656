"""Scores of nuclei, pixels and patches, with confidence intervals and tests.

>>> import numpy as np
>>> true = np.array([[1, 1, 0], [0, 2, 2]])
>>> pq(true, true), METRICS["pq"](true, true)
(1.0, 1.0)
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any

from histoscope import plugins
from histoscope.errors import ConfigError
from histoscope.lazy import attach
from histoscope.metrics.by_class import (
    class_scores,
    count_by_class,
    match_by_class,
    without_unknown,
)
from histoscope.metrics.calibration import Reliability, ece, fit_temperature, reliability, scaled
from histoscope.metrics.classification import (
    accuracy,
    balanced_accuracy,
    brier,
    confusion,
    kappa,
    macro_f1,
    nll,
)
from histoscope.metrics.contingency import Overlap, overlap
from histoscope.metrics.conventions import (
    bpq,
    bpq_conic,
    bpq_pannuke,
    mpq_pannuke,
    mpq_plus,
    mpq_plus_conic,
    pq_by_class,
    pq_by_class_pannuke,
    r2_conic,
)
from histoscope.metrics.detection import Detections, detection_f1, detections
from histoscope.metrics.groups import GroupComparison, compare_groups
from histoscope.metrics.instance import (
    AP_THRESHOLDS,
    Matches,
    aji,
    aji_plus,
    average_precision,
    match,
    pq_image_mean,
)
from histoscope.metrics.intervals import Interval, interval
from histoscope.metrics.kernel_distance import KernelDistance, kernel_distance, kernel_distance_with_null
from histoscope.metrics.keys import independent_unit
from histoscope.metrics.paired import Comparison, compare
from histoscope.metrics.patches import (
    PATCH_METRICS,
    PatchMetric,
    patch_interval,
    patch_scores,
    per_patch,
    probabilities,
)
from histoscope.metrics.pooling import PooledStatistic, pooled_by_class, pooled_statistic
from histoscope.metrics.quality import ap, ap_75, dq, f1, pq, sq
from histoscope.metrics.ranges import RANGES, Range, range_of
from histoscope.metrics.ranking import auprc, auprc_by_class, auroc, auroc_by_class
from histoscope.metrics.scores import per_image, pooled
from histoscope.metrics.semantic import (
    Pixels,
    dice,
    iou,
    mcc,
    pixel_accuracy,
    pixels,
    precision,
    recall,
)
from histoscope.metrics.significance import (
    EffectSize,
    McNemar,
    effect_size,
    holm,
    mcnemar,
    paired_permutation,
    wilcoxon,
)

__all__ = [
    "AP_THRESHOLDS",
    "CONVENTIONS",
    "METRICS",
    "PATCH_METRICS",
    "Comparison",
    "Detections",
    "EffectSize",
    "GroupComparison",
    "Interval",
    "KernelDistance",
    "Matches",
    "McNemar",
    "Metric",
    "Overlap",
    "PatchMetric",
    "Pixels",
    "PooledStatistic",
    "Reliability",
    "accuracy",
    "aji",
    "aji_plus",
    "ap",
    "ap_50",
    "ap_50_95",
    "ap_75",
    "auprc",
    "auprc_by_class",
    "auroc",
    "auroc_by_class",
    "average_precision",
    "balanced_accuracy",
    "bpq",
    "bpq_conic",
    "bpq_pannuke",
    "brier",
    "class_scores",
    "compare",
    "compare_groups",
    "confusion",
    "count_by_class",
    "detection_f1",
    "detections",
    "dice",
    "dq",
    "ece",
    "effect_size",
    "f1",
    "f1_50",
    "fit_temperature",
    "get",
    "holm",
    "independent_unit",
    "interval",
    "iou",
    "kappa",
    "kernel_distance",
    "kernel_distance_with_null",
    "macro_f1",
    "match",
    "match_by_class",
    "mcc",
    "mcnemar",
    "mpq_pannuke",
    "mpq_plus",
    "mpq_plus_conic",
    "nll",
    "overlap",
    "paired_permutation",
    "patch_interval",
    "patch_scores",
    "per_image",
    "per_patch",
    "pixel_accuracy",
    "pixels",
    "pooled",
    "pooled_by_class",
    "pooled_statistic",
    "pq",
    "pq_by_class",
    "pq_by_class_pannuke",
    "pq_image_mean",
    "precision",
    "probabilities",
    "r2_conic",
    "range_of",
    "recall",
    "reliability",
    "scaled",
    "sq",
    "wilcoxon",
    "without_unknown",
]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and what reports need to know of it.

    Parameters
    ----------
    label : str
        Name for reports.
    function : callable
        Takes the true and the predicted label map, or their `Overlap`; returns the score, NaN if undefined.
    doi : str
        Paper that defines it.
    range : (float, float)
        Lowest and highest value.
    higher_is_better : bool
        Direction.
    """

    label: str
    function: Callable[..., float]
    doi: str = ""
    range: Range = (0.0, 1.0)
    higher_is_better: bool = True

    def __call__(self, *maps: Any) -> float:
        """The score of two label maps or their `Overlap`."""
        return self.function(*maps)


f1_50, ap_50, ap_50_95 = f1, ap, average_precision  # so that each name of `METRICS` is a function, too

_PANOPTIC = "10.1109/CVPR.2019.00963"
_RETRIEVAL = "10.1002/asi.5090060209"
_BOWL = "10.1038/s41592-019-0612-7"

METRICS: MappingProxyType[str, Metric] = MappingProxyType(
    {
        "pixel_accuracy": Metric("Pixel accuracy", pixel_accuracy, "10.1109/CVPR.2015.7298965"),
        "precision": Metric("Pixel precision", precision, _RETRIEVAL),
        "recall": Metric("Pixel recall", recall, _RETRIEVAL),
        "dice": Metric("Dice", dice, "10.2307/1932409"),
        "iou": Metric("IoU", iou, "10.1111/j.1469-8137.1912.tb05611.x"),
        "mcc": Metric("Matthews correlation", mcc, "10.1016/0005-2795(75)90109-9", range=RANGES["mcc"]),
        "aji": Metric("AJI", aji, "10.1109/TMI.2017.2677499"),
        "aji_plus": Metric("AJI+", aji_plus, "10.1016/j.media.2019.101563"),
        "pq": Metric("PQ", pq, _PANOPTIC),
        "dq": Metric("DQ", dq, _PANOPTIC),
        "sq": Metric("SQ", sq, _PANOPTIC),
        "f1_50": Metric("F1 at IoU 0.5", f1, _BOWL),
        "ap_50": Metric("AP at IoU 0.5", ap, _BOWL),
        "ap_75": Metric("AP at IoU 0.75", ap_75, _BOWL),
        "ap_50_95": Metric("AP, mean of IoU 0.5 to 0.95", average_precision, _BOWL),
    }
)
"""Every score of `per_image` by name."""

_CONIC = "10.1016/j.media.2023.103047"
_PANNUKE = "arXiv:2003.10778"

CONVENTIONS: MappingProxyType[str, Metric] = MappingProxyType(
    {
        "bpq": Metric("bPQ, mean of images", bpq, _PANOPTIC),
        "bpq_conic": Metric("bPQ as CoNIC", bpq_conic, _CONIC),
        "bpq_pannuke": Metric("bPQ as PanNuke", bpq_pannuke, _PANNUKE),
        "mpq_plus": Metric("mPQ+", mpq_plus, _CONIC),
        "mpq_plus_conic": Metric("mPQ+ as CoNIC", mpq_plus_conic, _CONIC),
        "mpq_pannuke": Metric("mPQ as PanNuke", mpq_pannuke, _PANNUKE),
        "r2_conic": Metric("R2 of counts as CoNIC", r2_conic, _CONIC, range=(-inf, 1.0)),
        "detection_f1": Metric(
            "Detection F1", lambda images: detection_f1(images)[0], "10.1016/j.media.2019.101563"
        ),
    }
)
"""Scores of a set of images by published name, of `Matches`, `match_by_class`, counts or `Detections`."""


def get(name: str) -> Metric:
    """Metric by name: of `METRICS`, of a plug-in (``histoscope.metrics``), or ``package.module:name``.

    A plug-in may be a `Metric`, or a function of the true and the predicted label map.

    Raises
    ------
    UnknownNameError
        If the name is unknown; the message suggests the nearest.
    ConfigError
        If it cannot be imported, or is not a metric.
    """
    found = plugins.find("metric", name, METRICS, "histoscope.metrics")
    if isinstance(found, Metric):
        return found
    if not callable(found):
        raise ConfigError(
            f"metric {name!r} is {found!r}, expected a Metric or a function (true, pred) -> float"
        )
    return Metric(name.rpartition(":")[2], found)


_MOVED = {name: f"histoscope.report.cost:{name}" for name in ("Cost", "Reached", "cost", "reached")}

__getattr__, __dir__ = attach(__name__, {}, moved=_MOVED)
