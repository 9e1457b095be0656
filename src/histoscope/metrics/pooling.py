"""Pooled scores as functions of sums of counts, which can be resampled."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

Values: TypeAlias = NDArray[np.float64]
Function: TypeAlias = Callable[[Values], Values]

_PREFIX = "sum_iou_"


@dataclass(frozen=True, slots=True)
class PooledStatistic:
    """A score that follows from sums of counts.

    Parameters
    ----------
    columns : tuple of str
        The K columns of counts.
    function : callable
        From sums (..., K) to scores (...); NaN where a score is undefined.
    whole : callable
        From counts (..., K) to their contributions to the denominators, (..., parts): one for each class of a
        mean over classes. Rows that contribute nothing have no part in the score.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"tp": [1, 1], "fp": [0, 2], "fn": [0, 0], "sum_iou": [0.9, 0.6]})
    >>> pooled_statistic(table, "pq").of(table)
    0.5
    """

    columns: tuple[str, ...]
    function: Function
    whole: Function

    def totals(self, table: "pd.DataFrame") -> Values:
        """(N, K) counts of each row.

        Raises
        ------
        DataError
            If a column is missing or not numeric.
        """
        missing = [name for name in self.columns if name not in table.columns]
        if missing:
            raise DataError(
                f"the table lacks the counts {', '.join(missing)}; see per_image and class_scores"
            )
        try:
            return table[list(self.columns)].to_numpy(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"counts of the table are not numbers ({error})") from error

    def of(self, table: "pd.DataFrame") -> float:
        """Pooled score of all rows; those with a NaN are excluded."""
        totals = self.totals(table)
        return float(self.function(totals[~np.isnan(totals).any(axis=1)].sum(axis=0)))


def pooled_statistic(columns: "Iterable[str] | pd.DataFrame", metric: str) -> PooledStatistic:
    """Pooled score by name, for the counts in a table.

    Parameters
    ----------
    columns : iterable of str, or DataFrame
        Columns of the table.
    metric : str
        Of all nuclei: ``pq``, ``dq``, ``sq``, ``f1_50``, ``ap_50``; of pixels: ``dice``, ``iou``,
        ``precision``, ``recall``, ``pixel_accuracy``, ``mcc``; of a class ``misc``: ``pq_misc``, ``dq_misc``,
        ``sq_misc``, ``f1_misc``, ``detection_f1_misc``; of all classes: ``mpq_plus``, the mean of their PQ
        without those that have no nuclei.

    Raises
    ------
    UnknownNameError
        If the table lacks the counts of that score; the message suggests the nearest.
    """
    known = [str(name) for name in columns]
    names = classes_in(known)
    if metric == "mpq_plus" and names:
        return _mean_over(names)
    found = dict(FORMULAS)
    for formula, sheet in CLASS_FORMULAS.items():
        found |= {f"{formula}_{name}": _of_class(sheet, name) for name in names}
    there = {name: sheet for name, sheet in found.items() if set(sheet.columns) <= set(known)}
    if metric not in there:
        raise UnknownNameError("pooled metric", metric, [*there, *(["mpq_plus"] if names else [])])
    return there[metric]


def classes_in(columns: "Iterable[str] | pd.DataFrame") -> list[str]:
    """Names of the classes with counts in a table, in its order.

    Examples
    --------
    >>> classes_in(["name", "sum_iou", "tp_misc", "sum_iou_misc"])
    ['misc']
    """
    return [name.removeprefix(_PREFIX) for name in map(str, columns) if name.startswith(_PREFIX)]


def pooled_by_class(table: "pd.DataFrame", names: Sequence[str] | None = None) -> dict[str, float]:
    """Pooled scores of each class over all images, and the mean PQ.

    Parameters
    ----------
    table : DataFrame
        One row per image, with the columns of `class_scores`.
    names : sequence of str, optional
        The classes; by default all in the table.

    Returns
    -------
    dict of str to float
        ``pq_NAME``, ``dq_NAME``, ``sq_NAME``, ``f1_NAME``, if its counts are there ``detection_f1_NAME``, and
        ``mpq_plus``, the mean PQ of the classes that occur.

    Raises
    ------
    DataError
        If counts of a class are missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from histoscope.metrics import class_scores
    >>> maps = [[1, 1, 0, 2]], [[3, 3, 0, 4]]
    >>> rows = [class_scores(*maps, [0, 1, 2], [0, 0, 0, 1, k], ["round", "long"]) for k in (1, 2)]
    >>> scores = pooled_by_class(pd.DataFrame(rows))
    >>> [round(scores[name], 3) for name in ("pq_round", "pq_long", "mpq_plus")]
    [0.8, 0.667, 0.733]
    """
    names = classes_in(table) if names is None else names
    scores: dict[str, float] = {}
    for name in names:
        for formula, sheet in CLASS_FORMULAS.items():
            of_class = _of_class(sheet, name)
            if formula != "detection_f1" or set(of_class.columns) <= set(table.columns):
                scores[f"{formula}_{name}"] = of_class.of(table)
    return {**scores, "mpq_plus": _mean_over(names).of(table)}


def ratio_of_means(totals: Values) -> Values:
    """First of two sums over the second: the mean."""
    return divide(totals[..., 0], totals[..., 1])


def divide(part: Values, whole: Values) -> Values:
    """`part` / `whole`, NaN where `whole` is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    divided: Values = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return divided


