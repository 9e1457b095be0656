"""Tests and effect sizes of paired scores: permutation, Wilcoxon, Cohen's d_z, McNemar, Holm."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import DataError, ShapeError
from histoscope.metrics.intervals import check_resampling, cluster_totals
from histoscope.metrics.keys import group_codes
from histoscope.metrics.pooling import Function, Values
from histoscope.metrics.semantic import ratio
from histoscope.seeds import RandomSource, generator

_BLOCK = 2_000_000  # signs in memory at a time


@dataclass(frozen=True, slots=True)
class EffectSize:
    """Effect sizes of paired differences.

    Parameters
    ----------
    d_z : float
        Cohen's d of paired differences, mean / standard deviation; NaN for fewer than two pairs or no spread.
    rank_biserial : float in [-1, 1]
        Matched-pairs rank-biserial correlation: share of ranks in favour of the first minus share against;
        NaN if all pairs are equal.
    """

    d_z: float
    rank_biserial: float


def paired_permutation(
    a: ArrayLike,
    b: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    n: int = 2**16,
    rng: RandomSource = 0,
) -> float:
    """Two-sided p value of the mean of ``a - b`` under random flips of sign.

    Parameters
    ----------
    a, b : (N,) float
        Paired scores; pairs with a NaN are dropped.
    clusters : (N,) optional
        Differences of one cluster flip together; by default each flips alone.
    n : int
        If there are at most `n` flips, all are enumerated and the p value is exact; else `n` random ones are
        used.
    rng : int or Generator
        Seed or generator of random flips; by default seed 0, so that results are reproducible.

    Returns
    -------
    float in (0, 1], or NaN if there are no pairs

    References
    ----------
    .. [1] Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9(1), 2010,
       doi:10.2202/1544-6115.1585 (why the p value of random flips is never 0)

    Examples
    --------
    >>> paired_permutation([3.0, 4.0, 5.0, 6.0], [1.0] * 4)  # 2 of 16 flips
    0.125
    """
    check_resampling(n, 0.5)
    rng = generator(rng)
    differences, defined = _differences(a, b)
    if clusters is not None:
        groups = group_codes(clusters, "cluster")
        if groups.shape != defined.shape:
            raise ShapeError(
                f"clusters have shape {groups.shape}, scores {defined.shape}; expected one for each pair"
            )
        differences = cluster_totals(differences[:, None], groups[defined])[:, 0]
    count = len(differences)
    if count == 0:
        return nan
    # Equal sums in another order of addition differ by rounding; they must count as equal.
    observed = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    return _p_of_flips(
        count,
        lambda flips: np.abs((1.0 - 2.0 * flips) @ differences) >= observed,
        n=n,
        rng=rng,
        block=max(1, _BLOCK // count),
    )


def swap_permutation(
    totals_a: Values, totals_b: Values, function: Function, *, n: int, rng: np.random.Generator
) -> float:
    """Two-sided p value of the difference of two pooled scores under random swaps within clusters.

    `totals_a` and `totals_b` are the counts of each cluster by either method, (N, K), and `function` goes
    from sums of counts to the score. NaN if the difference is undefined; otherwise as `paired_permutation`.
    """
    sum_a, sum_b, move = totals_a.sum(axis=0), totals_b.sum(axis=0), totals_b - totals_a
    observed = abs(float(function(sum_a) - function(sum_b)))
    if len(totals_a) == 0 or np.isnan(observed):
        return nan

    def is_extreme(swaps: NDArray[np.integer]) -> NDArray[np.bool_]:
        moved = swaps.astype(np.float64) @ move
        return np.abs(function(sum_a + moved) - function(sum_b - moved)) >= observed - 1e-12

    return _p_of_flips(len(totals_a), is_extreme, n=n, rng=rng, block=4096)


def _p_of_flips(
    count: int,
    is_extreme: Callable[[NDArray[np.integer]], NDArray[np.bool_]],
    *,
    n: int,
    rng: np.random.Generator,
    block: int,
) -> float:
    """P value from flips of `count` units, (B, count) of 0 and 1: all up to `n`, else `n` random ones."""
    exact = count < 63 and 2**count <= n
    total = 2**count if exact else n
    extreme = 0
    for start in range(0, total, block):
        size = min(block, total - start)
        if exact:
            flips = (np.arange(start, start + size)[:, None] >> np.arange(count)) & 1
        else:
            flips = rng.integers(0, 2, (size, count), dtype=np.int8)
        extreme += int(np.count_nonzero(is_extreme(flips)))
    return extreme / total if exact else (extreme + 1) / (total + 1)


def wilcoxon(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p value of Wilcoxon's signed-rank test (scipy's; pairs without difference are dropped).

    Parameters
    ----------
    a, b : (N,) float
        Paired scores of independent units; pairs with a NaN are dropped.

    Returns
    -------
    float in (0, 1]
        1 if no pair differs; NaN if there are no pairs.

    References
    ----------
    .. [1] Wilcoxon, Biometrics Bulletin 1(6), 1945, doi:10.2307/3001968

    Examples
    --------
    >>> wilcoxon([3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 1.0, 1.0])
    0.125
    """
    differences, _ = _differences(a, b)
    if len(differences) == 0:
        return nan
    differences = differences[differences != 0.0]
    if len(differences) == 0:
        return 1.0
    from scipy.stats import wilcoxon as signed_rank

    return float(signed_rank(differences).pvalue)


