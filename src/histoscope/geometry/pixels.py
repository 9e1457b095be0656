# mypy: disallow-untyped-decorators=False
"""Refinement of instance outlines with a foreground mask."""

import numpy as np
from numpy.typing import NDArray

from histoscope.compiled import njit
from histoscope.errors import ShapeError
from histoscope.renamed import renamed
from histoscope.types import Labels, Mask

LEAST_INSIDE = 0.5
"""A nucleus with a smaller share of its polygon in the mask is not refined."""


@renamed(inside="foreground", reach_px="max_growth_px")
def refine_with_mask(labels: Labels, foreground: Mask, *, max_growth_px: int = 3) -> Labels:
    """Refine the outlines of instances with a foreground mask.

    Polygons separate neighbours but cut corners; a mask has the true outlines but merges neighbours. Here a
    nucleus loses the pixels of its polygon that are background, and grows into free foreground around it. A
    nucleus that would lose more than half keeps its polygon.

    Parameters
    ----------
    labels : (H, W) int32
        Nuclei, drawn.
    foreground : (H, W) bool
        Where nuclei are.
    max_growth_px : int
        How far a nucleus may grow, in steps from a pixel to one of its four neighbours.

    Returns
    -------
    (H, W) int32
        With the same ids.

    Raises
    ------
    ShapeError
        If the two differ in shape.

    Examples
    --------
    >>> drawn = np.array([[0, 0, 1, 1, 0, 0, 0, 0]], np.int32)
    >>> refine_with_mask(drawn, np.array([[0, 1, 1, 1, 0, 0, 1, 1]], bool)).tolist()
    [[0, 1, 1, 1, 0, 0, 0, 0]]
    """
    if labels.shape != foreground.shape:
        raise ShapeError(
            f"labels are {labels.shape} and the mask is {foreground.shape}; expected the same shape"
        )
    drawn, confirmed = _counts(labels, foreground, int(labels.max(initial=0)))
    stays = confirmed < LEAST_INSIDE * drawn
    refined: Labels = _cut(labels, foreground, stays)
    for _ in range(max_growth_px):
        _grow(refined, foreground, stays)
    return refined


@njit
def _counts(labels: Labels, inside: Mask, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of each id, and how many of them are inside."""
    drawn, confirmed = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            k = labels[y, x]
            if k:
                drawn[k] += 1
                confirmed[k] += inside[y, x]
    return drawn, confirmed


@njit
def _cut(labels: Labels, inside: Mask, stays: NDArray[np.bool_]) -> Labels:
    """Without the pixels that are outside, but for nuclei that stay as drawn."""
    out = labels.copy()
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if not inside[y, x] and not stays[labels[y, x]]:
                out[y, x] = 0
    return out


@njit
def _grow(labels: Labels, inside: Mask, stays: NDArray[np.bool_]) -> None:
    """One step: a free pixel that is inside takes the id of its first neighbour that may grow.

    All pixels change at once, so copies of two rows are kept.
    """
    height, width = labels.shape
    before, here = np.zeros(width, labels.dtype), np.zeros(width, labels.dtype)
    for y in range(height):
        before, here = here, before
        here[:] = labels[y]
        for x in range(width):
            if here[x] or not inside[y, x]:
                continue
            above = before[x] if y else 0
            left = here[x - 1] if x else 0
            right = here[x + 1] if x + 1 < width else 0
            below = labels[y + 1, x] if y + 1 < height else 0
            for neighbour in (above, left, right, below):
                if neighbour and not stays[neighbour]:
                    labels[y, x] = neighbour
                    break
