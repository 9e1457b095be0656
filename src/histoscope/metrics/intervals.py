"""Confidence intervals of mean and pooled scores, with the patient as the unit."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ConfigError, DataError, UnknownNameError
from histoscope.metrics import resampling
from histoscope.metrics.jackknife import UNLIMITED, ClusterScore
from histoscope.metrics.keys import cluster_codes
from histoscope.metrics.pooling import pooled_statistic, ratio_of_means
from histoscope.metrics.ranges import Range, range_of
from histoscope.metrics.resampling import Method
from histoscope.seeds import RandomSource
from histoscope.words import count

if TYPE_CHECKING:
    import pandas as pd

_NOUNS = {"name": "image", "source": "source image"}


@dataclass(frozen=True, slots=True)
class Interval:
    """A score with its confidence interval.

    Parameters
    ----------
    estimate : float
        Mean over images, or the pooled score; NaN if no image has the score.
    low, high : float
        Ends of the interval; NaN if there is none, as for a single patient.
    level : float
        Confidence, 0.95 for 95 %.
    n_clusters, n_images : int
        Sample size: patients (or other clusters) and rows that have the score.
    n_undefined : int
        Rows excluded because they have no such score.
    unit : str
        Column of the clusters, such as "patient".
    """

    estimate: float
    low: float
    high: float
    level: float
    n_clusters: int
    n_images: int
    n_undefined: int
    unit: str = "patient"

    @property
    def basis(self) -> str:
        """Sample size in words, to show beside the interval: "14 patients"."""
        return counted(self.n_clusters, self.unit)

    def within(self, limits: Range | None) -> "Interval":
        """The interval clipped to the range of the score, see `range_of`; None does not clip."""
        lowest, highest = limits or UNLIMITED
        return replace(self, low=max(self.low, lowest), high=min(self.high, highest))  # NaN stays NaN

    def __str__(self) -> str:
        return f"{self.estimate:.3f} {bracketed(self.low, self.high)} ({self.basis})"


def counted(n: int, unit: str) -> str:
    """Number of values of a column, in words.

    Examples
    --------
    >>> counted(14, "patient"), counted(1, "name"), counted(3, "case_id")
    ('14 patients', '1 image', '3 values of case_id')
    """
    return count(n, _NOUNS.get(unit, unit)) if unit.isalpha() else f"{count(n, 'value')} of {unit}"


def units(unit: str) -> str:
    """Plural noun for the values of a column: "patients"; for ``name`` "images"."""
    return counted(2, unit).removeprefix("2 ")


def bracketed(low: float, high: float, form: str = ".3f") -> str:
    """An interval in brackets; "[no interval]" where there is none."""
    return f"[{low:{form}}, {high:{form}}]" if np.isfinite(low + high) else "[no interval]"


def interval(
    table: "pd.DataFrame",
    metric: str,
    *,
    cluster: str = "patient",
    n: int = 2000,
    level: float = 0.95,
    method: Method = "jackknife",
    pooled: bool = False,
    rng: RandomSource = 0,
) -> Interval:
    """Confidence interval of the mean over images, or of a pooled score, with the patient as the unit.

    Images of one patient are correlated, so taking each as independent would make the interval too short.
    Rows of several runs (a column ``seed``) of one patient belong to one cluster.

    Parameters
    ----------
    table : DataFrame
        One row per image, as `histoscope.train.evaluate` returns it.
    metric : str
        The column; rows where it is NaN or infinite are excluded and counted.
    cluster : str
        The column of the independent unit; see `independent_unit`.
    n : int
        Resamples of the bootstrap methods.
    level : float in (0, 1)
        Confidence.
    method : {"jackknife", "percentile", "bca"}
        ``jackknife`` leaves out one patient at a time and has its nominal coverage from two patients on, see
        `histoscope.metrics.jackknife`. ``percentile`` and ``bca`` are bootstraps of patients, as in many
        papers: at a nominal 95 %, their coverage for normal scores is about 50 % with 2 patients, 82 % with 5
        and 91 % with 14.
    pooled : bool
        Pool the counts of all images (see `pooled_statistic`) instead of averaging over images. Images that
        do not contribute to the score, such as those without the rare class, and patients with no others are
        not counted.
    rng : int or Generator
        Seed or generator of the bootstrap methods; by default seed 0, so that results are reproducible.

    Returns
    -------
    Interval
        Without ends for fewer than two patients, or a score that a single patient decides. Where all patients
        have the same score, the interval is the exact binomial one within the range of the score.

    Raises
    ------
    UnknownNameError
        If the table has no such metric or cluster column.
    DataError
        If the cluster of a row is not known, or counts are missing.
    ConfigError
        If `n` or `level` is out of range.

    References
    ----------
    .. [1] Efron, Journal of the American Statistical Association 82(397), 1987, doi:10.2307/2289144 (BCa)

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"patient": list("aabbccdd"), "pq": [0.5, 0.6, 0.4, 0.5, 0.7, 0.8, 0.6, 0.6]})
    >>> print(interval(table, "pq").within(range_of("pq")))
    0.588 [0.344, 1.000] (4 patients)
    >>> counts = pd.DataFrame({"patient": list("aabb"), "tp_misc": [1, 0, 3, 4], "fp_misc": 1, "fn_misc": 1,
    ...                        "sum_iou_misc": [0.8, 0.0, 2.4, 3.2]})
    >>> print(interval(counts, "pq_misc", pooled=True))  # 6.4 / 12
    0.533 [0.000, 1.000] (2 patients)
    """
    check_resampling(n, level)
    if pooled:
        statistic = pooled_statistic(table, metric)
        counts, function, whole = statistic.totals(table), statistic.function, statistic.whole
    else:
        counts, function, whole = with_ones(column(table, metric)), ratio_of_means, number
    clusters = cluster_codes(table, cluster)
    known = np.asarray(np.isfinite(counts).all(axis=1))
    has_part = (whole(np.where(known[:, None], counts, 0.0)) > 0).any(axis=-1)
    defined = known & has_part
    totals = cluster_totals(counts[defined], clusters[defined])
    score = ClusterScore.of_sums(totals, function, whole(totals))
    limits = range_of(metric) if pooled else limits_of(metric, counts[defined, 0])
    low, high = resampling.bounds(score, method=method, level=level, n=n, rng=rng, limits=limits)
    in_order = np.ascontiguousarray(counts[defined].T)  # the mean equals NumPy's to the last bit
    found = Interval(
        estimate=float(function(in_order.sum(axis=1))),
        low=low,
        high=high,
        level=level,
        n_clusters=score.n_clusters,
        n_images=int(defined.sum()),
        n_undefined=int((~defined).sum()),
        unit=cluster,
    )
    return found.within(limits) if pooled else found


def limits_of(metric: str, values: NDArray[np.float64]) -> Range | None:
    """Range of a known score, if all values are within it."""
    limits = range_of(metric)
    inside = limits and len(values) and limits[0] <= values.min() and values.max() <= limits[1]
    return limits if inside else None


def with_ones(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) counts of which `ratio_of_means` is the mean."""
    return np.stack((values, np.ones(len(values))), axis=1, dtype=np.float64)


