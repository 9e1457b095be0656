"""Whether one method beats another on the same images: tests, effect sizes, and one call for all of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import DataError, ShapeError
from histoscope.metrics.intervals import (
    check_resampling,
    cluster_bootstrap,
    cluster_codes,
    cluster_sums,
    column,
)
from histoscope.metrics.semantic import ratio

if TYPE_CHECKING:
    import pandas as pd

_BLOCK = 2_000_000  # signs held in memory at a time


@dataclass(frozen=True, slots=True)
class EffectSize:
    """How large a paired difference is beside its spread.

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


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found.

    Parameters
    ----------
    difference : float
        Mean over images of first minus second; above 0 if the first scores higher.
    low, high : float
        Confidence interval of the difference, by resampling clusters.
    p_permutation, p_wilcoxon : float
        Two-sided p values; the first is of the mean over images, the second of clusters' mean differences.
    d_z, rank_biserial : float
        Effect sizes of the clusters' mean differences.
    n : int
        Clusters (patients): the sample size of both tests.
    n_images : int
        Images compared.
    n_dropped : int
        Rows of either table without a partner in the other, plus pairs of which a score was NaN.
    level : float
        Confidence of the interval.
    """

    difference: float
    low: float
    high: float
    p_permutation: float
    p_wilcoxon: float
    d_z: float
    rank_biserial: float
    n: int
    n_images: int
    n_dropped: int
    level: float

    def __str__(self) -> str:
        bounds = f"[{self.low:+.3f}, {self.high:+.3f}]"
        return f"{self.difference:+.3f} {bounds}, p = {self.p_permutation:.3g} (n = {self.n})"


def compare(
    table_a: "pd.DataFrame",
    table_b: "pd.DataFrame",
    metric: str,
    *,
    cluster: str = "patient",
    n: int = 2000,
    level: float = 0.95,
    rng: np.random.Generator,
) -> Comparison:
    """Compare two methods on the images that both were scored on.

    Rows are paired by ``name`` (and ``condition``, where both tables have it). A table may hold several runs,
    in a column ``seed``: where both have the same seeds these are paired too, and each image's differences
    are averaged over seeds before anything is tested, because runs are not patients. The patient is the unit:
    signs flip, and patients are drawn, for all of a patient's images at once.

    Parameters
    ----------
    table_a, table_b : DataFrame
        One row an image (and seed), with ``name``, `cluster` and `metric`.
    metric : str
        The column of scores.
    cluster : str
        The column of the independent unit.
    n : int
        Resamples of the interval.
    level : float in (0, 1)
        Confidence.
    rng : Generator
        Source of resamples and of random sign flips.

    Returns
    -------
    Comparison

    Raises
    ------
    UnknownNameError
        If a table lacks the metric, ``name`` or the cluster column.
    DataError
        If an image occurs twice under one seed, or a cluster is not known.

    Examples
    --------
    >>> import pandas as pd
    >>> a = pd.DataFrame({"name": list("stuvw"), "patient": list("12345"), "pq": [0.6, 0.7, 0.5, 0.6, 0.8]})
    >>> b = a.assign(pq=[0.5, 0.7, 0.3, 0.5, 0.6])
    >>> print(compare(a, b, "pq", rng=np.random.default_rng(0)))
    +0.120 [+0.020, +0.200], p = 0.125 (n = 5)
    """
    check_resampling(n, level)
    differences, clusters, dropped = _pair(table_a, table_b, metric, cluster)
    low, high = cluster_bootstrap(differences, clusters, n=n, level=level, method="expanded", rng=rng)
    sums, counts = cluster_sums(differences, clusters)
    means, zeros = sums / counts, np.zeros(len(sums))
    size = effect_size(means, zeros)
    return Comparison(
        difference=float(differences.mean()) if len(differences) else nan,
        low=low,
        high=high,
        p_permutation=paired_permutation(differences, np.zeros_like(differences), clusters=clusters, rng=rng),
        p_wilcoxon=wilcoxon(means, zeros),
        d_z=size.d_z,
        rank_biserial=size.rank_biserial,
        n=len(sums),
        n_images=len(differences),
        n_dropped=dropped,
        level=level,
    )


def paired_permutation(
    a: ArrayLike,
    b: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    n: int = 2**16,
    rng: np.random.Generator,
) -> float:
    """Two-sided p value of the mean of ``a - b`` under random flips of sign.

    Parameters
    ----------
    a, b : (N,) float
        Paired scores; pairs with a NaN are dropped.
    clusters : (N,) optional
        Differences of one cluster flip together; without it each flips alone.
    n : int
        All flips are enumerated, and the p value is exact, if they are at most so many;
        else so many are drawn.
    rng : Generator
        Source of the flips, where they are drawn.

    Returns
    -------
    float in (0, 1], or NaN if there are no pairs

    References
    ----------
    .. [1] Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9(1), 2010,
       doi:10.2202/1544-6115.1585 (why a drawn p value is never 0)

    Examples
    --------
    >>> paired_permutation([3.0, 4.0, 5.0, 6.0], [1.0] * 4, rng=np.random.default_rng(0))  # 2 of 16 flips
    0.125
    """
    check_resampling(n, 0.5)
    differences, defined = _differences(a, b)
    if clusters is not None:
        groups = np.asarray(clusters)
        if groups.shape != defined.shape:
            raise ShapeError(
                f"clusters have shape {groups.shape}, scores {defined.shape}; expected one for each pair"
            )
        differences = cluster_sums(differences, groups[defined])[0]
    count = len(differences)
    if count == 0:
        return nan
    # Equal sums in another order of addition differ by rounding; they must count as equal.
    observed = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    exact = count < 63 and 2**count <= n
    total = 2**count if exact else n
    extreme, block = 0, max(1, _BLOCK // count)
    for start in range(0, total, block):
        size = min(block, total - start)
        if exact:
            flips = (np.arange(start, start + size)[:, None] >> np.arange(count)) & 1
        else:
            flips = rng.integers(0, 2, (size, count), dtype=np.int8)
        extreme += int(np.count_nonzero(np.abs((1.0 - 2.0 * flips) @ differences) >= observed))
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
    """Cohen's d_z and the rank-biserial correlation of paired scores.

    Parameters
    ----------
    a, b : (N,) float
        Paired scores of independent units; pairs with a NaN are dropped.

    Returns
    -------
    EffectSize

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


