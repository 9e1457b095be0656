"""Linear probe: a logistic regression on the features of a frozen backbone.

Its score measures the pretrained features alone; it takes seconds where fine-tuning takes minutes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from histoscope import metrics
from histoscope.classify.baselines import LogisticRegression
from histoscope.classify.features import Features
from histoscope.errors import ConfigError, DataError
from histoscope.models.patches.classifier import Classifier
from histoscope.renamed import renamed

L2 = (1.0, 10.0, 100.0, 1e3, 1e4)


@renamed(pulls="l2")
@dataclass(frozen=True, slots=True)
class ProbeConfig:
    """Hyperparameters of a linear probe.

    Parameters
    ----------
    l2 : sequence of float
        L2 penalties to try, each as in `baselines.LogisticRegression`; the one with the lowest log loss on
        the validation part is used.
    cache : str or None
        Folder for computed features; None computes them each time.
    """

    l2: tuple[float, ...] = L2
    cache: str | None = "runs/features"

    # Read by pydantic when a configuration file holds these settings.
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    def __post_init__(self) -> None:
        if not self.l2 or not all(0 < one < math.inf for one in self.l2):
            raise ConfigError(f"probe.l2 is {self.l2}, expected numbers above 0, such as [1, 100]")


@renamed(pull="l2")
@dataclass(frozen=True, slots=True)
class Probed:
    """Result of fitting a linear probe.

    Parameters
    ----------
    l2 : float
        The L2 penalty that was chosen.
    nll : dict of float to float
        Log loss on the validation part under each penalty.
    seconds : float
        Time of all fits.
    """

    l2: float
    nll: dict[float, float]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a model card."""
        return {
            "l2": self.l2,
            "validation log loss": {f"{l2:g}": round(loss, 5) for l2, loss in self.nll.items()},
            "seconds": round(self.seconds, 2),
        }


@renamed(pulls="l2")
def fit_probe(
    model: Classifier, train: Features, val: Features | None, *, l2: Sequence[float] = L2
) -> Probed:
    """Replace the head of a classifier by a logistic regression; the backbone does not change.

    Parameters
    ----------
    model : Classifier
        Its head is replaced.
    train, val : Features
        From `histoscope.classify.features.extract` with this model. Without `val`, `l2` must be one.
    l2 : sequence of float
        Penalties to choose from.

    Raises
    ------
    DataError
        If a class has no patch to learn from, or a patch no class.
    ConfigError
        If there are several penalties and no validation part to choose by.
    """
    names = model.spec.classes
    _check_labels(train.labels, names)
    if len(l2) > 1 and (val is None or not len(val)):
        raise ConfigError(
            "choosing among penalties needs a validation part; give one, or a single l2 penalty"
        )
    began = perf_counter()
    fits = {one: LogisticRegression.fit(train.values, train.labels, len(names), l2=one) for one in l2}
    loss = {
        one: metrics.nll(val.labels, fitted(val.values)) if val is not None and len(val) else float("nan")
        for one, fitted in fits.items()
    }
    # Of equals the strongest: the simplest model that explains as much.
    best = min(sorted(loss, reverse=True), key=loss.__getitem__)
    _take_head(model, fits[best])
    return Probed(best, loss, perf_counter() - began)


def _take_head(model: Classifier, fitted: LogisticRegression) -> None:
    """Write a regression on standardised features as a linear layer on the features themselves."""
    weight: NDArray[np.float64] = fitted.weights[:-1].T / fitted.spread
    bias = fitted.weights[-1] - weight @ fitted.mean
    if model.head is None:
        raise ConfigError("a backbone without classes has no head to fit; give it classes")
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(weight))
        model.head.bias.copy_(torch.from_numpy(bias))
        model.temperature.fill_(1.0)


def _check_labels(labels: NDArray[np.int64], names: Sequence[str]) -> None:
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(names):
        wrong = int(labels[(labels < 0) | (labels >= len(names))][0])
        raise DataError(
            f"a training patch has class {wrong}, but the model knows 0 to {len(names) - 1}; "
            "give it the classes of the data set"
        )
    counts = np.bincount(labels, minlength=len(names))
    unseen = [name for name, count in zip(names, counts, strict=True) if not count]
    if unseen:
        raise DataError(
            f"no training patch is of class {', '.join(map(repr, unseen))}: it cannot be learned; split "
            "differently, or leave the class out"
        )
