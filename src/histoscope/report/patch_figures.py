"""Figures of classifiers, as SVG text: the reliability diagram and the confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from histoscope.errors import ShapeError
from histoscope.metrics import Reliability
from histoscope.metrics.pooling import Values
from histoscope.report.figures import INK, NARROW_IN, PALETTE, QUIET, RULE, STYLE, svg

_SIDE_IN = 4.4
_BLUE = PALETTE[0]


def reliability_diagram(
    table: Reliability, cooled: Reliability | None = None, *, narrow: bool = False
) -> str:
    """Accuracy against the confidence of the model, and the number of patches in each bin.

    Bars are 95 % intervals of each bin, as if patches were independent.

    Parameters
    ----------
    table : Reliability
    cooled : Reliability, optional
        The same after temperature scaling.
    narrow : bool
        For a telephone.

    Returns
    -------
    str
        SVG.
    """
    side = NARROW_IN if narrow else _SIDE_IN
    with rc_context(STYLE):
        figure = Figure(figsize=(side, side * 1.18), layout="constrained")
        top, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
        top.plot([0, 1], [0, 1], color=RULE, linewidth=1, zorder=0)
        lines = [(table, INK, "o", "uncalibrated"), (cooled, _BLUE, "s", "temperature-scaled")]
        for one, colour, marker, label in lines:
            if one is None:
                continue
            filled = one.n > 0
            right, n = one.accuracy[filled], one.n[filled]
            low, high = wilson(right, n)
            text = f"{label}: ECE {one.ece:.3f}" if cooled is not None else f"ECE {one.ece:.3f}"
            top.errorbar(
                one.confidence[filled],
                right,
                np.clip([right - low, high - right], 0, None),
                color=colour,
                marker=marker,
                markersize=4.5,
                linewidth=0.8,
                elinewidth=1.6,
                label=text,
                clip_on=False,
            )
        top.set(xlim=(table.edges[np.argmax(table.n > 0)], 1), ylim=(0, 1), ylabel="share correct")
        top.legend(frameon=False, loc="lower right", fontsize=9)
        width = np.diff(table.edges)
        below.bar(
            table.edges[:-1], table.n, width, align="edge", color=QUIET, edgecolor="white", linewidth=0.8
        )
        below.set(xlabel="probability of the predicted class", ylabel="patches")
        below.locator_params(axis="y", nbins=3, integer=True)
        for axes in (top, below):
            axes.tick_params(length=3, labelsize=9)
        return svg(figure)


def wilson(share: NDArray[np.float64], n: NDArray[np.integer]) -> tuple[Values, Values]:
    """Wilson's 95 % intervals of shares of `n`; a bin of few patches says little.

    References
    ----------
    .. [1] Wilson, Journal of the American Statistical Association 22(158), 1927,
       doi:10.1080/01621459.1927.10502953

    Examples
    --------
    >>> low, high = wilson(np.array([1.0]), np.array([4]))
    >>> low.round(3), high.round(3)
    (array([0.51]), array([1.]))
    """
    z2 = 1.959964**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return middle - half, middle + half


def confusion_matrix(counts: NDArray[np.integer], classes: Sequence[str], *, narrow: bool = False) -> str:
    """Patches by true class (row) and predicted class (column), shaded by the share of the row.

    Parameters
    ----------
    counts : (C, C) int
        From `histoscope.metrics.confusion`.
    classes : sequence of str
        Names of class 0, 1, ...
    narrow : bool
        For a telephone.

    Returns
    -------
    str
        SVG.

    Raises
    ------
    ShapeError
        If there is not a name for each row.
    """
    n = len(classes)
    if counts.shape != (n, n):
        raise ShapeError(f"counts are {counts.shape} for {n} class names; expected ({n}, {n})")
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = NARROW_IN if narrow else min(1.6 + 0.85 * n, 9.4)
    with rc_context(STYLE):
        figure = Figure(figsize=(side, side * 0.95), layout="constrained")
        axes = figure.subplots()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        size = 9 if n <= 6 else 7
        for row in range(n):
            for column in range(n):
                if counts[row, column]:
                    colour = "white" if share[row, column] > 0.6 else INK
                    text = f"{counts[row, column]}\n{100 * share[row, column]:.1f} %"
                    axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
        tilted = n > 3 or narrow
        axes.set_xticks(range(n), classes, rotation=30 if tilted else 0, ha="right" if tilted else "center")
        axes.set_yticks(range(n), classes)
        axes.set(xlabel="predicted", ylabel="true")
        axes.tick_params(length=0, labelsize=9)
        axes.spines[:].set_visible(False)
        return svg(figure)
