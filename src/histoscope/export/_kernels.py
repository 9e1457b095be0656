"""Loops over the pixels of an instance map: outlines, sums and shapes of all nuclei in one pass each."""

import numpy as np
from numpy.typing import NDArray

from histoscope.compiled import njit

# Steps over pixels while walking right, down, left, up with the nucleus on the right hand.
_ROW_STEP = (0, 1, 0, -1)
_COLUMN_STEP = (1, 0, -1, 0)
# Middle of the edge that is walked along: of a pixel's top, right, bottom and left side.
_X_MIDDLE = (0.5, 1.0, 0.5, 0.0)
_Y_MIDDLE = (0.0, 0.5, 1.0, 0.5)
_EMPTY_ROW = 1 << 40


@njit
def count_edges(parts: NDArray[np.int32]) -> int:
    """Count the sides of pixels that part a piece from something else: an upper bound of outline points."""
    height, width = parts.shape
    edges = 0
    for row in range(height):
        for column in range(width):
            here = parts[row, column]
            if here == 0:
                continue
            edges += row == 0 or parts[row - 1, column] != here
            edges += row == height - 1 or parts[row + 1, column] != here
            edges += column == 0 or parts[row, column - 1] != here
            edges += column == width - 1 or parts[row, column + 1] != here
    return edges


