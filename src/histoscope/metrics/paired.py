"""Paired comparison of two methods on the same images."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import DataError
from histoscope.metrics.intervals import (
    bracketed,
    check_resampling,
    cluster_totals,
    column,
    counted,
    limits_of,
    number,
    with_ones,
)
from histoscope.metrics.jackknife import UNLIMITED, ClusterScore
from histoscope.metrics.keys import as_text, cluster_names, row_keys
from histoscope.metrics.pooling import Values, pooled_statistic, ratio_of_means
from histoscope.metrics.ranges import Range, range_of
from histoscope.metrics.significance import effect_size, paired_permutation, swap_permutation, wilcoxon
from histoscope.seeds import RandomSource, generator

if TYPE_CHECKING:
    import pandas as pd

Tables: TypeAlias = tuple["pd.DataFrame", "pd.DataFrame"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Result of `compare`.

    Parameters
    ----------
    difference : float
        Mean over images of first minus second; above 0 if the first scores higher.
    low, high : float
        Confidence interval of the difference, with the cluster as the unit; NaN if there is none.
    p_permutation, p_wilcoxon : float
        Two-sided p values; the first is of the mean over images, the second of clusters' mean differences.
    d_z, rank_biserial : float
        Effect sizes of the clusters' mean differences.
    n : int
        Clusters (patients) that contribute: the sample size of interval and tests.
    n_images : int
        Images compared.
    n_dropped : int
        Rows without a partner in the other table, or with a NaN score while other seeds of the image have
        one, plus pairs with a NaN score.
    level : float
        Confidence of the interval.
    unit : str
        Column of the clusters, such as "patient".
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
    unit: str = "patient"

    @property
    def basis(self) -> str:
        """Sample size in words: "14 patients"."""
        return counted(self.n, self.unit)

    def __str__(self) -> str:
        ends = bracketed(self.low, self.high, "+.3f")
        left_out = f"; {counted(self.n_dropped, 'row')} left out" if self.n_dropped else ""
        return f"{self.difference:+.3f} {ends}, p = {self.p_permutation:.3g} ({self.basis}{left_out})"


def compare(
    table_a: "pd.DataFrame",
    table_b: "pd.DataFrame",
    metric: str,
    *,
    cluster: str = "patient",
    n: int = 2**16,
    level: float = 0.95,
    pooled: bool = False,
    rng: RandomSource = 0,
) -> Comparison:
    """Compare two methods on the images that both were scored on.

    Rows are paired by ``name`` (and ``condition``, where both tables have it). A table may hold several runs
    in a column ``seed``: if both tables have the same seeds these are paired too, and differences are
    averaged over seeds before testing, because runs are not patients. The patient is the unit of sign flips
    and of the jackknife. Keys are compared as text (seed 0, 0.0 and "0" are equal), and an empty condition is
    a condition of its own.

    Parameters
    ----------
    table_a, table_b : DataFrame
        One row per image (and seed), with ``name``, `cluster` and `metric`.
    metric : str
        The column of scores.
    cluster : str
        The column of the independent unit.
    n : int
        Sign flips (or swaps): if there are at most `n`, all are enumerated and `p_permutation` is exact; else
        `n` random ones are used.
    level : float in (0, 1)
        Confidence.
    pooled : bool
        Compare pooled scores (see `pooled_statistic`) instead of means over images. Counts are averaged over
        seeds; a permutation swaps all counts of a patient between the methods; `p_wilcoxon` and the effect
        sizes are of patients' own pooled scores.
    rng : int or Generator
        Seed or generator of random flips; by default seed 0, so that results are reproducible.

    Returns
    -------
    Comparison

    Raises
    ------
    UnknownNameError
        If a table lacks the metric, ``name`` or the cluster column.
    DataError
        If an image occurs twice with one seed, a cluster or counts are missing, the tables assign an image to
        different patients, or one table has lost names that the other has.

    Examples
    --------
    >>> import pandas as pd
    >>> a = pd.DataFrame({"name": list("stuvw"), "patient": list("12345"), "pq": [0.6, 0.7, 0.5, 0.6, 0.8]})
    >>> b = a.assign(pq=[0.5, 0.7, 0.3, 0.5, 0.6])
    >>> print(compare(a, b, "pq"))
    +0.120 [-0.057, +0.239], p = 0.125 (5 patients)
    """
    check_resampling(n, level)
    found = (_pooled_gap if pooled else _mean_gap)((table_a, table_b), metric, cluster, n, generator(rng))
    low, high = found.score.bounds(level, found.limits)
    zeros = np.zeros(len(found.own))
    size = effect_size(found.own, zeros)
    return Comparison(
        difference=found.difference,
        low=max(low, found.limits[0]),
        high=min(high, found.limits[1]),
        p_permutation=found.p_permutation,
        p_wilcoxon=wilcoxon(found.own, zeros),
        d_z=size.d_z,
        rank_biserial=size.rank_biserial,
        n=found.score.n_clusters,
        n_images=len(found.pairs.values),
        n_dropped=found.pairs.n_dropped,
        level=level,
        unit=cluster,
    )


class _Gap(NamedTuple):
    """Difference of two scores: of all clusters, as a function of them, and of each cluster, (clusters,)."""

    pairs: "_Pairs"
    difference: float
    score: ClusterScore
    own: Values
    p_permutation: float
    limits: Range


def _mean_gap(tables: Tables, metric: str, cluster: str, n: int, rng: np.random.Generator) -> _Gap:
    pairs = _paired(tables, [{"score": column(table, metric)} for table in tables], cluster)
    differences = pairs.values[:, 0] - pairs.values[:, 1]
    totals = cluster_totals(with_ones(differences), pairs.clusters)
    sums, counts = totals.T
    return _Gap(
        pairs,
        float(differences.mean()) if len(differences) else nan,
        ClusterScore.of_sums(totals, ratio_of_means, number(totals)),
        sums / counts,
        paired_permutation(sums, np.zeros(len(sums)), n=n, rng=rng),
        _of_differences(limits_of(metric, pairs.values.ravel())),
    )


def _pooled_gap(tables: Tables, metric: str, cluster: str, n: int, rng: np.random.Generator) -> _Gap:
    statistic = pooled_statistic([str(name) for name in tables[0] if name in tables[1]], metric)
    counts = [dict(zip(statistic.columns, statistic.totals(table).T, strict=True)) for table in tables]
    pairs = _paired(tables, counts, cluster, average_runs=True)
    width, score, whole = len(statistic.columns), statistic.function, statistic.whole
    totals = cluster_totals(pairs.values, pairs.clusters)
    a, b = totals[:, :width], totals[:, width:]
    return _Gap(
        pairs,
        float(score(a.sum(axis=0)) - score(b.sum(axis=0))),
        ClusterScore.of_sums(
            totals,
            lambda sums: score(sums[..., :width]) - score(sums[..., width:]),
            np.concatenate([whole(a), whole(b)], axis=1),
        ),
        score(a) - score(b),
        swap_permutation(a, b, score, n=n, rng=rng),
        _of_differences(range_of(metric)),
    )


def _of_differences(limits: Range | None) -> Range:
    return (limits[0] - limits[1], limits[1] - limits[0]) if limits else UNLIMITED


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Values (N, 2 K) of the images in both tables, first those of the first, and cluster of each."""

    values: NDArray[np.float64]
    clusters: NDArray[np.intp]
    n_dropped: int


