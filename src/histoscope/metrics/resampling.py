"""Bootstrap confidence intervals (percentile, BCa), which are too short for few patients."""

from math import nan
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from histoscope.errors import UnknownNameError
from histoscope.metrics.jackknife import ClusterScore
from histoscope.metrics.ranges import Range
from histoscope.seeds import RandomSource, generator

Method: TypeAlias = Literal["jackknife", "percentile", "bca"]

_BLOCK = 2_000_000  # resampled clusters in memory at a time


def bounds(
    score: ClusterScore, *, method: Method, level: float, n: int, rng: RandomSource, limits: Range | None
) -> tuple[float, float]:
    """Interval of a score by `method`; NaN where there is none."""
    if method not in get_args(Method):
        raise UnknownNameError("interval method", method, get_args(Method))
    if method == "jackknife":
        return score.bounds(level, limits)
    return bootstrap(score, method=method, level=level, n=n, rng=generator(rng))


def bootstrap(
    score: ClusterScore, *, method: Method, level: float, n: int, rng: Generator
) -> tuple[float, float]:
    """Bootstrap interval from `n` resamples of clusters; NaN for fewer than two clusters."""
    if score.n_clusters < 2:
        return nan, nan
    n_all, scores = len(score.shares), []
    block = max(1, _BLOCK // n_all)
    for start in range(0, n, block):
        size = min(block, n - start)
        drawn = rng.integers(0, n_all, (size, n_all)) + n_all * np.arange(size)[:, None]
        draws = np.bincount(drawn.ravel(), minlength=size * n_all).reshape(size, n_all)
        scores.append(score.in_blocks(draws.astype(np.float64)))
    found = np.concatenate(scores)
    found = found[~np.isnan(found)]
    if len(found) == 0:
        return nan, nan
    tail = (1.0 - level) / 2.0
    tails = np.array([tail, 1.0 - tail])
    low, high = np.quantile(found, tails if method == "percentile" else _corrected(found, score, tails))
    return float(low), float(high)


def _corrected(
    found: NDArray[np.float64], score: ClusterScore, tails: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Tail probabilities corrected for bias and skewness (BCa)."""
    from scipy.special import ndtr, ndtri

    estimate, (left_out, _) = score.of_all(), score.without_each()
    below = (np.count_nonzero(found < estimate) + np.count_nonzero(found <= estimate)) / (2 * len(found))
    left_out = left_out[~np.isnan(left_out)]
    spread = left_out.mean() - left_out
    cubes, squares = float((spread**3).sum()), float((spread**2).sum())
    if squares**1.5 == 0.0 or not 0.0 < below < 1.0:  # all scores alike
        return tails
    acceleration, bias, z = cubes / (6.0 * squares**1.5), ndtri(below), ndtri(tails)
    corrected: NDArray[np.float64] = ndtr(bias + (bias + z) / (1.0 - acceleration * (bias + z)))
    return corrected
