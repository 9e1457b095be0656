"""Networks that learned nothing: comparisons with them say nothing."""

import math
from collections.abc import Sequence

import numpy as np

from histoscope.report import summary
from histoscope.report.effects import higher_is_better, image_metric
from histoscope.report.results import RunResult, StudyResults
from histoscope.studies.factors import BASELINES
from histoscope.words import listed

FINDS_NOTHING, POOR = 0.02, 0.15
"""Mean scores below which nothing was learned: in any case, and if the loss did not fall either."""
FALLEN = 0.97
"""Share of its first value that a loss which fell is below at the end."""


def unlearned(study: StudyResults) -> dict[tuple[str, str], float]:
    """Model and level of all trainings that taught nothing -> their mean score."""
    found = {}
    for model in study.models:
        for level in study.levels_of(model):
            runs = [run for run in study.finished(model, level) if run.level not in BASELINES]
            scores = [_score(study, run) for run in runs]
            if runs and all(_taught_nothing(run, score) for run, score in zip(runs, scores, strict=True)):
                found[model, level] = float(np.mean(scores))
    return found


def warning(study: StudyResults) -> str:
    """Say under which levels nothing was learned; empty if under none."""
    found = unlearned(study)
    if not found:
        return ""
    metric = summary.metric_label(image_metric(study))
    where = [
        f"{summary.level_label(level, study.factor)} ({summary.model_label(model)}, {metric} {score:.3f})"
        for (model, level), score in found.items()
    ]
    everything = {(run.model, run.level) for run in study.finished()} <= set(found)
    rest = "nothing can be compared" if everything else "comparisons with these say nothing"
    return (
        f"Nothing was learned under {listed(where)}, so {rest}. Train longer (train.steps), and look at the "
        "labels, the learning rate and the learning curves."
    )


def fell(losses: Sequence[float]) -> bool | None:
    """Whether a loss fell from the first tenth of its log to the last; None if there is too little to say.

    Examples
    --------
    >>> fell([1.0, 0.9, 0.6, 0.5]), fell([0.7, 0.71, 0.7, 0.7]), fell([0.7])
    (True, False, None)
    """
    if len(losses) < 4:
        return None
    part = max(1, len(losses) // 10)
    return float(np.mean(losses[-part:])) < FALLEN * float(np.mean(losses[:part]))


def _taught_nothing(run: RunResult, score: float) -> bool:
    if run.table is not None and "predicted" in run.table:
        return run.table["predicted"].nunique() == 1 and run.table["true"].nunique() > 1
    if not math.isfinite(score):
        return False
    losses = [line["loss"] for line in run.log if isinstance(line.get("loss"), int | float)]
    return score < FINDS_NOTHING or (score < POOR and fell(losses) is False)


def _score(study: StudyResults, run: RunResult) -> float:
    metric = image_metric(study)
    if run.table is None or metric not in run.table or not higher_is_better(metric):
        return math.nan
    shown = run.table[run.table["condition"] == study.primary_condition]
    return float(shown[metric].mean())
