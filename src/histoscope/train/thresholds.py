"""Thresholds of probability and overlap, chosen on the validation part."""

import math
from collections.abc import Sequence

import numpy as np

from histoscope import metrics
from histoscope.models.base import Heads, Segmenter
from histoscope.models.inference import heads_of, rescaled
from histoscope.types import Sample

PROBABILITIES = tuple(round(0.2 + 0.025 * k, 3) for k in range(25))
OVERLAPS = (0.3, 0.4, 0.5)
MOST_CANDIDATES = 0.75
"""Share of the points of the grid; where more are taken for nuclei, a network has not learned yet."""


def tune(model: Segmenter, val: Sequence[Sample], *, metric: str = "pq") -> float:
    """Set a model's thresholds to those with the best mean score on validation images.

    Parameters
    ----------
    model : Segmenter
        Its ``thresholds`` are changed; a model without thresholds is left unchanged.
    val : sequence of Sample
    metric : str
        A key of `histoscope.metrics.METRICS`.

    Returns
    -------
    float
        The best mean score; NaN if there was nothing to tune or nothing to tune on.

    Notes
    -----
    The network predicts each image once; nuclei are decoded for each pair of thresholds, since the votes of
    suppressed polygons and the mask that outlines are refined with make every nucleus depend on both. Where
    more than `MOST_CANDIDATES` of the points are candidates, decoding takes longest and the score counts as
    0, so an untrained network costs no more than a trained one.

    The score is not the one that training monitors: AJI hardly changes over a wide range of thresholds, while
    false nuclei come and go.
    """
    if not len(val) or set(model.thresholds) != {"probability", "iou"}:
        return float("nan")
    score, before = metrics.get(metric).function, dict(model.thresholds)
    table = np.zeros((len(OVERLAPS), len(PROBABILITIES), len(val)))
    for index in range(len(val)):
        sample = val[index]
        heads = heads_of(model, rescaled(sample.image, sample.mpp / model.spec.mpp))
        for row, probability in enumerate(PROBABILITIES):
            if _share(heads, probability) > MOST_CANDIDATES:
                continue
            for column, overlap in enumerate(OVERLAPS):
                model.thresholds = {"probability": probability, "iou": overlap}
                nuclei = model.decode(heads, sample.image.shape[:2], sample.mpp)
                table[column, row, index] = score(sample.instances, nuclei.instances)
    means = np.nan_to_num(table, nan=0.0).mean(axis=2)
    best = np.unravel_index(means.argmax(), means.shape)
    model.thresholds = {"probability": PROBABILITIES[best[1]], "iou": OVERLAPS[best[0]]}
    if means[best] == 0:  # nothing to choose by
        model.thresholds = before
    return float(means[best])


def _share(heads: Heads, probability: float) -> float:
    """Share of points that are above a probability."""
    logits = heads.get("probability")
    return (
        0.0 if logits is None else float((logits > math.log(probability / (1 - probability))).float().mean())
    )
