"""Ranges of scores."""

from collections.abc import Mapping
from math import inf
from types import MappingProxyType

Range = tuple[float, float]

_SHARES = (
    *("pixel_accuracy", "precision", "recall", "dice", "iou"),
    *("aji", "aji_plus", "pq", "dq", "sq", "f1_50", "ap_50", "ap_75", "ap_50_95", "mpq_plus"),
    *("accuracy", "balanced_accuracy", "macro_f1", "auroc", "auprc", "ece", "correct"),
)
_OF_CLASSES = ("pq_", "dq_", "sq_", "f1_", "detection_f1_")

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        **dict.fromkeys(_SHARES, (0.0, 1.0)),
        **dict.fromkeys(("mcc", "kappa"), (-1.0, 1.0)),
        "brier": (0.0, 2.0),
        "nll": (0.0, inf),
    }
)
"""Lowest and highest value of each score."""


def range_of(metric: str) -> Range | None:
    """Lowest and highest value of a score, also of one class (``pq_misc``); None if it is unknown.

    Examples
    --------
    >>> range_of("mcc"), range_of("f1_misc"), range_of("area_um2")
    ((-1.0, 1.0), (0.0, 1.0), None)
    """
    of_class = (0.0, 1.0) if metric.startswith(_OF_CLASSES) else None
    return RANGES.get(metric, of_class)
