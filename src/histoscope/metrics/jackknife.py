"""Jackknife confidence intervals with nominal coverage from two clusters (patients) on.

Leaving out one patient at a time gives pseudo-values of the score. Their spread gives a t interval, their
skewness lengthens it on one side, and patients of unequal weight count as fewer. This module has arrays only;
tables are read by `histoscope.metrics.interval`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscope.metrics.pooling import Function, Values
from histoscope.metrics.ranges import Range

MOST_CLUSTERS = 500
"""More clusters than this are grouped at random before they are left out in turn."""

LONGEST = 2.5
"""Largest factor on Student's t for the long side; more adds width, not coverage."""

UNLIMITED: Range = (-np.inf, np.inf)

_FLAT = 1e-10  # spread below which all clusters have the same score, up to rounding
_BLOCK = 4_000_000  # numbers held in memory at a time


@dataclass(frozen=True, slots=True, eq=False)
class ClusterScore:
    """A score as a function of the weights (counts) of clusters (patients).

    Parameters
    ----------
    of_draws : callable
        From weights of clusters (..., n) to scores (...).
    shares : (n, parts) float
        Contribution of each cluster to each denominator of the score, see `weights_of`.
    width : int
        Numbers in memory per row of weights.
    """

    of_draws: Function
    shares: Values
    width: int = 1

    @classmethod
    def of_sums(cls, totals: Values, function: Function, shares: Values) -> "ClusterScore":
        """Score that follows from sums of counts: `totals` (n, K), and `function` from (..., K) to (...)."""
        return cls(lambda draws: function(draws @ totals), shares, totals.size)

    @property
    def n_clusters(self) -> int:
        """Clusters that contribute to the score."""
        return int((self.shares > 0).any(axis=1).sum())

    def of_all(self) -> float:
        """Score of all clusters."""
        return float(self.of_draws(np.ones(len(self.shares))))

    def in_blocks(self, draws: Values) -> Values:
        """Scores of many rows of weights (B, n), in blocks."""
        block = max(1, _BLOCK // max(1, self.width))
        parts = [self.of_draws(draws[start : start + block]) for start in range(0, len(draws), block)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def without_each(self) -> tuple[Values, Values]:
        """Scores without each cluster (m,), and the shares (m, parts) of what was left out."""
        n = len(self.shares)
        codes = np.arange(n)
        if n > MOST_CLUSTERS:
            codes = np.random.default_rng(0).permutation(n) % MOST_CLUSTERS
        left = (codes == np.arange(min(n, MOST_CLUSTERS))[:, None]).astype(np.float64)
        return self.in_blocks(1.0 - left), left @ self.shares

    def bounds(self, level: float, limits: Range | None = None) -> tuple[float, float]:
        """Ends of the interval of a score within `limits`, see `studentised`; NaN where there is none."""
        if self.n_clusters < 2:
            return np.nan, np.nan
        left_out, shares = self.without_each()
        low, high = studentised(
            np.array(self.of_all()), left_out, weights_of(shares), level=level, limits=limits or UNLIMITED
        )
        return float(low), float(high)


def studentised(
    estimate: Values,
    left_out: Values,
    weights: Values,
    *,
    level: float,
    limits: Range = UNLIMITED,
) -> tuple[Values, Values]:
    """Jackknife intervals of scores.

    Parameters
    ----------
    estimate : (...) float
        Scores of all clusters.
    left_out : (..., n) float
        Scores without each cluster.
    weights : (..., n) float
        Share of each cluster in its score, see `weights_of`; 0 for clusters without a part in it.
    level : float in (0, 1)
        Confidence.
    limits : (float, float)
        Range of the score, for the exact binomial interval where all clusters have the same score.

    Returns
    -------
    low, high : (...) float
        NaN for fewer than two clusters, a score that is undefined without one of them, or equal scores of all
        clusters without limits.

    Notes
    -----
    With `m` clusters, and Kish's effective number `m*`, the half-width is that of Student's t with ``m* - 1``
    degrees of freedom. For skewness it is lengthened by Hall's transformation [1]_, up to `LONGEST` times,
    and never shortened. The tail is reduced by ``(m* - 1) / (m* + 1)``, as skewness is underestimated from
    few patients. See docs/metrics.md for coverage.

    References
    ----------
    .. [1] Hall, Journal of the Royal Statistical Society B 54(1), 1992,
       doi:10.1111/j.2517-6161.1992.tb01872.x
    .. [2] Efron, The jackknife, the bootstrap and other resampling plans, SIAM 1982,
       doi:10.1137/1.9781611970319

    Examples
    --------
    >>> patients = np.array([0.5, 0.6, 0.7, 0.6])
    >>> without = (patients.sum() - patients) / 3
    >>> low, high = studentised(patients.mean(), without, np.full(4, 0.25), level=0.95)
    >>> round(float(low), 2), round(float(high), 2)
    (0.44, 0.76)
    """
    from scipy.special import stdtrit

    used = weights > 0
    left_out = np.where(used, left_out, 0.0)
    m = used.sum(axis=-1).astype(np.float64)
    enough = np.maximum(m, 2.0)
    effective = np.clip(1.0 / np.maximum((weights**2).sum(axis=-1), 1e-300), 2.0, enough)
    moves = np.where(used, (enough - 1)[..., None] * (estimate[..., None] - left_out), 0.0)
    spread = np.sqrt((moves**2).sum(axis=-1) / (enough - 1))
    outer = (1.0 - level) / 2.0
    reach = stdtrit(effective - 1, 1.0 - outer * (effective - 1) / (effective + 1)) / np.sqrt(enough)
    skewness = _skewness(moves, used, enough)
    below = spread * np.clip(_hall(reach, skewness, enough), reach, LONGEST * reach)
    above = spread * np.clip(-_hall(-reach, skewness, enough), reach, LONGEST * reach)
    flat = spread <= _FLAT * np.maximum(1.0, np.abs(estimate))
    differing = 1.0 - outer ** (1.0 / effective)
    below = np.where(flat, differing * (estimate - limits[0]), below)
    above = np.where(flat, differing * (limits[1] - estimate), above)
    known = (m >= 2) & np.isfinite(below + above)
    return np.where(known, estimate - below, np.nan), np.where(known, estimate + above, np.nan)


def weights_of(shares: Values) -> Values:
    """Share of each cluster in a score, (..., n), from its contributions to the denominators (..., n, parts).

    A mean has one part, the number of images; a mean over classes has one for each class. Shares sum to 1,
    and are all 0 if a part depends on a single cluster, so that there is no interval.

    Examples
    --------
    >>> weights_of(np.array([[3.0], [1.0], [0.0]]))
    array([0.75, 0.25, 0.  ])
    """
    sums = shares.sum(axis=-2, keepdims=True)
    there = sums > 0
    parts = np.divide(shares, sums, out=np.zeros_like(shares), where=there)
    alone = ((shares > 0).sum(axis=-2) == 1).any(axis=-1)
    weights: Values = parts.sum(axis=-1) / np.maximum(there.sum(axis=-1), 1)
    return np.where(alone[..., None], 0.0, weights)


def _skewness(moves: Values, used: NDArray[np.bool_], m: Values) -> Values:
    """Adjusted sample skewness of the moves; 0 for two clusters and for equal moves."""
    centred = np.where(used, moves - (moves.sum(axis=-1) / m)[..., None], 0.0)
    square, cube = ((centred**k).sum(axis=-1) / m for k in (2, 3))
    scale = square**1.5
    plain = np.divide(cube, scale, out=np.zeros_like(cube), where=scale > 0)
    skewness: Values = plain * np.where(m > 2, np.sqrt(m * (m - 1)) / np.maximum(m - 2, 1.0), 0.0)
    return skewness


def _hall(reach: Values, skewness: Values, m: Values) -> Values:
    """Standardised distance whose Hall transformation equals `reach`."""
    moved = reach - skewness / (6 * m)
    bent = np.abs(skewness) > 1e-6
    slope = np.where(bent, skewness, 1.0)
    return np.where(bent, 3.0 / slope * (np.cbrt(1.0 + slope * moved) - 1.0), moved)
