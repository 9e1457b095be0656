"""How votes become classes of nuclei, tuned on validation nuclei whose classes are known.

Remedies for rare classes make a network call them too often, most of all where nothing like the labelled
tissue is seen. So offsets begin at those that undo the remedies, and validation nuclei move them from there.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.balance import Balance, class_pixels
from histoscope.class_names import UNSURE
from histoscope.metrics.contingency import overlap
from histoscope.models.base import Segmenter
from histoscope.models.class_rule import ClassRule
from histoscope.models.inference import predict
from histoscope.train.mixture import Sampler
from histoscope.types import Nuclei, Sample, class_key

DRAWN = 300
"""Patches that are drawn to see how often training shows each class."""
LEAST_NUCLEI = 20
"""A precision rests on so many nuclei at least."""
Votes = list[tuple[NDArray[np.float32], NDArray[np.int64]]]
"""Of each image, votes (N, C) of the nuclei that were found, and their true classes (N,), from 0."""


def tune_classes(
    model: Segmenter, val: Sequence[Sample], *, prior: NDArray[np.float64], precision: float
) -> dict[str, float]:
    """Set a model's class rule on validation images.

    Parameters
    ----------
    model : Segmenter
        Its ``class_rule`` is replaced.
    val : sequence of Sample
        Those without classes are not looked at.
    prior : (C,) float64
        Offsets to begin from, as of `undoing`.
    precision : float in [0, 1)
        Share of right ones that is wanted among found nuclei with a class; 0 never calls one unsure.

    Returns
    -------
    dict of str to float
        For the card: the precision that is wanted and reached, the share of nuclei that keep a class, and how
        many nuclei that rests on.
    """
    model.class_rule = ClassRule(tuple(prior.tolist()) if prior.any() else ())
    votes = list(_votes(model, val))
    scores: dict[str, float] = {"wanted class precision": precision, "nuclei of known class": 0}
    if not votes:
        return scores
    rule = fitted(votes, prior)
    probability = np.concatenate([rule.probability(each) for each, _ in votes])
    true = np.concatenate([each for _, each in votes])
    sure, right = probability.max(axis=1), probability.argmax(axis=1) == true
    if precision and UNSURE not in map(class_key, model.spec.classes):
        rule = replace(rule, unsure_below=threshold(sure, right, precision))
    model.class_rule, kept = rule, sure >= rule.unsure_below
    return scores | {
        "nuclei of known class": len(true),
        "class precision": round(float(right[kept].mean()), 4),
        "share with a class": round(float(kept.mean()), 4),
    }


def undoing(train: Sequence[Sample], sampler: Sampler, remedies: Balance) -> NDArray[np.float64]:
    """Offsets that undo what remedies for rare classes add to the logits of their classes.

    A network whose loss weighs classes, on patches that show them in other shares than the tissue has, learns
    logits that are off by the logarithms of both [1]_.

    Parameters
    ----------
    train : sequence of Sample
        Tiles that were learned from.
    sampler : Sampler
        That draws the patches of training; a few hundred are drawn.
    remedies : Balance

    Returns
    -------
    (C,) float64
        Their mean is 0; 0 for a class that does not occur.

    References
    ----------
    .. [1] Menon et al., ICLR 2021, arXiv:2007.07314
    """
    n, rng = len(remedies.loss_weights), np.random.default_rng(0)
    there = class_pixels(train, n_classes=n).sum(axis=0)[1:]
    shown = class_pixels([sampler.draw(rng) for _ in range(DRAWN)], n_classes=n).sum(axis=0)[1:]
    offsets, known = np.zeros(n), (there > 0) & (shown > 0) & (remedies.loss_weights > 0)
    if known.any():
        seen = shown[known] / shown[known].sum() * remedies.loss_weights[known]
        offsets[known] = np.log(there[known] / there[known].sum()) - np.log(seen)
        offsets[known] -= offsets[known].mean()
    return offsets


def fitted(votes: Votes, prior: NDArray[np.float64]) -> ClassRule:
    """Class rule without a threshold: the most likely offsets and temperature.

    Both have a normal prior of deviation 1 (the logarithm of the temperature, around 0), and each image
    counts once, however many nuclei it has: nuclei of one image are alike, and a class that occurs in few
    images stays near its prior.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    logs = [(np.log(np.maximum(each, 1e-6)).astype(np.float64), true) for each, true in votes]

    def cost(x: NDArray[np.float64]) -> float:
        missed = 0.0
        for logits, true in logs:
            sure = log_softmax(logits / np.exp(x[-1]) + x[:-1], axis=1)
            missed -= float(sure[np.arange(len(true)), true].mean())
        return missed + float(((x[:-1] - prior) ** 2).sum() + x[-1] ** 2) / 2

    found = minimize(cost, np.append(prior, 0.0)).x
    offsets = found[:-1] - found[:-1].mean()
    return ClassRule(tuple(offsets.round(4).tolist()), round(float(np.exp(found[-1])), 4))


def threshold(sure: NDArray[np.float32], right: NDArray[np.bool_], precision: float) -> float:
    """Lowest probability from which so large a share of the classes is right; else the best that there is.

    Parameters
    ----------
    sure : (N,) float32
        Probability of the class of each nucleus.
    right : (N,) bool
    precision : float

    Examples
    --------
    >>> sure = np.linspace(0, 0.999, 1000, dtype=np.float32)
    >>> threshold(sure, np.arange(1000) >= 500, 0.8)
    0.375
    """
    order = np.argsort(-sure, kind="stable")
    n = np.arange(1, len(sure) + 1)
    reached = np.cumsum(right[order]) / n
    allowed = n >= min(LEAST_NUCLEI, len(sure))
    allowed[:-1] &= sure[order][:-1] > sure[order][1:]  # equal ones go together
    good = allowed & (reached >= precision)
    last = np.flatnonzero(good)[-1] if good.any() else np.where(allowed, reached, -1.0).argmax()
    if last == len(sure) - 1:
        return 0.0
    return math.floor(float(sure[order][last]) * 1e4) / 1e4


def _votes(
    model: Segmenter, val: Sequence[Sample]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Votes and true classes of the nuclei that are found in each image with classes."""
    tuned, model.class_rule = model.class_rule, ClassRule()
    for sample in val:
        if not sample.has_classes:
            continue
        rows, true = matched(sample, predict(sample.image, model, sample.mpp))
        if len(true):
            yield rows, true
    model.class_rule = tuned


def matched(sample: Sample, nuclei: Nuclei) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Class probabilities (N, C) of nuclei that match one of known class (IoU > 0.5), and that class."""
    votes: Any = nuclei.class_probability
    if sample.instances is None or sample.classes is None or votes is None:
        return np.zeros((0, 0), np.float32), np.zeros(0, np.int64)
    table = overlap(sample.instances, nuclei.instances)
    pairs = np.flatnonzero(table.iou > 0.5)
    true = sample.classes[table.true_ids[table.true_index[pairs]]].astype(np.int64)
    rows = votes[table.pred_ids[table.pred_index[pairs]] - 1]
    return rows[true > 0], true[true > 0] - 1
