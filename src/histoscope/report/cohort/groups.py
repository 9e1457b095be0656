"""Patients of two groups or more, compared by each density; and whether their slides differ otherwise."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import inf

import pandas as pd

from histoscope.metrics import GroupComparison, compare_groups, holm
from histoscope.report.cohort.clinical import Joined
from histoscope.report.cohort.results import QUALITY, CohortResults
from histoscope.report.summary import ALPHA

DIFFERS, NOT_SHOWN, TOO_FEW = "differs", "no difference shown", "too few patients to say"


@dataclass(frozen=True, slots=True)
class Compared:
    """A number compared between two groups.

    Parameters
    ----------
    column, label : str
    first, second : str
        The groups.
    found : GroupComparison
        First minus second.
    p_holm : float
        p after Holm's correction over all comparisons of the page.
    verdict : str
    """

    column: str
    label: str
    first: str
    second: str
    found: GroupComparison
    p_holm: float
    verdict: str


def compare_densities(cohort: CohortResults, joined: Joined, group: str) -> list[Compared]:
    """Each density between each two groups; the patient is the unit, and Holm corrects over all of them."""
    patients = joined.groups(group)
    values = {one.name: joined.of_patients(one) for one in cohort.measures}
    pairs = [
        (one.name, one.label, *pair) for one in cohort.measures for pair in _pairs(patients, values[one.name])
    ]
    adjusted = holm([found.p for *_, found in pairs])
    n = sum(found.p == found.p for *_, found in pairs)
    return [
        Compared(column, label, first, second, found, float(p), _verdict(found, float(p), n))
        for (column, label, first, second, found), p in zip(pairs, adjusted, strict=True)
    ]


def compare_quality(cohort: CohortResults, joined: Joined, group: str) -> list[Compared]:
    """How slides were stained and scanned between each two groups: a warning, so without correction."""
    patients = joined.groups(group)
    found = []
    for name, label in (QUALITY | {"mpp_x": "Pixel size (µm)"}).items():
        values = joined.slides[name].groupby(joined.slides[f"lab.{joined.by}"]).mean()
        for first, second, one in _pairs(patients, values):
            found.append(Compared(name, label, first, second, one, one.p, _verdict(one, one.p, 1)))
    return found


def _pairs(patients: pd.DataFrame, values: "pd.Series[float]") -> Iterator[tuple[str, str, GroupComparison]]:
    members = {str(name): rows["patient"].map(values) for name, rows in patients.groupby("group")}
    for first, second in combinations(sorted(members), 2):
        both = (members[name].dropna() for name in (first, second))
        yield first, second, compare_groups(*both, limits=(0.0, inf))  # nothing here can be negative


def _verdict(found: GroupComparison, p: float, comparisons: int) -> str:
    """What a comparison shows; it may be too small to show anything."""
    if min(found.n_a, found.n_b) < 2 or found.smallest_p * comparisons >= ALPHA:
        return TOO_FEW
    is_clear = p < ALPHA and (found.low > 0 or found.high < 0)
    return DIFFERS if is_clear else NOT_SHOWN
