"""Which part of a longer training did it, the steps or the augmentation? A section of a synthetic page.

Four studies of the same real tiles and networks, 300 or 1,200 steps by mild or strong augmentation, are laid
side by side. `synthetic_page.py` calls this with the folders that its ``--training`` names.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from histoscope.metrics import compare, interval
from histoscope.studies import summary
from histoscope.studies.effects import stacked, unit_of
from histoscope.studies.results import StudyResults, read_study
from histoscope.studies.synthetic import TISSUE, of_size

ABOUT = """## What did it: the steps or the augmentation?

Real tiles alone, by the same networks. *Mild* is the augmentation `default` and no jitter of stains; *strong*
is `strong`, two to four times as far in zoom, warps, colours, blur and noise, with jitter of stains.
Differences are paired by seed and {unit}, with 95 % intervals, not corrected for their number.
"""


def section(study: StudyResults, folders: Sequence[Path]) -> list[str]:
    """What each part of the change brought, and the means of all four trainings, on both test sets."""
    trainings = sorted([study, *map(read_study, folders)], key=lambda one: (_steps(one), _strong(one)))
    lines = [ABOUT.format(unit=unit_of(study))]
    for condition in study.conditions:
        lines += [f"{summary.condition_label(condition)}:\n", *_gains(trainings, condition), ""]
        lines += [*_means(trainings, condition), ""]
    return lines


def _steps(study: StudyResults) -> int:
    return int(study.settings["config"]["train"]["steps"])


def _strong(study: StudyResults) -> bool:
    return bool(study.settings["config"]["augment"] == "strong")


def _gains(trainings: Sequence[StudyResults], condition: str) -> Iterator[str]:
    """What steps brought under each augmentation, and augmentation at each number of steps."""
    short_mild, short_strong, long_mild, long_strong = trainings
    few, many = f"{_steps(short_mild):,}", f"{_steps(long_mild):,}"
    for model, level in product(short_mild.models, _levels(trainings)):
        at = (model, condition, level)
        yield (
            f"- **{summary.model_label(model)}, {_tiles(level)} labelled tiles**: {many} steps for {few}: "
            f"{_gain(short_mild, long_mild, *at)} mild, {_gain(short_strong, long_strong, *at)} strong; "
            f"strong for mild: {_gain(short_mild, short_strong, *at)} in {few} steps, "
            f"{_gain(long_mild, long_strong, *at)} in {many}."
        )


def _gain(before: StudyResults, after: StudyResults, model: str, condition: str, level: str) -> str:
    metric, unit = before.metric, unit_of(before, condition)
    tables = (stacked(study, model, condition, level, metric) for study in (after, before))
    found = compare(*tables, metric, cluster=unit, rng=np.random.default_rng(0))
    return f"{summary.signed(found.difference)} ({summary.span(found.low, found.high)})"


def _means(trainings: Sequence[StudyResults], condition: str) -> list[str]:
    """A row a number of tiles and a training, a column a network."""
    first = trainings[0]
    metric = summary.metric_label(first.metric)
    heads = " | ".join(f"{metric}, {summary.model_label(name)}" for name in first.models)
    lines = [f"| Real tiles | Steps | Augmentation | {heads} |", f"|---|--:|---|{'---|' * len(first.models)}"]
    for level, study in product(_levels(trainings), trainings):
        cells = " | ".join(_mean(study, model, condition, level) for model in first.models)
        augment = "strong" if _strong(study) else "mild"
        lines.append(f"| {_tiles(level)} | {_steps(study):,} | {augment} | {cells} |")
    return lines


def _mean(study: StudyResults, model: str, condition: str, level: str) -> str:
    table = stacked(study, model, condition, level, study.metric)
    unit = unit_of(study, condition)
    found = interval(table, study.metric, cluster=unit, rng=np.random.default_rng(0))
    return f"{summary.number(found.estimate)} ({summary.number(found.low)} to {summary.number(found.high)})"


def _levels(trainings: Sequence[StudyResults]) -> list[str]:
    shared = set.intersection(*(set(study.levels) for study in trainings))
    return [level for level in TISSUE if level in shared and level.startswith("real_")]


def _tiles(level: str) -> str:
    return of_size(TISSUE[level]["tiles"])