def mean_of_defined(values: Values) -> Values:
    """Mean over the last axis without NaN; NaN if nothing is left."""
    defined = ~np.isnan(values)
    return divide(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))


def _of_class(sheet: PooledStatistic, name: str) -> PooledStatistic:
    return replace(sheet, columns=tuple(f"{each}_{name}" for each in sheet.columns))


def _mean_over(names: Iterable[str]) -> PooledStatistic:
    columns = tuple(f"{each}_{name}" for name in names for each in _MATCHES)
    return PooledStatistic(
        columns,
        lambda totals: mean_of_defined(_PQ.function(_by_class(totals))),
        lambda totals: _PQ.whole(_by_class(totals))[..., 0],
    )


def _ratio(
    columns: tuple[str, ...], part: Callable[..., Values], whole: Callable[..., Values]
) -> PooledStatistic:
    """Ratio of two sums of counts."""

    def function(totals: Values) -> Values:
        counts = np.moveaxis(totals, -1, 0)
        return divide(part(*counts), whole(*counts))

    return PooledStatistic(columns, function, lambda totals: whole(*np.moveaxis(totals, -1, 0))[..., None])


_MATCHES = ("tp", "fp", "fn", "sum_iou")
_PIXELS = ("pixels_tp", "pixels_fp", "pixels_fn", "pixels_tn")
_CENTROIDS = ("found", "confused", "unpaired")
_PQ = _ratio(_MATCHES, lambda tp, fp, fn, sum_iou: sum_iou, lambda tp, fp, fn, _: tp + fp / 2 + fn / 2)
_F1 = _ratio(_MATCHES, lambda tp, *_: 2 * tp, lambda tp, fp, fn, _: 2 * tp + fp + fn)
_SQ = _ratio(_MATCHES, lambda tp, fp, fn, sum_iou: sum_iou, lambda tp, *_: tp)
_JACCARD = _ratio(_MATCHES, lambda tp, *_: tp, lambda tp, fp, fn, _: tp + fp + fn)
_FOUND = _ratio(
    _CENTROIDS,
    lambda found, *_: 2 * found,
    lambda found, confused, unpaired: 2 * found + 2 * confused + unpaired,
)


def _by_class(totals: Values) -> Values:
    return totals.reshape(*totals.shape[:-1], -1, len(_MATCHES))


def _mcc(totals: Values) -> Values:
    tp, fp, fn, tn = np.moveaxis(totals, -1, 0)
    return divide(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


FORMULAS: Mapping[str, PooledStatistic] = MappingProxyType(
    {
        "pixel_accuracy": _ratio(
            _PIXELS, lambda tp, fp, fn, tn: tp + tn, lambda tp, fp, fn, tn: tp + fp + fn + tn
        ),
        "precision": _ratio(_PIXELS, lambda tp, *_: tp, lambda tp, fp, fn, tn: tp + fp),
        "recall": _ratio(_PIXELS, lambda tp, *_: tp, lambda tp, fp, fn, tn: tp + fn),
        "dice": replace(_F1, columns=_PIXELS),
        "iou": replace(_JACCARD, columns=_PIXELS),
        "mcc": PooledStatistic(_PIXELS, _mcc, lambda totals: totals.sum(axis=-1, keepdims=True)),
        "pq": _PQ,
        "dq": _F1,
        "sq": _SQ,
        "f1_50": _F1,
        "ap_50": _JACCARD,
    }
)
"""Scores of whole images that follow from sums of counts."""

CLASS_FORMULAS: Mapping[str, PooledStatistic] = MappingProxyType(
    {"pq": _PQ, "dq": _F1, "sq": _SQ, "f1": _F1, "detection_f1": _FOUND}
)
"""The same for each class; columns end in the name of the class."""
