# mypy: disallow-untyped-decorators=False
"""Polygons to pixels."""

import math

import numpy as np
from numpy.typing import NDArray

from histoscope.compiled import njit


@njit
def draw(
    points: NDArray[np.float64],
    starts: NDArray[np.int64],
    first: NDArray[np.int64],
    order: NDArray[np.int64],
    labels: NDArray[np.int32],
    own: NDArray[np.int64],
) -> None:
    """Write polygon k as id k + 1, later ones over earlier ones.

    Parameters
    ----------
    points : (P, 2) float64
        x, y of all rings; pixel (0, 0) covers the square from 0 to 1.
    starts : (R + 1,) int64
        Start of each ring in `points`, and end of the last.
    first : (N + 1,) int64
        First ring of each polygon, and end of the last. A point in an odd number of them is inside.
    order : (N,) int64
        Order in which polygons are drawn.
    labels : (H, W) int32
        Drawn on. A pixel belongs to the polygon that contains its centre; if the centre is on an edge shared
        by two polygons, it belongs to one of them.
    own : (N,) int64
        Set to the pixels that each polygon covers.
    """
    height, width = labels.shape
    for k in order:
        begin, end = starts[first[k]], starts[first[k + 1]]
        if begin == end:
            continue
        top, bottom, left, right = np.inf, -np.inf, np.inf, -np.inf
        for p in range(begin, end):
            left, right = min(left, points[p, 0]), max(right, points[p, 0])
            top, bottom = min(top, points[p, 1]), max(bottom, points[p, 1])
        row0, row1 = int(max(math.floor(top), 0)), int(min(math.ceil(bottom), height))
        column0, column1 = int(max(math.floor(left), 0)), int(min(math.ceil(right), width))
        if row1 <= row0 or column1 <= column0:
            continue
        inside = np.zeros((row1 - row0, column1 - column0), np.bool_)
        for ring in range(first[k], first[k + 1]):
            for p in range(starts[ring], starts[ring + 1]):
                following = p + 1 if p + 1 < starts[ring + 1] else starts[ring]
                low, high = (p, following) if points[p, 1] < points[following, 1] else (following, p)
                x, y, y_end = points[low, 0], points[low, 1], points[high, 1]
                if y == y_end:
                    continue
                slope = (points[high, 0] - x) / (y_end - y)
                from_row = max(math.ceil(y - 0.5), row0)
                for row in range(from_row, min(math.ceil(y_end - 0.5), row1)):
                    column = math.ceil(x + (row + 0.5 - y) * slope - 0.5) - column0
                    if column < column1 - column0:
                        place = max(column, 0)
                        inside[row - row0, place] = not inside[row - row0, place]
        for row in range(row1 - row0):
            for column in range(column1 - column0):
                if column:
                    inside[row, column] ^= inside[row, column - 1]
                if inside[row, column]:
                    own[k] += 1
                    labels[row0 + row, column0 + column] = k + 1
