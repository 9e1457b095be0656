"""Choosing what counts as a nucleus, on the validation part."""

from collections.abc import Sequence

import numpy as np

from histoscope import metrics
from histoscope.models.base import Segmenter
from histoscope.models.inference import heads_of, rescaled
from histoscope.types import Sample

PROBABILITIES = tuple(round(0.2 + 0.025 * k, 3) for k in range(25))
OVERLAPS = (0.3, 0.4, 0.5)


def tune(model: Segmenter, val: Sequence[Sample], *, metric: str = "pq") -> float:
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
    The network looks once at each image; nuclei are decoded for each pair of thresholds, since the votes of
    suppressed polygons and the mask that outlines are refined with make every nucleus depend on both.

    Not the score that training watches: AJI hardly changes over a wide range of thresholds, while false
    nuclei come and go.
    """
    if not len(val) or set(model.thresholds) != {"probability", "iou"}:
        return float("nan")
    score = metrics.get(metric).function
    table = np.full((len(OVERLAPS), len(PROBABILITIES), len(val)), np.nan)
    for index in range(len(val)):
        sample = val[index]
        heads = heads_of(model, rescaled(sample.image, sample.mpp / model.spec.mpp))
        for column, overlap in enumerate(OVERLAPS):
            for row, probability in enumerate(PROBABILITIES):
                model.thresholds = {"probability": probability, "iou": overlap}
                nuclei = model.decode(heads, sample.image.shape[:2], sample.mpp)
                table[column, row, index] = score(sample.instances, nuclei.instances)
    means = np.nan_to_num(table, nan=0.0).mean(axis=2)
    best = np.unravel_index(means.argmax(), means.shape)
    model.thresholds = {"probability": PROBABILITIES[best[1]], "iou": OVERLAPS[best[0]]}
    return float(means[best])
