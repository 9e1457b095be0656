"""How sure a mean or pooled score is: intervals by resampling patients, not images."""

from dataclasses import dataclass
from math import nan, sqrt
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ConfigError, DataError, UnknownNameError
from histoscope.metrics.pooling import Function, pooled_statistic, ratio_of_means

if TYPE_CHECKING:
    import pandas as pd

Method: TypeAlias = Literal["expanded", "percentile", "bca"]
_BLOCK = 2_000_000  # drawn clusters held in memory at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """A score and where its true value lies with the given confidence.

    Parameters
    ----------
    estimate : float
        Mean over images, or the pooled score; NaN if no image has the score.
    low, high : float
        Ends of the interval; NaN if fewer than two clusters have the score.
    level : float
        Confidence, 0.95 for 95 %.
    n_clusters, n_images : int
        What the estimate rests on.
    n_undefined : int
        Rows left out because the score was NaN there.
    """

    estimate: float
    low: float
    high: float
    level: float
    n_clusters: int
    n_images: int
    n_undefined: int

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interval(
    table: "pd.DataFrame",
    metric: str,
    *,
    cluster: str = "patient",
    n: int = 2000,
    level: float = 0.95,
    method: Method = "expanded",
    pooled: bool = False,
    rng: np.random.Generator,
) -> Interval:
    """Confidence interval of the mean over images, or of a pooled score, by drawing whole clusters.

    Images of one patient resemble each other, so drawing images would promise too much. Rows of several runs
    (a column ``seed``) of the same patient are drawn together, as one.

    Parameters
    ----------
    table : DataFrame
        One row an image, as `histoscope.train.evaluate` returns it.
    metric : str
        The column; rows where it is NaN are left out and counted.
    cluster : str
        The column of the independent unit; see `independent_unit`.
    n : int
        Resamples.
    level : float in (0, 1)
        Confidence.
    method : {"expanded", "percentile", "bca"}
        ``percentile`` takes the quantiles of the resampled means and is too narrow for few clusters;
        ``expanded`` widens it by the factor that makes it right for normal data, from Student's t; ``bca``
        corrects for bias and skewness.
    pooled : bool
        Take the score of all images as if they were one, from their counts (see `pooled_statistic`), in place
        of the mean over images: the counts of each draw are added, then divided. Draws in which the score is
        undefined, such as those without the rare class, are left out.
    rng : Generator
        Source of the resamples.

    Returns
    -------
    Interval

    Raises
    ------
    UnknownNameError
        If the table has no such metric or cluster column.
    DataError
        If the cluster of a row is not known, or counts are missing.
    ConfigError
        If `n`, `level` or `method` makes no sense.

    References
    ----------
    .. [1] Efron, Journal of the American Statistical Association 82(397), 1987, doi:10.2307/2289144
    .. [2] Hesterberg, The American Statistician 69(4), 2015, doi:10.1080/00031305.2015.1089789

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"patient": list("aabbccdd"), "pq": [0.5, 0.6, 0.4, 0.5, 0.7, 0.8, 0.6, 0.6]})
    >>> print(interval(table, "pq", rng=np.random.default_rng(0)))
    0.588 [0.450, 0.750]
    >>> counts = pd.DataFrame({"patient": list("aabb"), "tp_misc": [1, 0, 3, 4], "fp_misc": 1, "fn_misc": 1,
    ...                        "sum_iou_misc": [0.8, 0.0, 2.4, 3.2]})
    >>> round(interval(counts, "pq_misc", pooled=True, rng=np.random.default_rng(0)).estimate, 3)  # 6.4 / 12
    0.533
    """
    check_resampling(n, level)
    if method not in get_args(Method):
        raise UnknownNameError("interval method", method, get_args(Method))
    if pooled:
        statistic = pooled_statistic(table, metric)
        counts, function = statistic.totals(table), statistic.function
    else:
        values, function = column(table, metric), ratio_of_means
        counts = np.stack((values, np.ones(len(values))), axis=1, dtype=np.float64)
    clusters = cluster_codes(table, cluster)
    defined = ~np.isnan(counts).any(axis=1)
    totals = cluster_totals(counts[defined], clusters[defined])
    low, high = bootstrap(totals, function, n=n, level=level, method=method, rng=rng)
    in_order = np.ascontiguousarray(counts[defined].T)  # so that the mean is NumPy's to the last bit
    return Interval(
        estimate=float(function(in_order.sum(axis=1))),
        low=low,
        high=high,
        level=level,
        n_clusters=len(np.unique(clusters[defined])),
        n_images=int(defined.sum()),
        n_undefined=int((~defined).sum()),
    )


def independent_unit(table: "pd.DataFrame") -> str:
    """Coarsest column that is known for every row: "patient", else "source", else "name".

    Examples
    --------
    >>> import pandas as pd
    >>> independent_unit(pd.DataFrame({"name": ["a", "b"], "patient": ["", ""], "source": ["s", "s"]}))
    'source'
    """
    for name in ("patient", "source", "name"):
        if name in table.columns and not _unknown(table[name]).any():
            return name
    raise DataError("no column patient, source or name is filled in for every row; fill one in")


def cluster_bootstrap(
    values: NDArray[np.float64],
    clusters: NDArray[np.intp],
    *,
    n: int,
    level: float,
    method: Method,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Bound the mean of `values` by drawing whole `clusters`; NaN for fewer than two."""
    totals = np.stack(cluster_sums(values, clusters), axis=1, dtype=np.float64)
    return bootstrap(totals, ratio_of_means, n=n, level=level, method=method, rng=rng)


