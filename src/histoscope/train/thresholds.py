"""Choosing what counts as a nucleus, on the validation part."""

from collections.abc import Sequence

import numpy as np

from histoscope import metrics
from histoscope.models.base import Segmenter
from histoscope.models.inference import predict
from histoscope.types import Sample

PROBABILITIES = tuple(round(0.2 + 0.025 * k, 3) for k in range(25))
OVERLAPS = (0.3, 0.4, 0.5)


def tune(model: Segmenter, val: Sequence[Sample], *, metric: str = "aji") -> float:
    """Set a model's thresholds to those with the best mean score on validation images.

    Parameters
    ----------
    model : Segmenter
        Its ``thresholds`` are changed; a model without is left alone.
    val : sequence of Sample
    metric : str
        A key of `histoscope.metrics.METRICS`.

    Returns
    -------
    float
        The best mean score; NaN if there was nothing to tune or nothing to tune on.

    Notes
    -----
    Suppression is greedy by falling probability, and of two overlapping nuclei the more probable is drawn. So
    the nuclei above a threshold do not depend on those below it, and one prediction holds the answer for
    every higher threshold.
    """
    if not len(val) or set(model.thresholds) != {"probability", "iou"}:
        return float("nan")
    score = metrics.get(metric).function
    table = np.full((len(OVERLAPS), len(PROBABILITIES), len(val)), np.nan)
    for column, overlap in enumerate(OVERLAPS):
        model.thresholds = {"probability": PROBABILITIES[0], "iou": overlap}
        for index in range(len(val)):
            sample = val[index]
            nuclei = predict(model, sample.image, sample.mpp)
            for row, threshold in enumerate(PROBABILITIES):
                shown = np.append(False, nuclei.probability > threshold)
                pred = np.where(shown[nuclei.instances], nuclei.instances, 0)
                table[column, row, index] = score(sample.instances, pred)
    means = np.nan_to_num(table, nan=0.0).mean(axis=2)
    best = np.unravel_index(means.argmax(), means.shape)
    model.thresholds = {"probability": PROBABILITIES[best[1]], "iou": OVERLAPS[best[0]]}
    return float(means[best])
