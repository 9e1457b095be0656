"""Parts of the report that only the study `transfer_nuclei` has."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from histoscope.report.effects import NAN, Effect, effects
from histoscope.report.results import RunResult, StudyResults
from histoscope.studies.beginnings import LEVELS, PRETRAININGS
from histoscope.tables import write_table

IN_EQUAL_MINUTES = ("scratch", "imagenet", "drawn_within", "imagenet_drawn_within", "unet_drawn_within")
"""Beginnings that take as many minutes as our own U-Net from scratch."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Means over seeds of what a level cost: steps and seconds of training, pretraining apart."""

    model: str
    level: str
    steps: float
    before: float
    seconds: float

    @property
    def total(self) -> float:
        """Seconds of pretraining and of training."""
        return self.before + self.seconds


def view(study: StudyResults) -> dict[str, Any]:
    """Numbers for the templates; also writes the tables as CSV files."""
    own, cost = against_own(study), spent(study)
    write_table(study.folder / "versus_own_unet.csv", pd.DataFrame([asdict(row) for row in own]))
    write_table(
        study.folder / "spent.csv", pd.DataFrame([asdict(row) | {"total": row.total} for row in cost])
    )
    return {"own": own, "spent": cost}


def against_own(study: StudyResults) -> list[Effect]:
    """Comparisons with our own U-Net from scratch, in the same minutes and from as many tiles.

    Holm's correction is over the comparisons of a condition, as in every other table.
    """
    pairs = {
        level: f"unet_{level.rpartition('_')[2]}" for level in study.levels if _way(level) in IN_EQUAL_MINUTES
    }
    pairs = {level: own for level, own in pairs.items() if own in study.levels}
    levels = [level for level in study.levels if level in {*pairs, *pairs.values()}]
    other = replace(study, settings={**study.settings, "against": pairs, "levels": levels})
    return (
        [row for row in effects(other) if row.metric == study.metric and not row.is_baseline] if pairs else []
    )


def spent(study: StudyResults) -> list[Spent]:
    """What each level cost."""
    rows = []
    for model in study.models:
        for level in study.levels_of(model):
            runs = study.finished(model, level)
            first = LEVELS.get(level, {}).get("initial_level", "")
            before = [_seconds(run) for run in study.finished(model, first)] if first else [0.0]
            steps = [float(run.config.get("train", {}).get("steps", NAN)) for run in runs]
            rows += (
                [Spent(model, level, _mean(steps), _mean(before), _mean(map(_seconds, runs)))] if runs else []
            )
    return rows


def _way(level: str) -> str:
    return "" if level in PRETRAININGS else level.rpartition("_")[0]


def _seconds(run: RunResult) -> float:
    return float(run.environment.get("seconds", {}).get("train", NAN))


def _mean(values: Any) -> float:
    found: Sequence[float] = list(values)
    return float(np.mean(found)) if found else NAN
