"""Compare four studies of real tiles, which differ in steps and in augmentation.

    python docs/make/synthetic_training.py runs/training_short_mild runs/training_short_strong \
        runs/training_long_mild runs/training_long_strong
    python docs/make/findings.py synthetic_training

How to run them stands in `configs/study_synthetic_training.yaml`. Writes two tables beside
docs/results/synthetic_training.md: the means, and what each change brought, paired by seed and patient.
"""

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from study_page import spent

from histoscope.metrics import Comparison, compare, holm, interval
from histoscope.report.effects import stacked, unit_of
from histoscope.report.results import StudyResults, read_study
from histoscope.report.summary import Difference, Verdict, judge
from histoscope.studies.synthetic import TISSUE
from histoscope.tables import write_table

PAGE = Path(__file__).resolve().parents[1] / "results" / "synthetic_training"
CHANGES = {
    "1,200 steps for 300, mild": (0, 2),
    "1,200 steps for 300, strong": (1, 3),
    "strong for mild, 300 steps": (0, 1),
    "strong for mild, 1,200 steps": (2, 3),
}
"""Which training is compared with which, in the order short mild, short strong, long mild, long strong."""


class Cell(NamedTuple):
    """Whose score: a network, a set of test images, a number of real tiles."""

    model: str
    condition: str
    level: str


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", type=Path, nargs=4, help="folders of the four studies")
    args = parser.parse_args()
    trainings = sorted(map(read_study, args.studies), key=lambda one: (_steps(one), _strong(one)))
    conditions = trainings[0].conditions
    gains = [row for condition in conditions for row in _gains(trainings, condition)]
    write_table(PAGE.with_name(f"{PAGE.name}_gains.csv"), pd.DataFrame(gains))
    means = [_mean(study, cell) for study, cell in product(trainings, _cells(trainings, conditions))]
    write_table(PAGE.with_name(f"{PAGE.name}_results.csv"), pd.DataFrame(means))
    for study in trainings:
        print(f"{study.folder.name}: {spent(study.folder)}")


def _steps(study: StudyResults) -> int:
    return int(study.settings["config"]["train"]["steps"])


def _strong(study: StudyResults) -> bool:
    return bool(study.settings["config"]["augment"] == "strong")


def _cells(trainings: Sequence[StudyResults], conditions: Sequence[str]) -> list[Cell]:
    shared = set.intersection(*(set(study.levels) for study in trainings))
    levels = [level for level in TISSUE if level in shared]
    return [Cell(*each) for each in product(trainings[0].models, conditions, levels)]


def _gains(trainings: Sequence[StudyResults], condition: str) -> Iterator[dict[str, Any]]:
    """What each change brought; Holm's correction runs over all of a set of test images."""
    keys = list(product(_cells(trainings, [condition]), CHANGES))
    found = [_difference(*(trainings[place] for place in CHANGES[change]), cell) for cell, change in keys]
    for (cell, change), one, p in zip(keys, found, holm([one.p_holm for one in found]), strict=True):
        judged = dataclasses.replace(one, p_holm=float(p), comparisons=len(found))
        shown = judge(judged) in {Verdict.HELPS, Verdict.HARMS}
        values = {"difference": one.value, "diff_low": one.low, "diff_high": one.high}
        metric = {"metric": trainings[0].metric, "change": change}
        yield cell._asdict() | metric | values | {"shown": "yes" if shown else "no"}


def _difference(before: StudyResults, after: StudyResults, cell: Cell) -> Difference:
    """After minus before; `p_holm` is not corrected yet."""
    metric, unit = before.metric, unit_of(before, cell.condition)
    new, old = (stacked(study, *cell, metric) for study in (after, before))
    found: Comparison = compare(new, old, metric, cluster=unit, rng=np.random.default_rng(0))
    pairs = new.merge(old, on=["name", "seed"], suffixes=("", "_before"))
    by_seed = (pairs[metric] - pairs[f"{metric}_before"]).groupby(pairs["seed"]).mean()
    return Difference(
        found.difference,
        found.low,
        found.high,
        found.p_permutation,
        found.n,
        seeds=len(by_seed),
        agreeing=int((np.sign(by_seed) == np.sign(found.difference)).sum()),
        unit=unit,
    )


def _mean(study: StudyResults, cell: Cell) -> dict[str, Any]:
    table = stacked(study, *cell, study.metric)
    found = interval(table, study.metric, cluster=unit_of(study, cell.condition))
    training = {"steps": _steps(study), "augment": "strong" if _strong(study) else "mild"}
    values = {"metric": study.metric, "mean": found.estimate, "low": found.low, "high": found.high}
    return training | cell._asdict() | values


if __name__ == "__main__":
    main()
