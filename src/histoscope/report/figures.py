"""Figures of a report, as SVG text: the forest of differences and the learning curves.

Every figure comes in a wide form for pages and a narrow one for telephones.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from histoscope.report import summary
from histoscope.report.effects import Effect, higher_is_better
from histoscope.report.results import RunResult, StudyResults
from histoscope.report.summary import Verdict
from histoscope.studies.factors import BASELINES

INK, QUIET, RULE = "#1f2328", "#5b636e", "#d5d9de"
# Okabe and Ito's palette tells apart for every kind of colour vision; the baseline is ink.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9")
VERDICT_COLOURS = {Verdict.HELPS: "#0072b2", Verdict.HARMS: "#c24e00"}
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)), (0, (1, 1)), (0, (9, 3)))
FONT = (
    "-apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, 'Noto Sans', "
    "'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
)
WIDE_IN, NARROW_IN = 9.4, 4.1
# Edges of a wide figure, in widths of its axes.
SIDES = (0.2, 0.54)
LEFT, RIGHT = -SIDES[0] / (SIDES[1] - SIDES[0]), (1 - SIDES[0]) / (SIDES[1] - SIDES[0])
CLEAR = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}  # lets a heading interrupt the zero line
STYLE: Any = {
    "svg.fonttype": "none",  # letters stay letters: selectable, and set in the page's font
    "svg.hashsalt": "histoscope",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity against the step, for each seed of a level.

    Parameters
    ----------
    level : str
    seeds : tuple of (steps, values)
    """

    level: str
    seeds: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]

    def mean(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean over seeds at the steps of the first, as far as all seeds have come."""
        end = min(steps[-1] for steps, _ in self.seeds)
        start = max(steps[0] for steps, _ in self.seeds)
        first = self.seeds[0][0]
        grid = first[(first >= start) & (first <= end)]
        return grid, np.mean([np.interp(grid, steps, values) for steps, values in self.seeds], axis=0)


def forest(study: StudyResults, rows: Sequence[Effect], *, narrow: bool = False) -> str:
    """Differences from the baseline with their intervals, grouped by model and condition.

    Parameters
    ----------
    study : StudyResults
    rows : sequence of Effect
        Of one metric, in the order to draw; the baseline's own rows are left out.
    narrow : bool
        For a telephone: labels above the lines.

    Returns
    -------
    str
        SVG.
    """
    lines = _forest_lines(study, rows, narrow=narrow)
    step = 0.44 if narrow else 0.30
    height = step * sum(size for *_, size in lines) + 0.95
    with rc_context(STYLE):
        figure = Figure(figsize=(NARROW_IN if narrow else WIDE_IN, height))
        sides = (0.07, 0.93) if narrow else SIDES  # room for half a label of the last tick
        axes = figure.add_axes((sides[0], 0.62 / height, sides[1] - sides[0], 1 - 0.72 / height))
        y = 0.0
        for kind, content, size in lines:
            y += size
            if kind == "head":
                _text(axes, 0 if narrow else LEFT, y - 0.35, content, weight="bold", bbox=CLEAR)
            else:
                _forest_row(axes, content, y - 0.5, study, narrow=narrow)
        _forest_axis(axes, rows, y, study.metric, narrow=narrow)
        return svg(figure)


def learning_curves(study: StudyResults, *, narrow: bool = False) -> str:
    """Training loss and validation score against the step; a row of panels for each model.

    Returns
    -------
    str
        SVG; empty if no run has logged anything.
    """
    panels = [
        (f"{summary.model_label(model)}: {title}", curves)
        for model in study.models
        for title, curves in (
            ("training loss", _curves(study, model, lambda run: _series(run, "loss"))),
            _validation(study, model),
        )
        if curves
    ]
    if not panels:
        return ""
    columns = 1 if narrow else 2
    rows = math.ceil(len(panels) / columns)
    width = NARROW_IN if narrow else WIDE_IN
    with rc_context(STYLE):
        figure = Figure(figsize=(width, 2.75 * rows), layout="constrained")
        figure.get_layout_engine().set(wspace=0.06, hspace=0.06)  # type: ignore[union-attr, call-arg]
        grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
        for axes, (title, curves) in zip(grid, panels, strict=False):
            _panel(axes, title, curves, study)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        return svg(figure)


def level_colour(study: StudyResults, level: str) -> str:
    """Colour of a level in every figure; the baseline is ink, classifiers without a network are grey."""
    if level == study.baseline:
        return INK
    if level in BASELINES:
        return QUIET
    others = [name for name in study.levels if name not in {study.baseline, *BASELINES}]
    return PALETTE[others.index(level) % len(PALETTE)]


def _forest_lines(
    study: StudyResults, rows: Sequence[Effect], *, narrow: bool
) -> list[tuple[str, Any, float]]:
    lines: list[tuple[str, Any, float]] = []
    group = ("", "")
    for row in rows:
        if row.is_baseline:
            continue
        if (row.model, row.condition) != group:
            group = (row.model, row.condition)
            head = (
                f"{summary.model_label(row.model)}, {summary.small(summary.condition_label(row.condition))}"
            )
            lines.append(("head", head, 1.0 if narrow or not lines else 1.35))
        lines.append(("row", row, 1.0))
    return lines


def _forest_row(axes: Axes, row: Effect, y: float, study: StudyResults, *, narrow: bool) -> None:
    colour = VERDICT_COLOURS.get(row.verdict or Verdict.NOT_MEASURED, QUIET)
    decided = row.verdict in VERDICT_COLOURS
    if math.isfinite(row.difference):
        line = y + 0.22 if narrow else y
        if math.isfinite(row.diff_low):
            axes.plot(
                [row.diff_low, row.diff_high],
                [line, line],
                color=colour,
                linewidth=1.8,
                solid_capstyle="round",
            )
        marker = "s" if row.verdict is Verdict.HARMS else "o"
        face = colour if decided else "white"
        axes.plot(
            row.difference,
            line,
            marker,
            color=colour,
            markerfacecolor=face,
            markersize=6.5,
            markeredgewidth=1.6,
        )
        text = summary.signed(row.difference)
        if math.isfinite(row.diff_low) and not narrow:
            text += f"  ({summary.span(row.diff_low, row.diff_high)}, n = {row.n_pairs})"
        elif not narrow:
            text += f"  (n = {row.n_pairs})"
        if narrow:
            text += f" (n = {row.n_pairs})"
    else:
        text = ""
    label = summary.level_label(row.level, study.factor)
    verdict = str(row.verdict or "")
    if narrow:
        _text(axes, 0, y - 0.17, label, size=9.5, bbox=CLEAR)
        words = f"{text}  {verdict}".strip()
        _text(axes, 1, y - 0.17, words, size=9.5, ha="right", color=colour, bbox=CLEAR)
        return
    _text(axes, LEFT, y, label)
    _text(axes, 1.04, y, text, color=colour if decided else INK)
    _text(axes, RIGHT, y, verdict, ha="right", color=colour, weight="bold" if decided else "normal")


def _forest_axis(axes: Axes, rows: Sequence[Effect], bottom: float, metric: str, *, narrow: bool) -> None:
    ends = [
        value
        for row in rows
        for value in (row.diff_low, row.diff_high, row.difference)
        if math.isfinite(value)
    ]
    reach = max((abs(value) for value in ends), default=0.01) or 0.01
    low, high = min([*ends, -0.15 * reach]), max([*ends, 0.15 * reach])
    pad = 0.06 * (high - low)
    axes.set_xlim(low - pad, high + pad)
    axes.set_ylim(bottom + 0.15, 0)
    axes.axvline(0, color=INK, linewidth=1, zorder=0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="x", length=3, labelsize=9)
    axes.locator_params(axis="x", nbins=5 if narrow else 7)
    signed_ticks(axes, "x")
    left, right = ("worse", "better") if higher_is_better(metric) else ("better", "worse")
    middle = f"{summary.metric_label(metric)} minus baseline"
    for x, side, text in ((0, "left", f"← {left}"), (0.5, "center", middle), (1, "right", f"{right} →")):
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate(text, (x, 0), (0, -28), ha=side, va="center", fontsize=9, color=QUIET, **place)


def signed_ticks(axes: Axes, which: Literal["x", "y"]) -> None:
    """Label an axis of differences with signs, and with as many digits as tell its ticks apart."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    digits = tick_digits(axis.get_major_locator().tick_values(low, high))
    axis.set_major_formatter(lambda value, _: summary.signed(value, digits))


def tick_digits(ticks: Sequence[float]) -> int:
    """Digits after the point that write each tick as what it is, at least two.

    Examples
    --------
    >>> tick_digits([-0.1, 0.0, 0.1]), tick_digits([0.0, 0.005, 0.01]), tick_digits([0, 0.0025])
    (2, 3, 4)
    """
    return next((n for n in range(2, 9) if all(abs(round(x, n) - x) < 1e-9 for x in ticks)), 9)


def _validation(study: StudyResults, model: str) -> tuple[str, list[Curve]]:
    logged = [
        set(line["val"]) for run in study.runs if run.model == model for line in run.log if "val" in line
    ]
    names = set.intersection(*logged) if logged else set()
    chosen = next(
        (name for name in (study.metric, "pq", "aji", "dice", *sorted(names)) if name in names), None
    )
    if chosen is None:
        return "validation", []
    title = f"validation {summary.metric_label(chosen)}"
    curves = _curves(study, model, lambda run: _series(run, chosen, part="val"))
    # A single validation, at the end, does not make a curve.
    most = max((len(steps) for curve in curves for steps, _ in curve.seeds), default=0)
    return title, curves if most > 1 else []


def _curves(study: StudyResults, model: str, series: Any) -> list[Curve]:
    curves = []
    for level in study.levels:
        mine = [run for run in study.runs if run.model == model and run.level == level]
        runs = [
            run for run in mine if run.table is not None
        ] or mine  # a run under way would cut the mean short
        seeds = tuple(found for run in runs if len((found := series(run))[0]))
        if seeds:
            curves.append(Curve(level, seeds))
    return curves


def _series(run: RunResult, name: str, part: str = "") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read steps and finite values of one logged quantity; losses of batches are smoothed."""
    points = []
    for line in run.log:
        values = line.get(part) if part else line
        value = values.get(name) if isinstance(values, dict) else None
        step = line.get("step")
        if isinstance(value, int | float) and isinstance(step, int | float) and math.isfinite(value):
            points.append((float(step), float(value)))
    table = np.array(sorted(dict(points).items()), dtype=np.float64).reshape(-1, 2)
    half = 0 if part else len(table) // 80
    smoothed = pd.Series(table[:, 1]).rolling(2 * half + 1, center=True, min_periods=1).mean()
    return table[:, 0], smoothed.to_numpy()


def _panel(axes: Axes, title: str, curves: Sequence[Curve], study: StudyResults) -> None:
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
    ends = []
    for place, curve in enumerate(curves):
        colour, dash = level_colour(study, curve.level), DASHES[place % len(DASHES)]
        if len(curve.seeds) > 1:
            for steps, values in curve.seeds:
                axes.plot(steps, values, color=colour, linewidth=0.7, alpha=0.35)
        steps, values = curve.mean()
        if len(steps):
            # Later lines are thinner and dashed, so that one that lies on another hides nothing.
            style: dict[str, Any] = {"linewidth": 3.2 if place == 0 else 1.8, "linestyle": dash}
            marker = "o" if len(steps) < 3 else ""
            axes.plot(steps, values, color=colour, marker=marker, markersize=4, **style)
            ends.append((float(values[-1]), summary.level_label(curve.level, study.factor), colour))
    axes.set_xlabel("step", fontsize=9)
    axes.tick_params(length=3, labelsize=9)
    axes.locator_params(axis="x", nbins=5)
    axes.margins(x=0.01)
    name_ends(axes, ends, gap=0.085)


def name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], *, gap: float) -> None:
    """Write names of lines at the right, each (height of its end, name, colour), `gap` of the axis apart."""
    low, high = axes.get_ylim()
    places = spread([end[0] for end in ends], gap=gap * (high - low), low=low, high=high)
    for y, (_, label, colour) in zip(places, ends, strict=True):
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "annotation_clip": False}
        axes.annotate(label, (1.02, y), va="center", color=colour, fontsize=9, **place)


def spread(values: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Place labels near their values, in their order, at least `gap` apart, in the range if there is room.

    Examples
    --------
    >>> [round(place, 2) for place in spread([0.5, 0.51, 0.9], gap=0.1, low=0, high=1)]
    [0.46, 0.56, 0.9]
    """
    order = np.argsort(values, kind="stable")
    places = np.array(values, dtype=np.float64)[order]
    for _ in range(100):
        push = np.maximum(gap - np.diff(places), 0) / 2
        if not push.any():
            break
        places[:-1] -= push
        places[1:] += push
    steps = gap * np.arange(len(places))
    places = np.minimum(np.maximum(places, low + steps), high - steps[::-1])
    result = np.empty(len(places))
    result[order] = places
    return [float(place) for place in result]


def _text(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text at `x` in widths of the axes and `y` in data."""
    options = {"va": "center", "ha": "left", "fontsize": style.pop("size", 10), **style}
    axes.text(x, y, text, transform=axes.get_yaxis_transform(), clip_on=False, **options)


def svg(figure: Figure) -> str:
    """SVG text of a figure, with letters in the page's own font."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace("'DejaVu Sans'", FONT)
