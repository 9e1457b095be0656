"""Turn four studies of real tiles, which differ in steps and in augmentation, into a page of these docs.

    python docs/make/synthetic_training.py runs/training_short_mild runs/training_short_strong \
        runs/training_long_mild runs/training_long_strong docs/results/synthetic_training.md \
        --notes docs/make/synthetic_training_notes.txt \
        --credit "Tiles: MoNuSeg, CC BY-NC-SA 4.0 (Kumar et al. 2017, doi:10.1109/TMI.2017.2677499)"

How to run them stands in `configs/study_synthetic_training.yaml`. What a person has to say about the numbers
stands in the notes, which come first.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from study_page import spent

from histoscope.metrics import Comparison, compare, holm, interval
from histoscope.report import summary
from histoscope.report.effects import UNITS, stacked, unit_of
from histoscope.report.figures import PALETTE, STYLE, WIDE_IN, svg
from histoscope.report.results import StudyResults, read_study
from histoscope.report.summary import Difference, Verdict, judge
from histoscope.studies.synthetic import TISSUE, of_size

TITLE = "# What a longer training brought: its steps or its augmentation?\n"
FIGURE = "Means over images and seeds with 95 % intervals. Hollow and dashed: the short training."
GAINS = (
    "What each change brought, paired by seed and {unit}, with 95 % intervals. **Bold**: the interval leaves "
    "out zero, the permutation test says so after Holm's correction over the {n} differences of the table, "
    "and every seed points the same way.\n"
)
CHANGES = ((0, 2), (1, 3), (0, 1), (2, 3))
"""Which training is compared with which: more steps under each augmentation, augmentation at each length."""


class Cell(NamedTuple):
    """Whose score: a network, a set of test images, a number of real tiles."""

    model: str
    condition: str
    level: str


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "studies", type=Path, nargs=4, help="folders: short mild, short strong, long mild, ..."
    )
    parser.add_argument("page", type=Path, help="Markdown file to write")
    parser.add_argument("--notes", type=Path, default=None, help="what a person says about the numbers")
    parser.add_argument("--credit", default="", help="whose images the study shows")
    args = parser.parse_args()
    trainings = sorted(map(read_study, args.studies), key=lambda one: (_steps(one), _strong(one)))
    parts = [TITLE, args.notes.read_text(encoding="utf-8") if args.notes else ""]
    pictures = args.page.parent / "img" / args.page.stem
    pictures.mkdir(parents=True, exist_ok=True)
    for condition in trainings[0].conditions:
        picture = pictures / f"labels_{condition}.svg"
        picture.write_text(_figure(trainings, condition), encoding="utf-8")
        link = f"![Score against the number of real tiles](img/{args.page.stem}/{picture.name})\n"
        parts += [f"## {summary.condition_label(condition)}\n", link, FIGURE + "\n"]
        parts += [*_gains(trainings, condition), "", *_means(trainings, condition), ""]
    parts += [
        "## How long it took\n",
        *(f"{_name(one)}: {spent(one.folder)}" for one in trainings),
        args.credit,
    ]
    args.page.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    print(args.page)


def _steps(study: StudyResults) -> int:
    return int(study.settings["config"]["train"]["steps"])


def _strong(study: StudyResults) -> bool:
    return bool(study.settings["config"]["augment"] == "strong")


def _name(study: StudyResults) -> str:
    return f"{_steps(study):,} steps, {'strong' if _strong(study) else 'mild'}"


def _gains(trainings: Sequence[StudyResults], condition: str) -> list[str]:
    """A row a number of tiles and a network, a column a change of training."""
    cells = [
        Cell(model, condition, level) for level, model in product(_levels(trainings), trainings[0].models)
    ]
    found = {
        (cell, change): _difference(trainings[change[0]], trainings[change[1]], cell)
        for cell, change in product(cells, CHANGES)
    }
    corrected = holm([one.p_holm for one in found.values()])
    judged = {
        key: dataclasses.replace(one, p_holm=float(p), comparisons=len(found))
        for (key, one), p in zip(found.items(), corrected, strict=True)
    }
    few, many = (f"{_steps(trainings[k]):,}" for k in (0, 2))
    steps = " | ".join(f"{many} steps for {few}, {how}" for how in ("mild", "strong"))
    augment = " | ".join(f"strong for mild, {n} steps" for n in (few, many))
    return [
        GAINS.format(unit=UNITS[unit_of(trainings[0], condition)], n=len(found)),
        f"| Real tiles | Network | {steps} | {augment} |",
        "|---|---|---|---|---|---|",
        *(
            f"| {_tiles(cell.level)} | {summary.model_label(cell.model)} | "
            + " | ".join(_text(judged[cell, change]) for change in CHANGES)
            + " |"
            for cell in cells
        ),
    ]


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


def _text(found: Difference) -> str:
    mark = "**" if judge(found) in {Verdict.HELPS, Verdict.HARMS} else ""
    return f"{mark}{summary.signed(found.value)}{mark} ({summary.span(found.low, found.high)})"


def _means(trainings: Sequence[StudyResults], condition: str) -> list[str]:
    """A row a number of tiles and a training, a column a network."""
    models, metric = trainings[0].models, summary.metric_label(trainings[0].metric)
    heads = " | ".join(f"{metric}, {summary.model_label(name)}" for name in models)
    lines = [f"| Real tiles | Training | {heads} |", f"|---|---|{'---|' * len(models)}"]
    for level, study in product(_levels(trainings), trainings):
        found = (_mean(study, Cell(model, condition, level)) for model in models)
        cells = " | ".join(
            f"{summary.number(y)} ({summary.number(a)} to {summary.number(b)})" for y, a, b in found
        )
        lines.append(f"| {_tiles(level)} | {_name(study)} | {cells} |")
    return lines


def _mean(study: StudyResults, cell: Cell) -> tuple[float, float, float]:
    table = stacked(study, *cell, study.metric)
    unit = unit_of(study, cell.condition)
    found = interval(table, study.metric, cluster=unit)
    return found.estimate, found.low, found.high


def _figure(trainings: Sequence[StudyResults], condition: str) -> str:
    """Score against real tiles, a panel a network, a line a training."""
    levels, models = _levels(trainings), trainings[0].models
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDE_IN, 3.6), layout="constrained")
        panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for axes, model in zip(panels, models, strict=True):
            axes.set_title(summary.model_label(model), loc="left", fontsize=10, fontweight="bold")
            for k, study in enumerate(trainings):
                y, low, high = np.array([_mean(study, Cell(model, condition, level)) for level in levels]).T
                colour, short = PALETTE[_strong(study)], k < 2
                x = np.arange(len(levels)) + 0.06 * (k - 1.5)
                axes.vlines(x, low, high, color=colour, linewidth=1.1)
                axes.plot(
                    x,
                    y,
                    marker="o",
                    markersize=5,
                    markerfacecolor="white" if short else colour,
                    color=colour,
                    linestyle=(0, (4, 2)) if short else "-",
                    linewidth=1.4,
                    label=_name(study),
                )
            axes.set_xticks(range(len(levels)), map(_tiles, levels))
            axes.set_xlabel("real tiles", fontsize=9)
        panels[0].set_ylabel(summary.metric_label(trainings[0].metric), fontsize=9)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False, fontsize=9)
        return svg(figure)


def _levels(trainings: Sequence[StudyResults]) -> list[str]:
    shared = set.intersection(*(set(study.levels) for study in trainings))
    return [level for level in TISSUE if level in shared]


def _tiles(level: str) -> str:
    return of_size(TISSUE[level]["tiles"])


if __name__ == "__main__":
    main()