def bootstrap(
    totals: NDArray[np.float64],
    function: Function,
    *,
    n: int,
    level: float,
    method: Method,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Bound a score that follows from sums of counts, by drawing rows of `totals`; NaN for fewer than two."""
    n_clusters = len(totals)
    if n_clusters < 2:
        return nan, nan
    scores = np.empty(n)
    block = max(1, _BLOCK // totals.size)
    for start in range(0, n, block):
        drawn = rng.integers(0, n_clusters, (min(block, n - start), n_clusters))
        scores[start : start + len(drawn)] = function(totals[drawn].sum(axis=1))
    scores = scores[~np.isnan(scores)]
    if len(scores) == 0:
        return nan, nan
    low, high = np.quantile(scores, _tails(scores, totals, function, level, method))
    return float(low), float(high)


def resampled(
    of_draws: Function, n_clusters: int, *, n: int, block: int, level: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Bound a score that follows from how often each cluster was drawn; NaN for fewer than two clusters.

    Parameters
    ----------
    of_draws : callable
        From numbers of draws (..., n_clusters) to scores (...).
    n_clusters, n : int
        Clusters, and resamples of them.
    block : int
        Resamples to ask for at a time.
    level : float
        Confidence.
    rng : Generator
        Source of the draws.
    """
    if n_clusters < 2:
        return nan, nan
    scores = np.empty(n)
    for start in range(0, n, block):
        size = min(block, n - start)
        drawn = rng.integers(0, n_clusters, (size, n_clusters)) + n_clusters * np.arange(size)[:, None]
        draws = np.bincount(drawn.ravel(), minlength=size * n_clusters).reshape(size, n_clusters)
        scores[start : start + size] = of_draws(draws.astype(np.float64))
    scores = scores[~np.isnan(scores)]
    if len(scores) == 0:
        return nan, nan
    low, high = np.quantile(scores, _widened(n_clusters, level))
    return float(low), float(high)


def cluster_sums(
    values: NDArray[np.float64], clusters: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum of `values` and number of them in each cluster that occurs."""
    _, index = np.unique(clusters, return_inverse=True)
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.int64)


def cluster_totals(counts: NDArray[np.float64], clusters: NDArray[np.intp]) -> NDArray[np.float64]:
    """Sum of the rows of `counts` in each cluster that occurs, (clusters, K)."""
    _, index = np.unique(clusters, return_inverse=True)
    totals = np.zeros((int(index.max(initial=-1)) + 1, counts.shape[1]))
    np.add.at(totals, index, counts)
    return totals


def column(table: "pd.DataFrame", metric: str) -> NDArray[np.float64]:
    """Read a metric's column as floats; unknown names are told the nearest known one."""
    if metric not in table.columns:
        raise UnknownNameError("metric", metric, table.select_dtypes("number").columns)
    try:
        return table[metric].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"column {metric!r} is not numeric ({error}); choose a column of scores") from error


def cluster_codes(table: "pd.DataFrame", cluster: str) -> NDArray[np.intp]:
    """Turn cluster names into numbers; an empty one is an error, as any guess would narrow the interval."""
    if cluster not in table.columns:
        raise UnknownNameError("column", cluster, table.columns.astype(str))
    unknown = int(_unknown(table[cluster]).sum())
    if unknown:
        raise DataError(
            f"{cluster} is empty in {unknown} of {len(table)} rows; fill it in, or give cluster='source' "
            "or cluster='name' to take each source image or each image as independent"
        )
    codes: NDArray[np.intp] = np.unique(table[cluster].astype(str).to_numpy(), return_inverse=True)[1]
    return codes


def check_resampling(n: int, level: float) -> None:
    """Refuse a number of resamples or a confidence that makes no sense."""
    if n < 1:
        raise ConfigError(
            f"{n} resamples asked for, expected at least 1, and 1000 or more for a result to trust"
        )
    if not 0.0 < level < 1.0:
        raise ConfigError(f"confidence level is {level}, expected a number between 0 and 1, such as 0.95")


def _unknown(names: "pd.Series[str]") -> "pd.Series[bool]":
    return names.isna() | (names.astype(str).str.strip() == "")


def _tails(
    scores: NDArray[np.float64],
    totals: NDArray[np.float64],
    function: Function,
    level: float,
    method: Method,
) -> NDArray[np.float64]:
    """Which two quantiles of the resampled scores bound the interval."""
    from scipy.special import ndtr, ndtri

    tail = (1.0 - level) / 2.0
    z = np.array([ndtri(tail), ndtri(1.0 - tail)])
    if method == "percentile":
        return np.array([tail, 1.0 - tail])
    if method == "expanded":
        return _widened(len(totals), level)
    estimate = function(totals.sum(axis=0))
    below = (np.count_nonzero(scores < estimate) + np.count_nonzero(scores <= estimate)) / (2 * len(scores))
    left_out = function(totals.sum(axis=0) - totals)
    left_out = left_out[~np.isnan(left_out)]
    spread = left_out.mean() - left_out
    cubes, squares = float((spread**3).sum()), float((spread**2).sum())
    if squares == 0.0 or not 0.0 < below < 1.0:  # all scores alike
        return np.array([tail, 1.0 - tail])
    acceleration, bias = cubes / (6.0 * squares**1.5), ndtri(below)
    corrected: NDArray[np.float64] = ndtr(bias + (bias + z) / (1.0 - acceleration * (bias + z)))
    return corrected


def _widened(n_clusters: int, level: float) -> NDArray[np.float64]:
    """Make up for a bootstrap that divides by n, not n - 1, and takes the normal law for Student's."""
    from scipy.special import ndtr, stdtrit

    half = sqrt(n_clusters / (n_clusters - 1)) * stdtrit(n_clusters - 1, 1.0 - (1.0 - level) / 2.0)
    quantiles: NDArray[np.float64] = ndtr(np.array([-half, half]))
    return quantiles
