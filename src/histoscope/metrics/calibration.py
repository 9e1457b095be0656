"""Calibration of probabilities: reliability, expected calibration error, temperature scaling."""

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.brief import brief
from histoscope.errors import ConfigError
from histoscope.metrics.classification import checked
from histoscope.metrics.pooling import Values, divide

N_BINS = 15
"""Bins of equal width from 0 to 1, as in most papers."""

_LEAST = float(np.finfo(np.float32).tiny)  # smallest probability whose logarithm a network can mean


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Reliability diagram: accuracy by confidence; made by `reliability`.

    Parameters
    ----------
    edges : (B + 1,) float64
        Edges of the bins of confidence, the largest probability; a bin includes its right edge.
    n : (B,) int64
        Patches in each bin.
    confidence, accuracy : (B,) float64
        Mean largest probability, and share of right patches; NaN in empty bins.
    """

    edges: Values
    n: NDArray[np.int64]
    confidence: Values
    accuracy: Values

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of accuracy and confidence, bins weighted by patches."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float(divide((gaps * self.n).sum(), self.n.sum()))


def reliability(true: ArrayLike, probability: ArrayLike, *, n_bins: int = N_BINS) -> Reliability:
    """Tabulate accuracy against confidence, the probability of the predicted class.

    Parameters
    ----------
    true : (N,) int
    probability : (N, C) float
    n_bins : int
        Bins of equal width.

    Examples
    --------
    >>> table = reliability([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.4, 0.6]], n_bins=2)
    >>> table.n, table.accuracy
    (array([0, 3]), array([       nan, 0.66666667]))
    """
    if n_bins < 1:
        raise ConfigError(f"{n_bins} bins requested, expected at least 1")
    counts = bin_counts(*checked(true, probability), n_bins).sum(axis=0).reshape(n_bins, 3)
    n, sure, right = counts.T
    return Reliability(np.linspace(0, 1, n_bins + 1), n.astype(np.int64), divide(sure, n), divide(right, n))


def ece(true: ArrayLike, probability: ArrayLike, *, n_bins: int = N_BINS) -> float:
    """Expected calibration error of the predicted class, in bins of equal width; 0 is best.

    Biased upwards for few patches: a perfectly calibrated model does not reach 0.

    References
    ----------
    .. [1] Guo et al., On calibration of modern neural networks, ICML 2017, arXiv:1706.04599

    Examples
    --------
    >>> round(ece([0, 1], [[0.9, 0.1], [0.4, 0.6]]), 3)
    0.25
    """
    return reliability(true, probability, n_bins=n_bins).ece


def bin_counts(true: NDArray[np.intp], probability: Values, n_bins: int = N_BINS) -> Values:
    """Counts that `ece_of` follows from, of each patch: (N, 3 B) of number, confidence and right, by bin."""
    place = np.arange(len(true))
    sure = np.minimum(probability.max(axis=1), 1.0)
    # Exact edges (0.6 is in the bin that ends with 0.6), not multiples of a rounded width.
    box = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:], sure, side="left")
    counts = np.zeros((len(true), n_bins, 3))
    counts[place, box] = np.stack((np.ones(len(true)), sure, probability.argmax(axis=1) == true), axis=1)
    return counts.reshape(len(true), 3 * n_bins)


def ece_of(totals: Values) -> Values:
    """Expected calibration error from sums of `bin_counts` (..., 3 B)."""
    n, sure, right = np.moveaxis(totals.reshape(*totals.shape[:-1], -1, 3), -1, 0)
    return divide(np.abs(right - sure).sum(-1), n.sum(-1))


def fit_temperature(true: ArrayLike, probability: ArrayLike) -> float:
    """Fit the temperature that maximises the likelihood of a validation set.

    Parameters
    ----------
    true : (N,) int
    probability : (N, C) float
        Softmax of a model's logits, from which the logits are recovered.

    Returns
    -------
    float > 0
        Above 1 the model was overconfident. NaN where the likelihood has no maximum: every patch is right, or
        the model is worse than chance; keep the probabilities then.

    Notes
    -----
    The log-likelihood is concave in 1 / T; the root of its derivative is found by Brent's method.

    References
    ----------
    .. [1] Guo et al., On calibration of modern neural networks, ICML 2017, arXiv:1706.04599

    Examples
    --------
    >>> sure = np.array([[0.99, 0.01]] * 4)
    >>> T = fit_temperature([0, 0, 0, 1], sure)  # right in three of four
    >>> scaled(sure, T)[0].round(3)
    array([0.75, 0.25])
    """
    from scipy.optimize import brentq
    from scipy.special import softmax

    labels, p = checked(true, probability)
    if len(labels) == 0:
        return nan
    logits = _logits(p)
    chosen = logits[np.arange(len(labels)), labels]

    def slope(inverse: float) -> float:
        expected = (softmax(inverse * logits, axis=1) * logits).sum(axis=1)
        return float((chosen - expected).mean())

    high = 1.0
    if slope(0.0) <= 0.0 or float((chosen - logits.max(axis=1)).mean()) >= 0.0:
        return nan
    while slope(high) > 0.0 and high < 2.0**40:
        high *= 2.0
    return float(1.0 / brentq(slope, 0.0, high, xtol=1e-12, rtol=1e-12)) if slope(high) < 0.0 else nan


def scaled(probability: ArrayLike, temperature: float) -> Values:
    """Temperature scaling: the softmax of logits / T. The predicted class does not change.

    Parameters
    ----------
    probability : (N, C) float
    temperature : float > 0
        From `fit_temperature` on other patches.

    Examples
    --------
    >>> scaled([[0.8, 0.2]], 2.0).round(3)
    array([[0.667, 0.333]])
    """
    from scipy.special import softmax

    if not 0.0 < temperature < np.inf:
        raise ConfigError(
            f"temperature is {temperature}, expected a number above 0; if fit_temperature finds none, keep "
            "the probabilities unchanged"
        )
    cooled: Values = softmax(_logits(np.asarray(probability, np.float64)) / temperature, axis=-1)
    return cooled


def _logits(probability: Values) -> Values:
    """Logits, up to a constant per patch."""
    return np.log(np.clip(probability, _LEAST, 1.0))
