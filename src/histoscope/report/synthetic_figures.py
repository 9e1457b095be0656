"""The figure of the study `synthetic`: score against labelled tiles, with and without synthetic help."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from histoscope.report import summary
from histoscope.report.effects import Effect
from histoscope.report.figures import (
    INK,
    NARROW_IN,
    PALETTE,
    QUIET,
    RULE,
    STYLE,
    WIDE_IN,
    signed_ticks,
    spread,
    svg,
)
from histoscope.report.results import StudyResults
from histoscope.studies.synthetic import SOURCES, TISSUE, of_size

RECIPES = ("real", *(f"{source}_{way}" for way in ("mixed", "tuned") for source in SOURCES))
"""Ways to learn from real tiles, each a line of the figure."""
NAMES = {
    "real": "real only",
    **{f"{source}_mixed": f"mixed with {source}" for source in SOURCES},
    **{f"{source}_tuned": f"{source}, then real" for source in SOURCES},
}
COLOURS = {"procedural": PALETTE[1], "learned": PALETTE[0]}
NUDGE = 0.09
PREFIX = "labels_"


def style(recipe: str) -> dict[str, Any]:
    """Line of a recipe: its colour says what the tissue was made with, marker and dashes how it was used."""
    source, _, way = recipe.partition("_")
    tuned = way == "tuned"
    return {
        "color": COLOURS.get(source, INK),
        "marker": "s" if tuned else "o",
        "linestyle": (0, (4, 2)) if tuned else "-",
        "linewidth": 1.4,
        "markersize": 5,
    }


def drawn(
    study: StudyResults, rows: Sequence[Effect], conditions: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Draw the figure for each condition, wide and narrow; what has nothing to show is left out."""
    found = {
        f"{PREFIX}{condition}": {
            "wide": label_curves(study, rows, condition),
            "narrow": label_curves(study, rows, condition, narrow=True),
        }
        for condition in conditions
    }
    return {name: forms for name, forms in found.items() if forms["wide"]}


def shown_levels(study: StudyResults) -> list[str] | None:
    """Levels whose pictures a report shows: those of the fewest real tiles; None, for all, elsewhere."""
    if study.factor != "tissue":
        return None
    fewest = _sizes(study.levels)[:1]
    return [level for level in study.levels if TISSUE.get(level, {}).get("tiles", "") in fewest]


