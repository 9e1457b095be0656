"""Scores of a table of classified patches, with confidence intervals by group.

A table has a row for each patch (and seed): ``name``, ``true`` and ``predicted`` as integers from 0, a column
``p_CLASS`` for each class, and the columns ``group``, ``source`` and ``patient``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import DataError, UnknownNameError
from histoscope.metrics import resampling
from histoscope.metrics.calibration import bin_counts, ece_of
from histoscope.metrics.classification import (
    accuracy_of,
    balanced_accuracy_of,
    checked,
    kappa_of,
    log_losses,
    macro_f1_of,
    squared_distances,
)
from histoscope.metrics.intervals import Interval, check_resampling
from histoscope.metrics.jackknife import ClusterScore
from histoscope.metrics.keys import as_text, cluster_codes
from histoscope.metrics.pooling import Function, Values, mean_of_defined, ratio_of_means
from histoscope.metrics.ranges import RANGES, Range, range_of
from histoscope.metrics.ranking import Area, by_class, precision_recall_area, roc_area
from histoscope.metrics.resampling import Method
from histoscope.seeds import RandomSource

if TYPE_CHECKING:
    import pandas as pd

Rows: TypeAlias = Callable[[NDArray[np.intp], Values], Values]
"""From truth (N,) and probabilities (N, C) to counts (N, K), which add up over patches."""
Statistic: TypeAlias = Callable[[NDArray[np.intp], Values, NDArray[np.intp], int], Function]

_PREFIX = "p_"


@dataclass(frozen=True, slots=True)
class PatchMetric:
    """A score of classified patches.

    Parameters
    ----------
    label : str
        Name for reports.
    statistic : callable
        From truth (N,), probabilities (N, C), cluster of each patch (N,) and number of clusters to the score
        as a function of cluster weights, (..., clusters) to (...).
    range : (float, float)
        Lowest and highest value.
    higher_is_better : bool
        Direction.
    by_class : bool
        Whether it is a mean over classes.
    """

    label: str
    statistic: Statistic
    range: Range = (0.0, 1.0)
    higher_is_better: bool = True
    by_class: bool = False


def _confusions(true: NDArray[np.intp], probability: Values) -> Values:
    n, n_classes = probability.shape
    counts = np.zeros((n, n_classes**2))
    counts[np.arange(n), true * n_classes + probability.argmax(axis=1)] = 1.0
    return counts


def _of_confusion(formula: Function) -> Statistic:
    """Score that follows from a table of counts (..., C, C)."""

    def of_sums(totals: Values) -> Values:
        side = round(totals.shape[-1] ** 0.5)
        return formula(totals.reshape(*totals.shape[:-1], side, side))

    return _summed(_confusions, of_sums)


def _averaged(loss: Rows) -> Statistic:
    def rows(true: NDArray[np.intp], probability: Values) -> Values:
        return np.stack((loss(true, probability), np.ones(len(true))), axis=1)

    return _summed(rows, ratio_of_means)


def _summed(rows: Rows, of_sums: Function) -> Statistic:
    """Score that follows from sums of counts."""

    def statistic(
        true: NDArray[np.intp], probability: Values, clusters: NDArray[np.intp], n_clusters: int
    ) -> Function:
        counts = rows(true, probability)
        totals = np.zeros((n_clusters, counts.shape[1]))
        np.add.at(totals, clusters, counts)
        return lambda draws: of_sums(draws @ totals)

    return statistic


def _ranked(area: Area) -> Statistic:
    """Mean over classes of an area under a curve."""

    def statistic(
        true: NDArray[np.intp], probability: Values, clusters: NDArray[np.intp], _n_clusters: int
    ) -> Function:
        return lambda draws: mean_of_defined(by_class(area, true, probability, draws[..., clusters]))

    return statistic


PATCH_METRICS: Mapping[str, PatchMetric] = MappingProxyType(
    {
        "accuracy": PatchMetric("Accuracy", _of_confusion(accuracy_of)),
        "balanced_accuracy": PatchMetric(
            "Balanced accuracy", _of_confusion(balanced_accuracy_of), by_class=True
        ),
        "macro_f1": PatchMetric("Macro F1", _of_confusion(macro_f1_of), by_class=True),
        "kappa": PatchMetric("Cohen's kappa", _of_confusion(kappa_of), range=RANGES["kappa"]),
        "auroc": PatchMetric("AUROC", _ranked(roc_area), by_class=True),
        "auprc": PatchMetric("AUPRC", _ranked(precision_recall_area), by_class=True),
        "ece": PatchMetric("Calibration error", _summed(bin_counts, ece_of), higher_is_better=False),
        "brier": PatchMetric(
            "Brier score", _averaged(squared_distances), RANGES["brier"], higher_is_better=False
        ),
        "nll": PatchMetric("Log loss", _averaged(log_losses), RANGES["nll"], higher_is_better=False),
    }
)
"""Every score of `patch_scores` by name."""


def probabilities(table: "pd.DataFrame") -> tuple[list[str], NDArray[np.intp], Values]:
    """Class names, truth (N,) and probabilities (N, C) of a table.

    Raises
    ------
    DataError, ShapeError
        If columns are missing, or their values are not classes and probabilities.
    """
    names = [str(column).removeprefix(_PREFIX) for column in table if str(column).startswith(_PREFIX)]
    if not names or "true" not in table:
        raise DataError(
            f"the table has the columns {', '.join(map(str, table))}; expected true, and p_CLASS for each "
            "class"
        )
    try:
        numbers = table[[_PREFIX + name for name in names]].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"probabilities of the table are not numbers ({error})") from error
    return names, *checked(table["true"].to_numpy(), numbers)


def per_patch(table: "pd.DataFrame") -> "pd.DataFrame":
    """The table with the columns ``correct`` (0 or 1), ``brier`` and ``nll``, for `interval` and `compare`.

    Their means are accuracy, Brier score and log loss.

    Examples
    --------
    >>> import pandas as pd
    >>> from histoscope.metrics import compare
    >>> a = pd.DataFrame({"name": list("stuv"), "group": list("1122"), "true": [0, 0, 1, 1],
    ...                   "p_benign": [0.9, 0.8, 0.3, 0.1], "p_tumour": [0.1, 0.2, 0.7, 0.9]})
    >>> b = a.assign(p_benign=[0.9, 0.8, 0.7, 0.6], p_tumour=[0.1, 0.2, 0.3, 0.4])
    >>> rng = np.random.default_rng(0)
    >>> print(compare(per_patch(a), per_patch(b), "correct", cluster="group", rng=rng))
    +0.500 [-1.000, +1.000], p = 1 (2 groups)
    """
    _, true, p = probabilities(table)
    return table.assign(
        correct=(p.argmax(axis=1) == true).astype(np.float64),
        brier=squared_distances(true, p),
        nll=log_losses(true, p),
    )


def patch_scores(table: "pd.DataFrame") -> dict[str, float]:
    """Every score of `PATCH_METRICS`, the mean over seeds where there are several.

    Returns
    -------
    dict of str to float
        The scores; ``n`` patches (rows); ``n_undefined`` classes with no patch or all, which AUROC and AUPRC
        exclude.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"true": [0, 1, 1], "p_a": [0.9, 0.6, 0.2], "p_b": [0.1, 0.4, 0.8]})
    >>> scores = patch_scores(table)
    >>> scores["balanced_accuracy"], scores["auroc"], scores["n_undefined"]
    (0.75, 1.0, 0)
    """
    names, true, _ = probabilities(table)
    there = np.bincount(true, minlength=len(names))
    alone = (there == 0) | (there == len(true))
    scores = {name: _score(table, name, None).of_all() for name in PATCH_METRICS}
    return {**scores, "n": len(true), "n_undefined": int(alone.sum())}


def patch_interval(
    table: "pd.DataFrame",
    metric: str,
    *,
    cluster: str = "group",
    n: int = 2000,
    level: float = 0.95,
    method: Method = "jackknife",
    rng: RandomSource = 0,
) -> Interval:
    """Confidence interval of any score of classified patches, with the group as the unit.

    Patches of one slide or patient are correlated: whole groups are left out (or resampled). Rows of several
    seeds are scored seed by seed and averaged.

    Parameters
    ----------
    table : DataFrame
        One row per patch (and seed).
    metric : str
        A key of `PATCH_METRICS`.
    cluster : str
        The column of the independent unit.
    n, level, method, rng
        As in `histoscope.metrics.interval`, and so are the errors.

    Returns
    -------
    Interval
        Without ends for fewer than two groups, and for a mean over classes of which one is in a single group.

    Examples
    --------
    >>> import pandas as pd
    >>> p = np.array([0.9, 0.8, 0.4, 0.1, 0.3, 0.6, 0.7, 0.2])
    >>> table = pd.DataFrame({"group": list("aabbccdd"), "true": [0, 0, 1, 1, 1, 1, 0, 0],
    ...                       "p_benign": p, "p_tumour": 1 - p})
    >>> print(patch_interval(table, "accuracy"))
    0.750 [0.188, 1.000] (4 groups)
    """
    check_resampling(n, level)
    score, limits = _score(table, metric, cluster), range_of(metric)
    low, high = resampling.bounds(score, method=method, level=level, n=n, rng=rng, limits=limits)
    found = Interval(
        estimate=score.of_all(),
        low=low,
        high=high,
        level=level,
        n_clusters=score.n_clusters,
        n_images=len(table),
        n_undefined=0,
        unit=cluster,
    )
    return found.within(limits)


def _score(table: "pd.DataFrame", metric: str, cluster: str | None) -> ClusterScore:
    """Score as a function of cluster weights; without clusters, the table is a single one."""
    if metric not in PATCH_METRICS:
        raise UnknownNameError("metric of patches", metric, PATCH_METRICS)
    names, true, p = probabilities(table)
    clusters = np.zeros(len(true), np.intp) if cluster is None else cluster_codes(table, cluster)
    n_clusters = int(clusters.max(initial=0)) + 1
    seeds = as_text(table["seed"]).to_numpy(str) if "seed" in table else np.zeros(len(true))
    sheet = PATCH_METRICS[metric]
    parts = [seeds == seed for seed in np.unique(seeds)] or [np.ones(0, np.bool_)]
    single = [sheet.statistic(true[at], p[at], clusters[at], n_clusters) for at in parts]
    shares = np.zeros((n_clusters, len(names)))
    np.add.at(shares, (clusters, true), 1.0)
    if not sheet.by_class:
        shares = shares.sum(axis=1, keepdims=True)
    return ClusterScore(
        lambda draws: np.mean([score(draws) for score in single], axis=0), shares, width=len(true)
    )