def number(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Denominator of `ratio_of_means`: the number of rows, (..., 1)."""
    return counts[..., 1:2]


def cluster_totals(counts: NDArray[np.float64], clusters: NDArray[np.intp]) -> NDArray[np.float64]:
    """Sum of the rows of `counts` in each cluster that occurs, (clusters, K)."""
    _, index = np.unique(clusters, return_inverse=True)
    totals = np.zeros((int(index.max(initial=-1)) + 1, counts.shape[1]))
    np.add.at(totals, index, counts)
    return totals


def column(table: "pd.DataFrame", metric: str) -> NDArray[np.float64]:
    """A metric's column as floats; the error of an unknown name suggests the nearest."""
    if metric not in table.columns:
        raise UnknownNameError("metric", metric, table.select_dtypes("number").columns)
    try:
        return table[metric].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"column {metric!r} is not numeric ({error}); choose a column of scores") from error


def check_resampling(n: int, level: float) -> None:
    """Raise a `ConfigError` if the number of resamples or the confidence is out of range."""
    if n < 1:
        raise ConfigError(f"got {n} resamples, expected at least 1, and 1000 or more for a reliable result")
    if not 0.0 < level < 1.0:
        raise ConfigError(f"confidence level is {level}, expected a number between 0 and 1, such as 0.95")
