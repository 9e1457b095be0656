"""Moments and shape of every nucleus, from the pixels in its outline."""

import numpy as np
from numpy.typing import NDArray

from histoscope.compiled import njit
from histoscope.nuclei._kernels import fill

_EMPTY_ROW = 1 << 40


@njit
def shapes(
    start: int,
    stop: int,
    points: NDArray[np.float32],
    starts: NDArray[np.int64],
    order: NDArray[np.int64],
    first: NDArray[np.int64],
    box: NDArray[np.int64],
    image: NDArray[np.uint8],
    share: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Measure nuclei `start` to `stop`, one after the other in its bounding box.

    Parameters
    ----------
    start, stop : int
    points, starts, order, first, box
        As for `Outlines` and `ByNucleus`.
    image : (H, W, 3) uint8
    share : (3, 256) float64
        Amount of stain of each level of R, G and B.

    Returns
    -------
    sums : (n, 7) float64
        Pixels, x, y, x², y², xy, amount of stain; x and y from the nucleus's first pixel.
    corner : (n, 2) int64
        Column and row of the first pixel.
    perimeter : (n,) float64
        In pixels.
    convex : (n,) int64
        Pixels whose centres lie in the convex hull of its pixel sides.
    """
    n = stop - start
    total, corner = np.zeros((n, 7), np.float64), np.zeros((n, 2), np.int64)
    perimeter, convex = np.zeros(n, np.float64), np.zeros(n, np.int64)
    for k in range(n):
        top, left, bottom, right = box[start + k]
        inside = np.empty((bottom - top, right - left), np.bool_)
        fill(points, starts, order[first[start + k] : first[start + k + 1]], top, left, inside)
        corner[k] = (left + np.argmax(inside[0]), top)
        _sum(inside, image[top:bottom, left:right], share, corner[k, 0] - left, total[k])
        perimeter[k], convex[k] = _perimeter(inside), _convex(inside)
    return total, corner, perimeter, convex


@njit
def _sum(
    inside: NDArray[np.bool_],
    image: NDArray[np.uint8],
    share: NDArray[np.float64],
    origin: int,
    total: NDArray[np.float64],
) -> None:
    for row in range(inside.shape[0]):
        for column in range(inside.shape[1]):
            if inside[row, column]:
                x, y = float(column - origin), float(row)
                total[0] += 1.0
                total[1] += x
                total[2] += y
                total[3] += x * x
                total[4] += y * y
                total[5] += x * y
                total[6] += (
                    share[0, image[row, column, 0]]
                    + share[1, image[row, column, 1]]
                    + share[2, image[row, column, 2]]
                )


@njit
def _perimeter(inside: NDArray[np.bool_]) -> float:
    """Perimeter in pixels, by Crofton's formula.

    The length of a closed curve follows from how often lines of all directions cross it; here rows, columns
    and both diagonals. For a disk, the error is below 1 %.
    """
    height, width = inside.shape
    straight = diagonal = 0
    for row in range(height):
        for column in range(width):
            if inside[row, column]:
                straight += column == 0 or not inside[row, column - 1]
                straight += row == 0 or not inside[row - 1, column]
                diagonal += row == 0 or column == 0 or not inside[row - 1, column - 1]
                diagonal += row == 0 or column == width - 1 or not inside[row - 1, column + 1]
    return float(np.pi / 4 * (straight + diagonal / np.sqrt(2.0)))


@njit
def _convex(inside: NDArray[np.bool_]) -> int:
    """Pixels whose centres lie in the convex hull; only the first and last of a row can be on it."""
    height, width = inside.shape
    left = np.full(height, _EMPTY_ROW, np.int64)
    right = np.full(height, _EMPTY_ROW, np.int64)  # negated, so that both sides are lower hulls
    for row in range(height):
        for column in range(width):
            if inside[row, column]:
                left[row] = min(left[row], column)
                right[row] = min(right[row], -column)
    a, b = _hull_side(left), _hull_side(right)
    found = 0
    for k in range(height):
        found += -b[k] - a[k] + 1
    return found


@njit
def _hull_side(first: NDArray[np.int64]) -> NDArray[np.int64]:
    """First integer x inside the convex hull in each row; all in half pixels, so nothing is rounded."""
    height = first.size
    ys, xs, n = np.empty(2 * height + 1, np.int64), np.empty(2 * height + 1, np.int64), 0
    for y in range(-1, 2 * height):
        if y % 2 == 0:
            x = 2 * first[y // 2] - 1
        else:
            above = first[(y - 1) // 2] if y > 0 else _EMPTY_ROW
            below = first[(y + 1) // 2] if y < 2 * height - 1 else _EMPTY_ROW
            x = 2 * min(above, below)
        if x >= _EMPTY_ROW:
            continue
        while n > 1 and (xs[n - 1] - xs[n - 2]) * (y - ys[n - 2]) >= (x - xs[n - 2]) * (
            ys[n - 1] - ys[n - 2]
        ):
            n -= 1
        ys[n], xs[n] = y, x
        n += 1
    out, k = np.empty(height, np.int64), 0
    for row in range(height):
        while ys[k + 1] < 2 * row:
            k += 1
        rise = ys[k + 1] - ys[k]
        above_x = xs[k] * rise + (xs[k + 1] - xs[k]) * (2 * row - ys[k])
        out[row] = -((-above_x) // (2 * rise))
    return out
