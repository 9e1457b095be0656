"""Figures of the studies of labelled tiles: score against their number, by how they are helped."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
from histoscope.studies import beginnings
from histoscope.studies.synthetic import SOURCES, TISSUE, of_size

COLOURS = {"procedural": PALETTE[1], "learned": PALETTE[0]}
NUDGE = 0.09
PREFIX = "labels_"


@dataclass(frozen=True, slots=True)
class Lines:
    """What the figure of a factor shows: a line for each way to learn from real tiles.

    Parameters
    ----------
    levels : mapping
        Settings of each level; ``WAY_2`` is a way with two tiles.
    names : mapping of str to str
        Way -> its name in the legend; ways of one name look alike, in panels of their own.
    base : str
        Way that the others of as many tiles are compared with.
    panels : mapping of str to tuple of str
        Title of a panel, "" for that of the network -> its ways.
    style : callable
        Way -> how its line looks.
    about, caption : str
        Of the figure: for those who cannot see it, and what stands below it.
    """

    levels: Mapping[str, Mapping[str, Any]]
    names: Mapping[str, str]
    base: str
    panels: Mapping[str, tuple[str, ...]]
    style: Callable[[str], dict[str, Any]]
    about: str
    caption: str

    def level(self, way: str, size: int | None) -> str:
        """Level of a way; without real tiles, the pretraining is the same with equal minutes."""
        name = f"{way}_{of_size(size)}"
        return name if name in self.levels else f"{way.removesuffix('_within')}_{of_size(size)}"


def _tissue(way: str) -> dict[str, Any]:
    """Line of a recipe: its colour says what the tissue was made with, marker and dashes how it was used."""
    source, _, use = way.partition("_")
    return _look(COLOURS.get(source, INK), dashed=use == "tuned")


def _beginning(way: str) -> dict[str, Any]:
    """Line of a beginning: its colour says what was learned before, dashes that the network is our U-Net."""
    before = way.removeprefix("unet_").removesuffix("_within")
    shades = {"imagenet": PALETTE[0], "drawn": PALETTE[1], "imagenet_drawn": PALETTE[2]}
    return _look(shades.get(before, INK), dashed=way.startswith("unet"))


def _look(colour: str, *, dashed: bool) -> dict[str, Any]:
    return {
        "color": colour,
        "marker": "s" if dashed else "o",
        "linestyle": (0, (4, 2)) if dashed else "-",
        "linewidth": 1.4,
        "markersize": 5,
    }


_NAMES = {
    "real": "real only",
    **{f"{source}_mixed": f"mixed with {source}" for source in SOURCES},
    **{f"{source}_tuned": f"{source}, then real" for source in SOURCES},
}
_WITHIN = ("drawn_within", "imagenet_drawn_within", "unet", "unet_drawn_within")

LINES: Mapping[str, Lines] = {
    "tissue": Lines(
        TISSUE,
        _NAMES,
        "real",
        {"": tuple(_NAMES)},
        _tissue,
        "with and without synthetic tissue",
        "Above: means with 95 % intervals; dotted: synthetic tissue alone. Below: paired differences from "
        "the same number of real tiles alone, with 95 % intervals by patient or, where patients are not "
        "recorded, by image. Filled: the interval excludes zero. All were trained for the same number of "
        "steps.",
    ),
    "beginning": Lines(
        beginnings.LEVELS,
        {
            "scratch": "from scratch",
            "imagenet": "ImageNet",
            "drawn": "drawn tissue",
            "imagenet_drawn": "ImageNet, then drawn tissue",
            "drawn_within": "drawn tissue",
            "imagenet_drawn_within": "ImageNet, then drawn tissue",
            "unet": "own U-Net from scratch",
            "unet_drawn_within": "own U-Net, drawn tissue",
        },
        "scratch",
        {
            "Equal steps on real tiles": ("scratch", "imagenet", "drawn", "imagenet_drawn"),
            "Equal total minutes": ("scratch", "imagenet", *_WITHIN),
        },
        _beginning,
        "by initial weights",
        "Above: means with 95 % intervals. Below: paired differences from the network with an encoder from "
        "scratch and the same number of tiles, with 95 % intervals by patient or, where patients are not "
        "recorded, by image. Filled: the interval excludes zero. Equal steps: pretraining on drawn tissue "
        "comes on top. Equal minutes: they include pretraining, and our own U-Net trains for the same "
        "time. 0 tiles: pretraining alone.",
    ),
}
"""Factor -> its figure."""


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
    if (lines := LINES.get(study.factor)) is None:
        return None
    fewest = [size for size in _sizes(study.levels, lines) if size != 0][:1]
    return [level for level in study.levels if lines.levels.get(level, {}).get("tiles", "") in fewest]


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
    lines = LINES.get(study.factor)
    shown = [model for model in study.models if any(name == model for name, _ in mine)]
    if lines is None or not shown:
        return ""
    panels = [(model, title) for model in shown for title in lines.panels]
    columns = 1 if narrow else len(panels)
    height = 4.6 * (len(panels) if narrow else 1) + 0.9
    with rc_context(STYLE):
        figure = Figure(figsize=(NARROW_IN if narrow else WIDE_IN, height), layout="constrained")
        own = {model: {level: row for (name, level), row in mine.items() if name == model} for model in shown}
        sizes = {model: _sizes(own[model], lines) for model in shown}
        grid = figure.subplots(
            2 * len(panels) // columns,
            columns,
            squeeze=False,
            height_ratios=[1.6, 1.0] * (len(panels) // columns),
            width_ratios=[1.0] if narrow else [len(sizes[model]) + 0.5 for model, _ in panels],
        )
        for index, (model, title) in enumerate(panels):
            row, column = (2 * index, 0) if narrow else (0, index)
            above, below = grid[row, column], grid[row + 1, column]
            above.set_title(title or summary.model_label(model), loc="left", fontsize=10, fontweight="bold")
            for axes, differences in ((above, False), (below, True)):
                _panel(axes, own[model], sizes[model], lines, lines.panels[title], differences=differences)
            if column == 0:
                metric = summary.metric_label(study.metric)
                above.set_ylabel(metric, fontsize=9)
                below.set_ylabel(f"{metric} minus\n{lines.names[lines.base]}", fontsize=9)
        if not narrow:
            _same_range(list(grid[0]))
            _same_range(list(grid[1]))
        there = [way for way in lines.names if any(level.rpartition("_")[0] == way for _, level in mine)]
        _legend(figure, lines, there, columns=2 if narrow else 3)
        return svg(figure)


def _sizes(levels: Iterable[str], lines: Lines) -> list[int | None]:
    """Numbers of real tiles that were learned from, all of them last; none, where a line begins there."""
    ways = {level: level.rpartition("_")[0] for level in levels if level in lines.levels}
    found = {lines.levels[level]["tiles"] for level, way in ways.items() if way in lines.names}
    return sorted(found, key=lambda size: math.inf if size is None else size)


def _panel(  # what is drawn, and where
    axes: Axes,
    own: dict[str, Effect],
    sizes: Sequence[int | None],
    lines: Lines,
    ways: Sequence[str],
    *,
    differences: bool,
) -> None:
    """Draw the lines of one network, scores or differences."""
    for place, way in enumerate(ways):
        shift = NUDGE * (place - len(ways) // 2)
        levels = [
            (x + shift, lines.level(way, size))
            for x, size in enumerate(sizes)
            if size != 0 or not differences
        ]
        points = [(x, *_score(own[level], differences=differences)) for x, level in levels if level in own]
        points = [point for point in points if math.isfinite(point[1])]
        if points and not (differences and way == lines.base):
            _line(axes, points, lines.style(way))
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


def _legend(figure: Figure, lines: Lines, ways: Sequence[str], *, columns: int) -> None:
    by_name = {lines.names[way]: lines.style(way) for way in ways}
    handles = [Line2D([], [], label=name, **look) for name, look in by_name.items()]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=QUIET,
        edgecolor=RULE,
    )
