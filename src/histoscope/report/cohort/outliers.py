"""Slides that are far from the others: in stain, focus or density."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as Pillow

from histoscope.report.cohort.results import CohortResults
from histoscope.types import Image

FARTHEST = 3.5
"""Beyond so many robust standard deviations a slide is an outlier [1]_.

References
----------
.. [1] Iglewicz and Hoaglin, How to detect and handle outliers, ASQC 1993
"""
FEWEST = 10
"""Among fewer slides none is called an outlier."""
MOST_SHOWN, MOST_NAMED = 12, 500
_VIEW_PX = 360
_ON_LINES = {"haematoxylin_od", "eosin_od"}


@dataclass(frozen=True, slots=True)
class Outlier:
    """A slide that is far from the others.

    Parameters
    ----------
    image : str
        Name of the slide.
    column : str
        In which it is far.
    value : float
    distance : float
        Robust standard deviations from the median; below 0 it is low.
    """

    image: str
    column: str
    value: float
    distance: float


def outliers(cohort: CohortResults) -> list[Outlier]:
    """Slides beyond `FARTHEST` in any column, the farthest first; each slide once, where it is farthest."""
    done = cohort.done
    columns = [name for name in cohort.labels if name != "tissue_mm2"]
    if len(done) < FEWEST or not columns:
        return []
    apart = np.stack([distances(done[name], is_linear=name in _ON_LINES) for name in columns], axis=1)
    size = np.abs(np.nan_to_num(apart))
    at = size.argmax(axis=1)
    rows = np.arange(len(done))
    order = [k for k in np.argsort(-size[rows, at], kind="stable") if size[k, at[k]] > FARTHEST]
    return [
        Outlier(
            str(done["image"].iloc[k]),
            columns[at[k]],
            float(done[columns[at[k]]].iloc[k]),
            float(apart[k, at[k]]),
        )
        for k in order
    ]


def distances(values: "pd.Series[Any]", *, is_linear: bool = False) -> NDArray[np.float64]:
    """Distance of each value from the median, in robust standard deviations; NaN stays NaN.

    Parameters
    ----------
    values : (N,) float
    is_linear : bool
        Without, distances are of logarithms, since densities and focus lie on a skewed scale; zeros count as
        half of the smallest value above zero.

    Examples
    --------
    >>> distances(pd.Series([10.0, 10.5, 9.5, 10.0, 200.0])).round(1).tolist()
    [0.0, 0.7, -0.7, 0.0, 41.4]
    """
    numbers = values.to_numpy(np.float64)
    if not is_linear:
        above = numbers[numbers > 0]
        if not len(above):
            return np.full(len(numbers), np.nan)
        numbers = np.log(np.maximum(numbers, above.min() / 2))
    if np.isnan(numbers).all():
        return numbers
    centred = numbers - np.nanmedian(numbers)
    spread = 1.4826 * float(np.nanmedian(np.abs(centred)))  # that of a normal distribution
    apart: NDArray[np.float64] = centred / spread if spread > 0 else np.zeros(len(centred)) * centred
    return apart


def thumbnail(folder: Path, image: str) -> Image | None:
    """The slide with the outline of its tissue, small; None if its picture is not there or not readable.

    Parameters
    ----------
    folder : Path
        Of the cohort.
    image : str
        Name of the slide.
    """
    try:
        with Pillow.open(folder / image / "overview.png") as picture:
            left = picture.convert("RGB").crop((0, 0, picture.width // 2, picture.height))  # nuclei are right
            left.thumbnail((_VIEW_PX, _VIEW_PX))
            return np.asarray(left, np.uint8)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):
        return None