def effect_size(a: ArrayLike, b: ArrayLike) -> EffectSize:
    """Cohen's d_z and the rank-biserial correlation of paired scores, as `wilcoxon` takes them.

    References
    ----------
    .. [1] Lakens, Frontiers in Psychology 4, 2013, doi:10.3389/fpsyg.2013.00863 (d_z)
    .. [2] Kerby, Comprehensive Psychology 3, 2014, doi:10.2466/11.IT.3.1 (rank-biserial)

    Examples
    --------
    >>> effect_size([3.0, 5.0, 4.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    EffectSize(d_z=0.9258200997725514, rank_biserial=0.8)
    """
    differences, _ = _differences(a, b)
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    d_z = ratio(float(differences.mean()), spread) if spread else nan
    differences = differences[differences != 0.0]
    if len(differences) == 0:
        return EffectSize(d_z, nan)
    from scipy.stats import rankdata

    ranks = rankdata(np.abs(differences))
    return EffectSize(d_z, float((np.sign(differences) * ranks).sum() / ranks.sum()))


@dataclass(frozen=True, slots=True)
class McNemar:
    """Result of `mcnemar`.

    Parameters
    ----------
    only_first, only_second : int
        Patches that only one of the methods classified correctly.
    p : float in (0, 1]
        Two-sided, exact.
    """

    only_first: int
    only_second: int
    p: float


def mcnemar(true: ArrayLike, predicted_a: ArrayLike, predicted_b: ArrayLike) -> McNemar:
    """Exact McNemar test of whether two classifiers have the same accuracy on the same patches.

    It assumes independent patches. Where several come from one image or patient, p is too small: use
    `compare` with the column ``correct`` of `per_patch`, which permutes whole groups.

    Parameters
    ----------
    true, predicted_a, predicted_b : (N,) int
        Classes.

    References
    ----------
    .. [1] McNemar, Psychometrika 12(2), 1947, doi:10.1007/BF02295996

    Examples
    --------
    >>> mcnemar([0] * 8, [0] * 8, [0, 0, 1, 1, 1, 1, 1, 1])
    McNemar(only_first=6, only_second=0, p=0.03125)
    """
    labels, first, second = (np.asarray(values) for values in (true, predicted_a, predicted_b))
    if labels.ndim != 1 or not labels.shape == first.shape == second.shape:
        raise ShapeError(
            f"classes have shapes {labels.shape}, {first.shape} and {second.shape}; expected three lists "
            "of the same patches"
        )
    from scipy.stats import binomtest

    a, b = first == labels, second == labels
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p)


def holm(pvalues: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p values for multiple testing by Holm's step-down method.

    Parameters
    ----------
    pvalues : (N,) float in [0, 1]
        NaN (no test was possible) stays NaN and is not counted.

    Returns
    -------
    (N,) float64
        Adjusted p values, in the order given; reject those at most the level.

    Raises
    ------
    DataError
        If a p value is outside [0, 1].

    References
    ----------
    .. [1] Holm, Scandinavian Journal of Statistics 6(2), 1979, https://www.jstor.org/stable/4615733

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(pvalues, np.float64)
    if p.ndim != 1:
        raise ShapeError(f"p values have shape {p.shape}, expected a flat list of them")
    if ((p < 0.0) | (p > 1.0)).any():
        raise DataError(f"p values run from {np.nanmin(p)} to {np.nanmax(p)}, expected numbers from 0 to 1")
    adjusted = np.full(len(p), nan)
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    steps = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * steps), 1.0)
    return adjusted


def _differences(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ShapeError(
            f"scores have shapes {first.shape} and {second.shape}; expected two flat lists in pairs"
        )
    difference = first - second
    defined = ~np.isnan(difference)
    return difference[defined], defined