def _paired(
    tables: Tables,
    values: list[dict[str, NDArray[np.float64]]],
    cluster: str,
    *,
    average_runs: bool = False,
) -> _Pairs:
    """Pair the images of two tables; average over runs, which are paired if both tables have the same."""
    for table in tables:
        cluster_names(table, "name")
    shared = [name for name in ("condition", "seed") if all(name in table for table in tables)]
    keys = row_keys(tables, ["name", *shared])
    image = ["name", *[name for name in shared if name != "seed"]]
    same = "seed" in shared and not average_runs and set(keys[0]["seed"]) == set(keys[1]["seed"])
    by = [*image, "seed"] if same else image
    left, right = (
        _by_image(table, key, cells, cluster, by)
        for table, key, cells in zip(tables, keys, values, strict=True)
    )
    names = list(values[0])
    both = left.rows.merge(right.rows, on=by, suffixes=("_a", "_b"))
    _check_clusters(both, cluster)
    columns = [f"{name}_{side}" for side in "ab" for name in names]
    used = both[both[columns].notna().all(axis=1)]
    images = used.groupby(image, as_index=False).agg(
        {"_cluster_a": "first", **dict.fromkeys(columns, "mean")}
    )
    return _Pairs(
        images[columns].to_numpy(np.float64),
        np.unique(images["_cluster_a"].to_numpy(str), return_inverse=True)[1],
        left.n_undefined + right.n_undefined + len(left.rows) + len(right.rows) - len(both) - len(used),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One row for each key of a table, and the number of rows without a score excluded from averages."""

    rows: "pd.DataFrame"
    n_undefined: int


def _by_image(
    table: "pd.DataFrame",
    keys: "pd.DataFrame",
    values: Mapping[str, NDArray[np.float64]],
    cluster: str,
    by: list[str],
) -> _Side:
    """Keys, cluster and values of each row; averaged over seeds unless those are a key."""
    run = keys.assign(seed=as_text(table["seed"])) if "seed" in table else keys
    twice = run.duplicated()
    if twice.any():
        raise DataError(
            f"{', '.join(map(str, run))} {run[twice].iloc[0].tolist()} occurs more than once; expected one "
            "row for each: keep one condition, or add a column 'seed' that tells runs apart"
        )
    rows = keys[by].assign(_cluster=cluster_names(table, cluster), **values)
    names = list(values)
    undefined = rows[names].isna().any(axis=1)
    rows.loc[undefined, names] = nan
    groups = rows.groupby(by)
    several = groups["_cluster"].nunique()
    if (several > 1).any():
        at = several.idxmax()
        raise DataError(
            f"{', '.join(by)} {list(at) if isinstance(at, tuple) else [str(at)]} is of {several.max()} "
            f"different {cluster} names; expected one"
        )
    means = groups.agg({"_cluster": "first", **dict.fromkeys(names, "mean")})
    none_left = means[names].isna().any(axis=1)
    return _Side(means.reset_index(), int(undefined.sum()) - int(groups.size()[none_left].sum()))


def _check_clusters(both: "pd.DataFrame", cluster: str) -> None:
    """Raise a `DataError` if the tables group images into different clusters; names may differ."""
    names = both[["_cluster_a", "_cluster_b"]].drop_duplicates()
    for mine, other in (("_cluster_a", "_cluster_b"), ("_cluster_b", "_cluster_a")):
        split = names.duplicated(mine, keep=False)
        if split.any():
            first = names[split].sort_values([mine, other]).iloc[:2]
            raise DataError(
                f"the tables differ in {cluster}: {first[mine].iloc[0]!r} of one is {first[other].iloc[0]!r} "
                f"and {first[other].iloc[1]!r} in the other; expected the same for each image"
            )
