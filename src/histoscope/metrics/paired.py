"""Whether one method beats another on the same images, in one call."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import DataError
from histoscope.metrics.intervals import (
    bootstrap,
    check_resampling,
    cluster_bootstrap,
    cluster_codes,
    cluster_sums,
    cluster_totals,
    column,
)
from histoscope.metrics.pooling import pooled_statistic, swap_permutation
from histoscope.metrics.significance import effect_size, paired_permutation, wilcoxon

if TYPE_CHECKING:
    import pandas as pd


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
    pooled: bool = False,
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
    pooled : bool
        Compare the scores of all images as if they were one, from their counts (see `pooled_statistic`), in
        place of means over images. Counts are averaged over seeds; a permutation swaps all counts of a
        patient between the methods; `p_wilcoxon` and the effect sizes are of patients' own pooled scores.
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
        If an image occurs twice under one seed, a cluster is not known, or counts are missing.

    Examples
    --------
    >>> import pandas as pd
    >>> a = pd.DataFrame({"name": list("stuvw"), "patient": list("12345"), "pq": [0.6, 0.7, 0.5, 0.6, 0.8]})
    >>> b = a.assign(pq=[0.5, 0.7, 0.3, 0.5, 0.6])
    >>> print(compare(a, b, "pq", rng=np.random.default_rng(0)))
    +0.120 [+0.020, +0.200], p = 0.125 (n = 5)
    """
    check_resampling(n, level)
    if pooled:
        return _compare_pooled((table_a, table_b), metric, cluster, n=n, level=level, rng=rng)
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


def _pair(
    table_a: "pd.DataFrame", table_b: "pd.DataFrame", metric: str, cluster: str
) -> tuple[NDArray[np.float64], NDArray[np.intp], int]:
    """One difference for each image, its cluster, and how many rows or pairs found no use."""
    image = ["name"]
    if "condition" in table_a.columns and "condition" in table_b.columns:
        image.append("condition")
    runs = [set(table["seed"]) if "seed" in table.columns else None for table in (table_a, table_b)]
    keys = [*image, "seed"] if runs[0] is not None and runs[0] == runs[1] else image
    left, right = (
        _by_image(table, {"_score": column(table, metric)}, cluster, keys) for table in (table_a, table_b)
    )
    both = left.merge(right.drop(columns="_cluster"), on=keys, suffixes=("_a", "_b"))
    both["_difference"] = both["_score_a"] - both["_score_b"]
    defined = both.dropna(subset="_difference")
    dropped = len(left) + len(right) - len(both) - len(defined)
    images = defined.groupby([*image, "_cluster"], as_index=False)["_difference"].mean()
    clusters = np.unique(images["_cluster"].to_numpy(str), return_inverse=True)[1]
    return images["_difference"].to_numpy(np.float64), clusters, dropped


def _compare_pooled(
    tables: tuple["pd.DataFrame", "pd.DataFrame"],
    metric: str,
    cluster: str,
    *,
    n: int,
    level: float,
    rng: np.random.Generator,
) -> Comparison:
    statistic = pooled_statistic([str(name) for name in tables[0] if name in tables[1]], metric)
    keys = ["name", *(["condition"] if all("condition" in table for table in tables) else [])]
    names = [f"_{k}" for k in range(len(statistic.columns))]
    left, right = (
        _by_image(table, dict(zip(names, statistic.totals(table).T, strict=True)), cluster, keys)
        for table in tables
    )
    both = left.merge(right.drop(columns="_cluster"), on=keys, suffixes=("_a", "_b"))
    used = both.dropna()
    clusters = np.unique(used["_cluster"].to_numpy(str), return_inverse=True)[1]
    a, b = (
        cluster_totals(used[[f"{name}_{side}" for name in names]].to_numpy(np.float64), clusters)
        for side in "ab"
    )
    score, width = statistic.function, len(names)
    low, high = bootstrap(
        np.concatenate((a, b), axis=1),
        lambda totals: score(totals[..., :width]) - score(totals[..., width:]),
        n=n,
        level=level,
        method="expanded",
        rng=rng,
    )
    own, zeros = score(a) - score(b), np.zeros(len(a))
    size = effect_size(own, zeros)
    return Comparison(
        difference=float(score(a.sum(axis=0)) - score(b.sum(axis=0))),
        low=low,
        high=high,
        p_permutation=swap_permutation(a, b, score, rng=rng),
        p_wilcoxon=wilcoxon(own, zeros),
        d_z=size.d_z,
        rank_biserial=size.rank_biserial,
        n=len(a),
        n_images=len(used),
        n_dropped=len(left) + len(right) - len(both) - len(used),
        level=level,
    )


def _by_image(
    table: "pd.DataFrame", values: Mapping[str, NDArray[np.float64]], cluster: str, keys: list[str]
) -> "pd.DataFrame":
    """Keys, cluster and values of each row; averaged over seeds unless those are a key."""
    cluster_codes(table, "name")
    cluster_codes(table, cluster)
    run = [*keys, "seed"] if "seed" in table.columns and "seed" not in keys else keys
    twice = table.duplicated(run)
    if twice.any():
        raise DataError(
            f"{', '.join(run)} {table.loc[twice, run].iloc[0].tolist()} occurs more than once; expected one "
            "row for each: keep one condition, or tell several runs apart in a column 'seed'"
        )
    rows = table[keys].assign(_cluster=table[cluster].astype(str), **values)
    rows["name"] = rows["name"].astype(str)
    return rows.groupby([*keys, "_cluster"])[list(values)].mean().reset_index()
