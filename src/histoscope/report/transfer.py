"""Parts of the report that only the study of transfer has."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image as Pillow

from histoscope import metrics
from histoscope.explain.gallery import mistakes
from histoscope.files import read_image, write_image
from histoscope.report import summary
from histoscope.report import transfer_figures as figures
from histoscope.report import transfer_scores as compare
from histoscope.report.effects import Effect
from histoscope.report.gallery import beside
from histoscope.report.patch_figures import reliability_diagram
from histoscope.report.results import StudyResults
from histoscope.studies.factors import BASELINES
from histoscope.studies.transfer.names import GROUPED, MISTAKES
from histoscope.tables import write_table
from histoscope.types import Image
from histoscope.words import listed

SHOWN = 6
"""Surest mistakes of a level that are shown."""
CELL_PX = 160
N_BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Mistake:
    """A patch that a level was sure and wrong about."""

    name: str
    seed: int
    true: str
    predicted: str
    probability: float
    image: Image


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Surest mistakes of one level, most groups, split by group."""

    level: str
    n_wrong: int
    n_patches: int
    shown: tuple[Mistake, ...]


def view(study: StudyResults) -> dict[str, Any]:
    """Numbers and pictures for the templates; also writes the tables as CSV files."""
    gaps, spent = compare.leakage_gaps(study), compare.spent(study)
    compared, scored = compare.with_baseline(study, "colour"), compare.scores(study)
    write_table(study.folder / "leakage_gaps.csv", pd.DataFrame([asdict(row) for row in gaps]))
    write_table(study.folder / "versus_colour.csv", pd.DataFrame([asdict(row) for row in compared]))
    write_table(study.folder / "spent.csv", pd.DataFrame([asdict(row) for row in spent]))
    write_table(study.folder / "scores.csv", pd.DataFrame(_long(scored)))
    return {
        "leakage_gaps": gaps,
        "versus_colour": compared,
        "scores": [(size, level, found) for size, level, found in scored],
        "score_names": compare.SCORES,
        "score_label": lambda name: metrics.PATCH_METRICS[name].label,
        "spent": spent,
        "enough": compare.ENOUGH,
        "shelves": shelves(study),
        "words": sentences(study, gaps, compared),
    }


def drawn(study: StudyResults, rows: Sequence[Effect], found: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Figures of the report, wide and narrow."""
    mine = [row for row in rows if row.metric == study.metric]
    made: dict[str, dict[str, str]] = {}
    for narrow in (False, True):
        form = "narrow" if narrow else "wide"
        pictures = {"groups": figures.by_groups(study, mine, narrow=narrow)}
        if found["leakage_gaps"]:
            pictures["leak"] = figures.leak(study, found["leakage_gaps"], narrow=narrow)
        if any(np.isfinite(row.train) for row in found["spent"]):
            pictures["time"] = figures.by_time(study, found["spent"], narrow=narrow)
        for level in study.levels:
            table = compare.patches(study, study.models[-1], level)
            if level not in BASELINES and len(table):
                _, true, p = metrics.probabilities(table)
                diagram = metrics.reliability(true, p, n_bins=N_BINS)
                pictures[f"reliability_{level}"] = reliability_diagram(diagram, narrow=narrow)
        for name, picture in pictures.items():
            made.setdefault(name, {})[form] = picture
    return made


def shelves(study: StudyResults) -> list[Gallery]:
    """Surest mistakes of each level that learned from most groups; photographs it never saw."""
    found = []
    for level in study.levels:
        table = compare.patches(study, study.models[-1], level)
        if level in BASELINES or table.empty:
            continue
        wrong = int((table["accuracy"] == 0).sum())
        shown = []
        for row in mistakes(table, SHOWN).to_dict("records"):
            image = _picture(study, level, str(row["name"]), int(row["seed"]))
            if image is not None:
                true, predicted = str(row["true_class"]), str(row["predicted_class"])
                p = float(row["probability"])
                shown.append(Mistake(row["name"], row["seed"], true, predicted, p, image))
        found.append(Gallery(level, wrong, len(table), tuple(shown)))
    return found


def _picture(study: StudyResults, level: str, name: str, seed: int) -> Image | None:
    """The picture that a run kept of a mistake, if it kept that one."""
    for run in study.finished(study.models[-1], level):
        if run.seed == seed and run.folder is not None:
            path = run.folder / GROUPED / MISTAKES / f"{name}.jpg"
            return read_image(path) if path.is_file() else None
    return None


def write_strips(found: Sequence[Gallery], folder: Path) -> list[tuple[Gallery, str]]:
    """Mistakes of each level in a row, as a file for Markdown."""
    strips = []
    for shelf in found:
        if shelf.shown:
            name = f"mistakes_{shelf.level}.jpg"
            write_image(folder / name, beside([square(one.image) for one in shelf.shown], 6, axis=1))
            strips.append((shelf, f"{folder.name}/{name}"))
    return strips


def square(image: Image) -> Image:
    """A picture in the size of the others."""
    small = Pillow.fromarray(image).resize((CELL_PX, CELL_PX), Pillow.Resampling.LANCZOS)
    return np.asarray(small)


def sentences(
    study: StudyResults, gaps: Sequence[compare.LeakageGap], compared: Sequence[compare.BaselineComparison]
) -> list[str]:
    """The three findings that the study is for, in words."""
    size = study.models[-1]
    texts = []
    most = [row for row in gaps if row.size == size and row.level not in BASELINES]
    if most:
        worst = max(most, key=lambda row: row.difference)
        label = summary.small(summary.model_label(size))
        texts.append(
            f"With {label}, a random split adds {summary.signed(min(row.difference for row in most))} to "
            f"{summary.signed(worst.difference)} to accuracy, most with "
            f"“{summary.level_label(worst.level, study.factor)}” ({summary.number(worst.random)} instead of "
            f"{summary.number(worst.grouped)}; 95 % interval of the difference "
            f"{summary.span(worst.low, worst.high)})."
        )
    few = study.models[0]
    by_level = {row.level: row for row in gaps if row.size == few}
    best = max(
        (row for row in by_level.values() if row.level not in BASELINES),
        key=lambda row: row.grouped,
        default=None,
    )
    scratch = by_level.get("scratch")
    if best is not None and scratch is not None and best is not scratch:
        texts.append(
            f"With {summary.small(summary.model_label(few))}, split by photograph, "
            f"“{summary.level_label(best.level, study.factor)}” reaches {summary.number(best.grouped)}, "
            f"and training from scratch {summary.number(scratch.grouped)}, in the same number of steps."
        )
    clear = [row for row in compared if row.size == size and row.low > 0]
    if compared:
        names = [f"“{summary.level_label(row.level, study.factor)}”" for row in clear]
        who = listed(names) if names else "no level"
        texts.append(
            f"With {summary.small(summary.model_label(size))}, the following beat colours alone with an "
            f"interval that excludes zero: {who}."
        )
    return texts


def _long(rows: Sequence[tuple[str, str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {
            "size": size,
            "level": level,
            "metric": name,
            "score": one.estimate,
            "low": one.low,
            "high": one.high,
        }
        for size, level, found in rows
        for name, one in found.items()
    ]
