"""Temperature scaling: calibration of a classifier's probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import torch

from histoscope import metrics
from histoscope.classify.classification import predict_classes
from histoscope.models.patches.classifier import Classifier
from histoscope.types import Sample


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Result of `calibrate`.

    Parameters
    ----------
    temperature : float
        That the model has now.
    ece_before, ece_after, nll_before, nll_after : float
        Calibration error and log loss on the validation part.
    """

    temperature: float
    ece_before: float
    ece_after: float
    nll_before: float
    nll_after: float


def calibrate(model: Classifier, val: Sequence[Sample]) -> Calibrated:
    """Set the temperature of a classifier on a validation part, by log loss; predicted classes stay.

    Where the likelihood has no maximum, since every patch is right, the temperature does not change.

    Parameters
    ----------
    model : Classifier
        Its ``temperature`` is set, and goes into the model folder with the weights.
    val : sequence of Sample
        Patches that it was not trained on.

    References
    ----------
    .. [1] Guo et al., On calibration of modern neural networks, ICML 2017, arXiv:1706.04599
    """
    table = predict_classes(model, val)
    _, true, p = metrics.probabilities(table[table["true"] >= 0])
    factor = metrics.fit_temperature(true, p)
    after = p if isnan(factor) else metrics.scaled(p, factor)
    if not isnan(factor):
        with torch.no_grad():
            model.temperature.mul_(factor)
    return Calibrated(
        temperature=float(model.temperature),
        ece_before=metrics.ece(true, p),
        ece_after=metrics.ece(true, after),
        nll_before=metrics.nll(true, p),
        nll_after=metrics.nll(true, after),
    )
