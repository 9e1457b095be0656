"""Weights of classes in a loss, from how often each occurs."""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ConfigError, UnknownNameError

Counts = NDArray[np.float64]


def class_weights(counts: Sequence[float] | NDArray[Any], how: str = "sqrt_median") -> NDArray[np.float64]:
    """Class weights of a loss from class counts: rare classes weigh more.

    Parameters
    ----------
    counts : (C,) numbers from 0
        How often each class occurs in the training data: nuclei, or pixels.
    how : {"none", "inverse", "sqrt_median", "effective"}
        A key of `CLASS_WEIGHTS`.

    Returns
    -------
    (C,) float64
        Their mean over the classes that occur is 1, so a loss keeps its scale beside other terms. A class
        that does not occur weighs **0**: there are no examples to learn it from, and any other weight would
        only push against it.

    Raises
    ------
    UnknownNameError
        If there is no such rule.
    ConfigError
        If a count is negative or not a number.

    Examples
    --------
    >>> class_weights([400, 100, 0], "sqrt_median").round(3).tolist()
    [0.667, 1.333, 0.0]
    """
    if how not in CLASS_WEIGHTS:
        raise UnknownNameError("class weights", how, CLASS_WEIGHTS)
    array = np.asarray(counts, np.float64)
    if array.ndim != 1 or not (array >= 0).all() or not np.isfinite(array).all():
        raise ConfigError(
            f"class counts are {array.tolist()}; expected one number of at least 0 for each class"
        )
    weights = np.zeros(len(array))
    present = array > 0
    if present.any():
        raw = CLASS_WEIGHTS[how](array[present])
        weights[present] = raw / raw.mean()
    return weights


def equal(counts: Counts) -> Counts:
    """Every class alike."""
    return np.ones_like(counts)


def inverse(counts: Counts) -> Counts:
    """1 / count: each class as a whole weighs the same, even one of a handful of nuclei."""
    return 1.0 / counts


def sqrt_median(counts: Counts) -> Counts:
    """Square root of median / count, the gentler rule that the winner of the CoNIC challenge offers.

    References
    ----------
    .. [1] Weigert and Schmidt, ISBIC 2022, doi:10.1109/ISBIC56247.2022.9854534
    """
    weights: Counts = np.sqrt(np.median(counts) / counts)
    return weights


def effective(counts: Counts, *, beta: float = 0.999) -> Counts:
    """1 / effective number of examples, (1 - beta^n) / (1 - beta): 1 / n for rare classes, level for common.

    Parameters
    ----------
    counts : (C,) float above 0
        How often each class occurs.
    beta : float in [0, 1)
        Further examples add little once there are more than 1 / (1 - beta): 0 is `equal`, near 1 `inverse`.

    References
    ----------
    .. [1] Cui et al., CVPR 2019, doi:10.1109/CVPR.2019.00949
    """
    weights: Counts = (1.0 - beta) / (1.0 - beta**counts)
    return weights


CLASS_WEIGHTS: MappingProxyType[str, Callable[[Counts], Counts]] = MappingProxyType(
    {"none": equal, "inverse": inverse, "sqrt_median": sqrt_median, "effective": effective}
)
"""Rules of `class_weights` by name; each takes counts above 0."""
