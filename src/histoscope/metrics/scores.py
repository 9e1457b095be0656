"""All scores of one image, and pooled scores of many."""

from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from histoscope.metrics.contingency import Overlap, as_overlap
from histoscope.metrics.instance import AP_THRESHOLDS, aji, aji_plus, average_precision, match
from histoscope.metrics.pooling import FORMULAS
from histoscope.metrics.semantic import pixels

if TYPE_CHECKING:
    import pandas as pd


def per_image(true: Overlap | ArrayLike, pred: ArrayLike | None = None) -> dict[str, float]:
    """All scores and counts of one image.

    Parameters
    ----------
    true, pred : (H, W) integers
        Instance maps; or one `Overlap`.

    Returns
    -------
    dict of str to float
        The names of `histoscope.metrics.METRICS` (``precision`` and ``recall`` are of pixels), then counts:
        ``n_true, n_pred`` nuclei; ``tp, fp, fn, sum_iou`` of the matching at IoU > 0.5; ``pixels_tp,
        pixels_fp, pixels_fn, pixels_tn``. A score that is undefined on this image is NaN.

    Examples
    --------
    >>> row = per_image([[1, 1, 1, 0, 2]], [[4, 4, 0, 0, 0]])
    >>> row["n_true"], row["n_pred"], round(row["pq"], 3), row["dice"], row["aji"]
    (2, 1, 0.444, 0.6666666666666666, 0.5)
    """
    table = as_overlap(true, pred)
    area, half = pixels(table), match(table)
    return {
        "pixel_accuracy": area.accuracy,
        "precision": area.precision,
        "recall": area.recall,
        "dice": area.dice,
        "iou": area.iou,
        "mcc": area.mcc,
        "aji": aji(table),
        "aji_plus": aji_plus(table),
        "pq": half.pq,
        "dq": half.dq,
        "sq": half.sq,
        "f1_50": half.f1,
        "ap_50": half.ap,
        "ap_75": match(table, iou_threshold=0.75).ap,
        "ap_50_95": average_precision(table, thresholds=AP_THRESHOLDS),
        "n_true": len(table.true_ids),
        "n_pred": len(table.pred_ids),
        "tp": half.tp,
        "fp": half.fp,
        "fn": half.fn,
        "sum_iou": half.sum_iou,
        "pixels_tp": area.tp,
        "pixels_fp": area.fp,
        "pixels_fn": area.fn,
        "pixels_tn": area.tn,
    }


def pooled(table: "pd.DataFrame") -> dict[str, float]:
    """Pooled scores: counts are added over images, then divided.

    Parameters
    ----------
    table : DataFrame
        One row per image, with the counts of `per_image`.

    Returns
    -------
    dict of str to float
        The scores that follow from counts: all of `per_image` but the two AJI and AP at higher thresholds.

    Raises
    ------
    DataError
        If a column of counts is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [per_image([[1, 1]], [[1, 1]]), per_image([[1, 0, 2, 0]], [[1, 0, 0, 0]])]
    >>> round(pooled(pd.DataFrame(rows))["pq"], 3)
    0.8
    """
    return {name: statistic.of(table) for name, statistic in FORMULAS.items()}