@njit
def trace_rings(
    parts: NDArray[np.int32], n_edges: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int32]]:
    """Walk once around every piece and every hole, from middle to middle of the pixel sides.

    Parameters
    ----------
    parts : (H, W) int32
        Pieces whose pixels hang together by their sides; 0 is background.
    n_edges : int
        From `count_edges`.

    Returns
    -------
    points : (P, 2) float32
        x, y of the corners of all rings.
    starts : (R + 1,) int64
        Where each ring begins in `points`, and where the last ends.
    part : (R,) int32
        The piece that each ring bounds; the first ring of a piece is its outer one.
    """
    height, width = parts.shape
    seen = np.zeros((height, width), np.bool_)  # top sides that were walked along
    points = np.empty((n_edges, 2), np.float32)
    starts = np.zeros(n_edges // 4 + 2, np.int64)
    part = np.empty(n_edges // 4 + 1, np.int32)
    n_points = n_rings = 0
    for row in range(height):
        for column in range(width):
            here = parts[row, column]
            if here == 0 or seen[row, column] or (row > 0 and parts[row - 1, column] == here):
                continue
            n_points = _trace(parts, row, column, seen, points, n_points)
            part[n_rings] = here
            n_rings += 1
            starts[n_rings] = n_points
    return points[:n_points].copy(), starts[: n_rings + 1].copy(), part[:n_rings].copy()


@njit
def _trace(
    parts: NDArray[np.int32],
    row: int,
    column: int,
    seen: NDArray[np.bool_],
    points: NDArray[np.float32],
    n: int,
) -> int:
    """Walk around one ring from the top side of a pixel; gives the new number of points."""
    height, width = parts.shape
    here = parts[row, column]
    first, side, before, heading_first = n, 0, -1, -1
    while side != 0 or not seen[row, column]:
        if side == 0:
            seen[row, column] = True
        x, y = column + _X_MIDDLE[side], row + _Y_MIDDLE[side]
        ahead_row, ahead_column = row + _ROW_STEP[side], column + _COLUMN_STEP[side]
        out = (side + 3) % 4
        left_row, left_column = ahead_row + _ROW_STEP[out], ahead_column + _COLUMN_STEP[out]
        if not _is(parts, ahead_row, ahead_column, height, width, here):
            heading, side = 2 * side + 1, (side + 1) % 4
        elif not _is(parts, left_row, left_column, height, width, here):
            heading, row, column = 2 * side, ahead_row, ahead_column
        else:
            heading, row, column, side = (2 * side + 7) % 8, left_row, left_column, out
        # A point in the middle of a straight line says nothing.
        if heading != before:
            points[n, 0], points[n, 1] = x, y
            n += 1
        if before < 0:
            heading_first = heading
        before = heading
    if before == heading_first:  # the walk began in the middle of a line
        for k in range(first, n - 1):
            points[k, 0], points[k, 1] = points[k + 1, 0], points[k + 1, 1]
        n -= 1
    return n


@njit(inline="always")
def _is(parts: NDArray[np.int32], row: int, column: int, height: int, width: int, here: int) -> bool:
    return 0 <= row < height and 0 <= column < width and parts[row, column] == here


@njit
def sums(
    labels: NDArray[np.int32], image: NDArray[np.uint8], share: NDArray[np.float64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sums over the pixels of each nucleus.

    Parameters
    ----------
    labels : (H, W) int32
        Ids from 0 to `n`.
    image : (H, W, 3) uint8
    share : (3, 256) float64
        What each level of R, G and B adds to the amount of stain.
    n : int

    Returns
    -------
    sums : (n + 1, 7) float64
        Pixels, x, y, x², y², xy, amount of stain; x and y from the nucleus's first pixel.
    box : (n + 1, 3) int64
        Column and row of the first pixel, then the last row.
    """
    total = np.zeros((n + 1, 7), np.float64)
    box = np.zeros((n + 1, 3), np.int64)
    height, width = labels.shape
    for row in range(height):
        for column in range(width):
            label = labels[row, column]
            if label == 0:
                continue
            if total[label, 0] == 0.0:
                box[label, 0], box[label, 1] = column, row
            box[label, 2] = row
            x, y = float(column - box[label, 0]), float(row - box[label, 1])
            total[label, 0] += 1.0
            total[label, 1] += x
            total[label, 2] += y
            total[label, 3] += x * x
            total[label, 4] += y * y
            total[label, 5] += x * y
            total[label, 6] += (
                share[0, image[row, column, 0]]
                + share[1, image[row, column, 1]]
                + share[2, image[row, column, 2]]
            )
    return total, box


@njit
def perimeters(labels: NDArray[np.int32], n: int) -> NDArray[np.float64]:
    """Perimeter of each nucleus in pixels, by Crofton's formula.

    A closed curve is as long as it is often crossed by lines from everywhere; here they run along rows,
    columns and both diagonals. Unlike the length of a staircase, that is right for a disk within a hundredth.
    """
    height, width = labels.shape
    straight, diagonal = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    for row in range(height):
        for column in range(width):
            here = labels[row, column]
            if here == 0:
                continue
            straight[here] += not _is(labels, row, column - 1, height, width, here)
            straight[here] += not _is(labels, row - 1, column, height, width, here)
            diagonal[here] += not _is(labels, row - 1, column - 1, height, width, here)
            diagonal[here] += not _is(labels, row - 1, column + 1, height, width, here)
    length: NDArray[np.float64] = np.pi / 4 * (straight + diagonal / np.sqrt(2.0))
    return length


@njit
def convex_pixels(
    labels: NDArray[np.int32], top: NDArray[np.int64], bottom: NDArray[np.int64], n: int
) -> NDArray[np.int64]:
    """Pixels whose centres lie in the convex hull of each nucleus's pixel sides.

    Only the first and last pixel of a nucleus in each row can be on its hull, so the work is linear.
    """
    height, width = labels.shape
    start = np.zeros(n + 2, np.int64)
    for label in range(1, n + 1):
        start[label + 1] = start[label] + bottom[label] - top[label] + 1
    left = np.full(start[n + 1], _EMPTY_ROW, np.int64)
    right = np.full(start[n + 1], _EMPTY_ROW, np.int64)  # negated, so that both sides are lower hulls
    for row in range(height):
        for column in range(width):
            label = labels[row, column]
            if label != 0:
                place = start[label] + row - top[label]
                left[place] = min(left[place], column)
                right[place] = min(right[place], -column)
    found = np.zeros(n + 1, np.int64)
    for label in range(1, n + 1):
        if bottom[label] >= top[label]:
            a = _hull_side(left[start[label] : start[label + 1]])
            b = _hull_side(right[start[label] : start[label + 1]])
            for k in range(a.size):
                found[label] += -b[k] - a[k] + 1
    return found


@njit
def _hull_side(first: NDArray[np.int64]) -> NDArray[np.int64]:
    """First whole x inside the convex hull in each row; all in halves of a pixel, so nothing is rounded."""
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
