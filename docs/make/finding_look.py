"""How the figures of docs/results look: as wide as a telephone, in the scheme of the page, light or dark."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from drawing import SCHEMES, paint
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from histoscope.report.figures import NARROW_IN, STYLE, svg

INK, RULE = SCHEMES["light"]["ink"], "#9aa0aa80"
PURPLE, PINK, GREEN, OCHRE, GREY = "#8d6bd0", "#e0559b", "#1f9d86", "#c98410", "#8b909a"
LOOK = {
    **STYLE,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.size": 9.5,
}


class Row(NamedTuple):
    """A value with its interval; ``shown`` says whether the study counts the difference as shown."""

    label: str
    value: float
    low: float
    high: float
    colour: str
    shown: bool = True


def intervals(panels: dict[str, dict[str, list[Row]]], xlabel: str, *, zero: bool = True) -> Figure:
    """Draw a panel a column; in each, rows under headings, filled where a difference is shown."""
    first = next(iter(panels.values()))
    n_lines = sum(len(rows) + bool(heading) for heading, rows in first.items())
    drawing = Figure(figsize=(NARROW_IN, 0.21 * n_lines + 0.75), layout="constrained")
    columns = drawing.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for number, (axes, (title, groups)) in enumerate(zip(columns, panels.items(), strict=True)):
        axes.set_title(title, fontsize=9.5, fontweight="bold", loc="left")
        _groups(axes, groups, labelled=number == 0)
        if zero:
            axes.axvline(0, color=INK, linewidth=0.8, zorder=0)
        axes.set_ylim(n_lines - 0.3, -0.7)
        axes.xaxis.set_major_locator(MaxNLocator(4 if len(panels) == 1 else 3))
    _under(drawing, xlabel)
    return drawing


def _under(drawing: Figure, xlabel: str) -> None:
    """Name the axis of all panels."""
    if len(drawing.axes) == 1:
        drawing.axes[0].set_xlabel(xlabel)
    else:
        drawing.supxlabel(xlabel, fontsize=9.5, color=INK)


def _groups(axes: Axes, groups: dict[str, list[Row]], *, labelled: bool) -> None:
    y, ticks, names = 0, [], []
    for heading, rows in groups.items():
        if heading:
            ticks, names, y = [*ticks, y], [*names, heading], y + 1
        for row in rows:
            axes.hlines(y, row.low, row.high, color=row.colour, linewidth=2)
            face = row.colour if row.shown else "none"
            axes.plot(row.value, y, "o", color=row.colour, markerfacecolor=face, markersize=6, zorder=3)
            ticks, names, y = [*ticks, y], [*names, row.label], y + 1
    axes.set_yticks(ticks, names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if labelled:
        for tick, name in zip(axes.get_yticklabels(), names, strict=True):
            tick.set_fontweight("bold" if name in groups else "normal")


def lines(
    panels: dict[str, dict[str, tuple[str, str, Sequence[tuple[float, float, float]]]]],
    ticks: Sequence[str],
    labels: tuple[str, str],
) -> Figure:
    """Draw score against a number, a panel a column; a line is (colour, style, points with intervals)."""
    drawing = Figure(figsize=(NARROW_IN, 2.9), layout="constrained")
    columns = drawing.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, series) in zip(columns, panels.items(), strict=True):
        axes.set_title(title, fontsize=9.5, fontweight="bold", loc="left")
        for number, (label, (colour, style, points)) in enumerate(series.items()):
            y, low, high = np.array(points, dtype=float).T
            x = np.arange(len(y)) + 0.05 * (number - (len(series) - 1) / 2)
            axes.vlines(x, low, high, color=colour, linewidth=1.2, alpha=0.7)
            axes.plot(x, y, style, color=colour, marker="o", markersize=4.5, linewidth=1.8, label=label)
        axes.set_xticks(range(len(ticks)), ticks)
    _under(drawing, labels[0])
    columns[0].set_ylabel(labels[1])
    handles, names = columns[0].get_legend_handles_labels()
    drawing.legend(
        handles, names, loc="outside upper left", ncols=2, frameon=False, fontsize=9, handlelength=2.8
    )
    return drawing


def bars(rows: Iterable[tuple[str, float, str, str]], xlabel: str) -> Figure:
    """Draw a bar a row: its label, value, colour, and what is written behind it."""
    rows = list(rows)
    drawing = Figure(figsize=(NARROW_IN, 0.32 * len(rows) + 0.7), layout="constrained")
    axes = drawing.subplots()
    for y, (_, value, colour, said) in enumerate(rows):
        axes.barh(y, value, color=colour, height=0.6)
        axes.annotate(said, (value, y), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(rows)), [label for label, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.18)
    axes.set_xlabel(xlabel)
    axes.tick_params(axis="y", length=0)
    return drawing


def drawn(figure: Figure) -> str:
    """SVG of a figure whose ink and ground follow the page's scheme."""
    head, rest = svg(figure).replace(INK, "var(--ink)").split(">", 1)
    return f"{head}>{paint()}{rest}"
