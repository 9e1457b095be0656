"""Figures of the study of transfer, as SVG text: leak, number of groups, time."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from histoscope.report import summary
from histoscope.report.effects import Effect
from histoscope.report.figures import (
    INK,
    NARROW_IN,
    QUIET,
    RULE,
    STYLE,
    WIDE_IN,
    level_colour,
    name_ends,
    svg,
)
from histoscope.report.results import StudyResults
from histoscope.report.transfer_scores import LeakageGap, Spent
from histoscope.studies.factors import BASELINES
from histoscope.studies.transfer.names import GROUPED, RANDOM, groups_of
from histoscope.train.log import read as read_log

LEAK = "#c24e00"


def leak(study: StudyResults, rows: Sequence[LeakageGap], *, narrow: bool = False) -> str:
    """Accuracy by group (filled) and under a random split (hollow), a line between them for the leak."""
    lines: list[tuple[str, LeakageGap | None]] = []
    for size in study.models:
        mine = [row for row in rows if row.size == size]
        if mine:
            lines.append((summary.model_label(size), None))
            lines += [(summary.level_label(row.level, study.factor), row) for row in mine]
    step = 0.44 if narrow else 0.29
    height = step * len(lines) + 0.95
    with rc_context(STYLE):
        figure = Figure(figsize=(NARROW_IN if narrow else WIDE_IN, height))
        left, right = (0.04, 0.96) if narrow else (0.24, 0.72)
        axes = figure.add_axes((left, 0.62 / height, right - left, 1 - 0.70 / height))
        for y, (label, row) in enumerate(lines):
            _leak_line(axes, float(y), label, row, narrow=narrow)
        low = min((min(row.grouped, row.random) for row in rows), default=0.5)
        axes.set(xlim=(low - 0.02, 1.01), ylim=(len(lines) - 0.3, -0.7), yticks=[])
        axes.set_xlabel("accuracy: filled by photograph, hollow random split", fontsize=9)
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=3, labelsize=9)
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        return svg(figure)


def _leak_line(axes: Axes, y: float, label: str, row: LeakageGap | None, *, narrow: bool) -> None:
    place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "clip_on": False}
    at = 0.0 if narrow else -0.46
    if row is None:
        axes.text(at, y, label, fontsize=10, fontweight="bold", **place)
        return
    text = f"{summary.signed(row.difference)}"
    if not narrow and math.isfinite(row.low):
        text += f"  ({summary.span(row.low, row.high)}, n = {row.n_groups})"
    clear = row.low > 0
    above = y - 0.32 if narrow else y
    axes.text(at, above, label, fontsize=9.5 if narrow else 10, **place)
    end: dict[str, Any] = {"ha": "right"} if narrow else {"ha": "left"}
    axes.text(
        1.0 if narrow else 1.03, above, text, fontsize=9.5, color=LEAK if clear else QUIET, **place, **end
    )
    line = y + 0.12 if narrow else y
    axes.plot(
        [row.grouped, row.random], [line, line], color=LEAK if clear else QUIET, linewidth=2.2, zorder=2
    )
    axes.plot(row.grouped, line, "o", color=INK, markersize=6.5, zorder=3)
    axes.plot(row.random, line, "o", color=INK, markerfacecolor="white", markersize=6.5, zorder=3)


def by_groups(study: StudyResults, rows: Sequence[Effect], *, narrow: bool = False) -> str:
    """Accuracy against the number of groups, a panel for each split; bars are 95 % intervals by group."""
    kinds = [kind for kind in (GROUPED, RANDOM) if any(row.condition == kind for row in rows)]
    columns = 1 if narrow else len(kinds)
    with rc_context(STYLE):
        side = NARROW_IN if narrow else WIDE_IN
        figure = Figure(figsize=(side, 3.4 * (len(kinds) if narrow else 1)), layout="constrained")
        grid = figure.subplots(-(-len(kinds) // columns), columns, squeeze=False, sharey=True).ravel()
        for axes, kind in zip(grid, kinds, strict=True):
            _by_groups_panel(axes, study, [row for row in rows if row.condition == kind], kind)
        return svg(figure)


def _by_groups_panel(axes: Axes, study: StudyResults, rows: Sequence[Effect], kind: str) -> None:
    axes.set_title(summary.condition_label(kind), loc="left", fontsize=10, fontweight="bold", color=INK)
    ends = []
    drawn = [level for level in study.levels if level != "majority"]
    for place, level in enumerate(drawn):
        mine = {row.model: row for row in rows if row.level == level and math.isfinite(row.mean)}
        points = [(k, mine[size]) for k, size in enumerate(study.models) if size in mine]
        if not points:
            continue
        shade = level_colour(study, level)
        shift = 0.04 * (place - (len(drawn) - 1) / 2)  # so that intervals do not hide each other
        x = [k + shift for k, _ in points]
        y = [row.mean for _, row in points]
        bars = [[row.mean - row.low for _, row in points], [row.high - row.mean for _, row in points]]
        style = "--" if level in BASELINES else "-"
        axes.errorbar(x, y, bars, color=shade, linestyle=style, marker="o", markersize=4, elinewidth=1.2)
        ends.append((y[-1], summary.level_label(level, study.factor), shade))
    axes.set_xticks(range(len(study.models)), [str(groups_of(size) or "all") for size in study.models])
    axes.set_xlim(-0.4, len(study.models) - 0.6)
    axes.set_xlabel("training photographs per class", fontsize=9)
    axes.tick_params(length=3, labelsize=9)
    name_ends(axes, ends, gap=0.075)


def by_time(study: StudyResults, rows: Sequence[Spent], *, narrow: bool = False) -> str:
    """Accuracy on validation patches of photographs apart against seconds of training, a panel per size."""
    columns = 1 if narrow else len(study.models)
    with rc_context(STYLE):
        side = NARROW_IN if narrow else WIDE_IN
        figure = Figure(figsize=(side, 3.2 * (len(study.models) if narrow else 1)), layout="constrained")
        grid = figure.subplots(-(-len(study.models) // columns), columns, squeeze=False, sharey=True).ravel()
        handles: dict[str, Artist] = {}
        for axes, size in zip(grid, study.models, strict=True):
            axes.set_title(summary.model_label(size), loc="left", fontsize=10, fontweight="bold", color=INK)
            for level in study.levels:
                if level not in BASELINES:
                    _time_lines(axes, study, size, level, handles)
            axes.set_xlabel("seconds of training", fontsize=9)
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.tick_params(length=3, labelsize=9)
            axes.grid(axis="y", color=RULE, linewidth=0.6)
        grid[0].set_ylabel("accuracy, validation", fontsize=9)
        names = list(handles)
        figure.legend(
            list(handles.values()),
            names,
            loc="outside lower center",
            ncols=2 if narrow else len(names),
            frameon=False,
            fontsize=9,
        )
        return svg(figure)


def _time_lines(axes: Axes, study: StudyResults, size: str, level: str, handles: dict[str, Artist]) -> None:
    """Draw a line for each seed; a probe is one point."""
    for run in study.finished(size, level):
        lines = read_log(run.folder / GROUPED) if run.folder is not None else []
        validations = [
            (line["seconds"], line["val"]["accuracy"]) for line in lines if "accuracy" in line.get("val", {})
        ]
        if not validations:
            continue
        x, y = zip(*validations, strict=True)
        marker = "D" if len(validations) == 1 else "o"
        (line,) = axes.plot(
            x, y, color=level_colour(study, level), marker=marker, markersize=4, linewidth=1.3, alpha=0.85
        )
        handles.setdefault(summary.level_label(level, study.factor), line)