def label_curves(study: StudyResults, rows: Sequence[Effect], condition: str, *, narrow: bool = False) -> str:
    """Score against the number of labelled tiles, and what synthetic tissue adds to it.

    Above: means with 95 % intervals. Below: paired differences from real tiles alone of the same number.

    Parameters
    ----------
    study : StudyResults
    rows : sequence of Effect
        All of the study.
    condition : str
        Whose test images.
    narrow : bool
        For a telephone: one network below the other.

    Returns
    -------
    str
        SVG; empty if nothing is measured yet, or the study is another one.
    """
    mine = {
        (row.model, row.level): row
        for row in rows
        if row.metric == study.metric and row.condition == condition and math.isfinite(row.mean)
    }
    shown = [model for model in study.models if _sizes(level for name, level in mine if name == model)]
    if study.factor != "tissue" or not shown:
        return ""
    columns = 1 if narrow else len(shown)
    height = 4.6 * (len(shown) if narrow else 1) + 0.9
    with rc_context(STYLE):
        figure = Figure(figsize=(NARROW_IN if narrow else WIDE_IN, height), layout="constrained")
        own = {model: {level: row for (name, level), row in mine.items() if name == model} for model in shown}
        sizes = {model: _sizes(own[model]) for model in shown}
        grid = figure.subplots(
            2 * len(shown) // columns,
            columns,
            squeeze=False,
            height_ratios=[1.6, 1.0] * (len(shown) // columns),
            width_ratios=[1.0] if narrow else [len(sizes[model]) + 0.5 for model in shown],
        )
        for index, model in enumerate(shown):
            row, column = (2 * index, 0) if narrow else (0, index)
            above, below = grid[row, column], grid[row + 1, column]
            above.set_title(summary.model_label(model), loc="left", fontsize=10, fontweight="bold")
            _panel(above, own[model], sizes[model], differences=False)
            _panel(below, own[model], sizes[model], differences=True)
            if column == 0:
                metric = summary.metric_label(study.metric)
                above.set_ylabel(metric, fontsize=9)
                below.set_ylabel(f"{metric} minus\nreal only", fontsize=9)
        if not narrow:
            _same_range(list(grid[0]))
            _same_range(list(grid[1]))
        _legend(figure, [recipe for recipe in RECIPES if _levels(recipe, mine)], columns=2 if narrow else 3)
        return svg(figure)


def _sizes(levels: Iterable[str]) -> list[int | None]:
    """Numbers of real tiles that were learned from, all of them last."""
    found: set[int | None] = {TISSUE[level]["tiles"] for level in levels if level in TISSUE} - {0}
    return sorted(found, key=lambda size: math.inf if size is None else size)


def _levels(recipe: str, mine: Iterable[tuple[str, str]]) -> list[str]:
    return [level for _, level in mine if level.rpartition("_")[0] == recipe]


def _panel(axes: Axes, own: dict[str, Effect], sizes: Sequence[int | None], *, differences: bool) -> None:
    """Draw the lines of one network, scores or differences."""
    for place, recipe in enumerate(RECIPES):
        shift = NUDGE * (place - len(RECIPES) // 2)
        levels = [(x + shift, f"{recipe}_{of_size(size)}") for x, size in enumerate(sizes)]
        points = [(x, *_score(own[level], differences=differences)) for x, level in levels if level in own]
        points = [point for point in points if math.isfinite(point[1])]
        if points and not (differences and recipe == "real"):
            _line(axes, points, style(recipe))
    if differences:
        axes.axhline(0, color=INK, linewidth=1, zorder=0)
        axes.set_xlabel("labelled tiles", fontsize=9)
    else:
        _alone(axes, own, len(sizes))
    axes.set_xticks(range(len(sizes)), [of_size(size) for size in sizes])
    axes.set_xlim(-0.5, len(sizes) - 0.5)
    axes.tick_params(length=3, labelsize=9)
    axes.locator_params(axis="y", steps=[1, 2, 5, 10])
    if differences:
        signed_ticks(axes, "y")


def _score(row: Effect, *, differences: bool) -> tuple[float, float, float, bool]:
    """Score or difference, the ends of its interval, and whether that leaves out zero."""
    if differences:
        return row.difference, row.diff_low, row.diff_high, row.diff_low > 0 or row.diff_high < 0
    return row.mean, row.low, row.high, True


def _line(
    axes: Axes, points: Sequence[tuple[float, float, float, float, bool]], look: dict[str, Any]
) -> None:
    """Draw a line with an interval at each point; hollow where it includes zero."""
    x, y, *_ = zip(*points, strict=True)
    axes.plot(x, y, **look | {"marker": "", "zorder": 1})
    for at, score, low, high, decided in points:
        axes.plot([at] * 2, [low, high], color=look["color"], linewidth=1.1, zorder=1)
        face = look["color"] if decided else "white"
        axes.plot(at, score, **look, markerfacecolor=face, zorder=2)


def _alone(axes: Axes, own: dict[str, Effect], n_sizes: int) -> None:
    """Draw what synthetic tissue alone reaches, with no labelled tile, as a line across."""
    found = [(source, own[source].mean) for source in SOURCES if source in own]
    low, high = axes.get_ylim()
    places = spread([mean for _, mean in found], gap=0.07 * (high - low), low=low, high=high)
    for (source, mean), place in zip(found, places, strict=True):
        axes.axhline(mean, color=COLOURS[source], linewidth=1, linestyle=":", zorder=0)
        style: Any = {"va": "bottom", "ha": "right", "fontsize": 8, "color": COLOURS[source]}
        axes.text(n_sizes - 0.52, place, f"{source} alone", **style)


def _same_range(row: Sequence[Axes]) -> None:
    ends = [axes.get_ylim() for axes in row]
    for axes in row:
        axes.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))


def _legend(figure: Figure, recipes: Sequence[str], *, columns: int) -> None:
    handles = [Line2D([], [], label=NAMES[recipe], **style(recipe)) for recipe in recipes]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=QUIET,
        edgecolor=RULE,
    )