def holm(pvalues: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Correct p values for their number, by Holm's step-down method.

    Parameters
    ----------
    pvalues : (N,) float in [0, 1]
        NaN (no test was possible) stays NaN and does not count.

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


def _pair(
    table_a: "pd.DataFrame", table_b: "pd.DataFrame", metric: str, cluster: str
) -> tuple[NDArray[np.float64], NDArray[np.intp], int]:
    """One difference for each image, its cluster, and how many rows or pairs found no use."""
    image = ["name"]
    if "condition" in table_a.columns and "condition" in table_b.columns:
        image.append("condition")
    runs = [set(table["seed"]) if "seed" in table.columns else None for table in (table_a, table_b)]
    keys = [*image, "seed"] if runs[0] is not None and runs[0] == runs[1] else image
    left, right = (_scores(table, metric, cluster, keys) for table in (table_a, table_b))
    both = left.merge(right.drop(columns="_cluster"), on=keys, suffixes=("_a", "_b"))
    both["_difference"] = both["_score_a"] - both["_score_b"]
    defined = both.dropna(subset="_difference")
    dropped = len(left) + len(right) - len(both) - len(defined)
    images = defined.groupby([*image, "_cluster"], as_index=False)["_difference"].mean()
    clusters = np.unique(images["_cluster"].to_numpy(str), return_inverse=True)[1]
    return images["_difference"].to_numpy(np.float64), clusters, dropped


def _scores(table: "pd.DataFrame", metric: str, cluster: str, keys: list[str]) -> "pd.DataFrame":
    """Keys, cluster and score of each row; averaged over seeds unless those are a key."""
    cluster_codes(table, "name")
    cluster_codes(table, cluster)
    run = [*keys, "seed"] if "seed" in table.columns and "seed" not in keys else keys
    twice = table.duplicated(run)
    if twice.any():
        raise DataError(
            f"{', '.join(run)} {table.loc[twice, run].iloc[0].tolist()} occurs more than once; expected one "
            "row for each: keep one condition, or tell several runs apart in a column 'seed'"
        )
    rows = table[keys].assign(_cluster=table[cluster].astype(str), _score=column(table, metric))
    rows["name"] = rows["name"].astype(str)
    return rows.groupby([*keys, "_cluster"])["_score"].mean().reset_index()
