"""Figures of the page of a cohort: distributions over slides, and patients by group."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from histoscope.report.cohort.groups import Compared
from histoscope.report.figures import PALETTE, QUIET, STYLE, svg

_PANEL_IN = (2.6, 1.4)
_MOST_DOTS = 150
Values = NDArray[np.float64]


def histogram(values: Values) -> str:
    """Distribution of a number over slides, with a line at its median, as SVG.

    Parameters
    ----------
    values : (N,) float
        Without NaN. What lies beyond the 0.5th and 99.5th percentile is counted at the edge.
    """
    low, high = np.percentile(values, (0.5, 99.5))
    bins = int(np.clip(3 * len(values) ** (1 / 3), 6, 30))
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    with rc_context(STYLE):
        figure = Figure(figsize=_PANEL_IN, layout="constrained")
        axes = figure.add_subplot()
        counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
        axes.stairs(counts, edges, color=PALETTE[0], linewidth=1.4)
        axes.stairs(counts, edges, color=PALETTE[0], alpha=0.15, fill=True)
        axes.axvline(float(np.median(values)), color=QUIET, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelsize=9)
        return svg(figure)


def patients_by_group(groups: Mapping[str, Values], compared: Sequence[Compared]) -> str:
    """A dot per patient in a row for each group, with the mean and its interval below, as SVG.

    Parameters
    ----------
    groups : mapping of str to (N,) float
        Without NaN. Of large groups the dots are patients at even ranks.
    compared : sequence of Compared
        Of this number, where means and intervals are taken from.
    """
    means = {one.first: (one.found.mean_a, one.found.low_a, one.found.high_a) for one in compared}
    means |= {one.second: (one.found.mean_b, one.found.low_b, one.found.high_b) for one in compared}
    height = 0.5 + 0.5 * len(groups)
    with rc_context(STYLE):
        figure = Figure(figsize=(4.2, height), layout="constrained")
        axes = figure.add_subplot()
        for row, (name, values) in enumerate(groups.items()):
            colour = PALETTE[row % len(PALETTE)]
            dots = np.sort(values)
            if len(dots) > _MOST_DOTS:
                dots = dots[np.linspace(0, len(dots) - 1, _MOST_DOTS).round().astype(int)]
            height_of = np.random.default_rng(0).uniform(-0.28, 0.08, len(dots))
            axes.plot(dots, row + height_of, "o", markersize=3.5, color=colour, alpha=0.45, mew=0)
            mean, low, high = means[name]
            if np.isfinite(low + high):
                axes.plot([low, high], [row + 0.26] * 2, color=colour, linewidth=2)
            axes.plot([mean], [row + 0.26], "D", markersize=5, color=colour)
        axes.set_yticks(range(len(groups)), [f"{name} ({len(each)})" for name, each in groups.items()])
        axes.set_ylim(len(groups) - 0.45, -0.55)
        axes.tick_params(axis="y", length=0, labelsize=9, labelcolor="#1f2328")
        axes.tick_params(axis="x", labelsize=9)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        return svg(figure)
