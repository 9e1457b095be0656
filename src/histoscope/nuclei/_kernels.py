# mypy: disallow-untyped-decorators=False
"""Compiled loops that trace outlines of nuclei and fill them."""

import numpy as np
from numpy.typing import NDArray

from histoscope.compiled import F32, I32, I64, njit

# Steps over pixels along right, down, left and up, with the nucleus on the right.
_ROW_STEP = (0, 1, 0, -1)
_COLUMN_STEP = (1, 0, -1, 0)
# Midpoints of a pixel's top, right, bottom and left side.
_X_MIDDLE = (0.5, 1.0, 0.5, 0.0)
_Y_MIDDLE = (0.0, 0.5, 1.0, 0.5)


@njit
def count_edges(labels: I32) -> int:
    """Number of pixel sides on the border of a nucleus: an upper bound of outline points."""
    height, width = labels.shape
    edges = 0
    for row in range(height):
        for column in range(width):
            here = labels[row, column]
            if here == 0:
                continue
            edges += row == 0 or labels[row - 1, column] != here
            edges += row == height - 1 or labels[row + 1, column] != here
            edges += column == 0 or labels[row, column - 1] != here
            edges += column == width - 1 or labels[row, column + 1] != here
    return edges


@njit
def trace_rings(labels: I32, n_edges: int) -> tuple[F32, I64, I32, I32, NDArray[np.bool_]]:
    """Trace every piece and every hole through the midpoints of pixel sides, `n_edges` of `count_edges`.

    Returns the fields of `Outlines`: points, starts, label, part, is_hole.
    """
    height, width = labels.shape
    ring_at = np.zeros((height, width), np.int32)  # the ring, from 1, that walks along a pixel's top side
    points = np.empty((n_edges, 2), np.float32)
    most = n_edges // 4 + 1
    starts = np.zeros(most + 1, np.int64)
    label, part, is_hole = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.bool_)
    n_points = n_rings = n_parts = 0
    for row in range(height):
        for column in range(width):
            here = labels[row, column]
            if here == 0 or ring_at[row, column] or (row > 0 and labels[row - 1, column] == here):
                continue
            n_points, top, at = _trace(labels, row, column, ring_at, n_rings + 1, points, n_points)
            label[n_rings], is_hole[n_rings] = here, top < row
            if top < row:
                # A hole: above its highest pixel is its piece, up to a known ring.
                while top > 0 and labels[top - 1, at] == here:
                    top -= 1
                part[n_rings] = part[ring_at[top, at] - 1]
            else:
                n_parts += 1
                part[n_rings] = n_parts
            n_rings += 1
            starts[n_rings] = n_points
    return (
        points[:n_points].copy(),
        starts[: n_rings + 1].copy(),
        label[:n_rings].copy(),
        part[:n_rings].copy(),
        is_hole[:n_rings].copy(),
    )


@njit
def _trace(
    labels: I32, row: int, column: int, ring_at: I32, ring: int, points: F32, n: int
) -> tuple[int, int, int]:
    """Trace one ring from the top side of a pixel.

    Returns the new number of points, and row and column of the highest pixel that it passes below.
    """
    height, width = labels.shape
    here = labels[row, column]
    first, side, before, heading_first = n, 0, -1, -1
    top, at = height, 0
    while side != 0 or ring_at[row, column] == 0:
        if side == 0:
            ring_at[row, column] = ring
        elif side == 2 and row < top:
            top, at = row, column
        x, y = column + _X_MIDDLE[side], row + _Y_MIDDLE[side]
        ahead_row, ahead_column = row + _ROW_STEP[side], column + _COLUMN_STEP[side]
        out = (side + 3) % 4
        left_row, left_column = ahead_row + _ROW_STEP[out], ahead_column + _COLUMN_STEP[out]
        if not _is(labels, ahead_row, ahead_column, height, width, here):
            heading, side = 2 * side + 1, (side + 1) % 4
        elif not _is(labels, left_row, left_column, height, width, here):
            heading, row, column = 2 * side, ahead_row, ahead_column
        else:
            heading, row, column, side = (2 * side + 7) % 8, left_row, left_column, out
        # Points within a straight line are redundant.
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
    return n, top, at


@njit
def fill(points: F32, starts: I64, rings: I64, top: int, left: int, inside: NDArray[np.bool_]) -> None:
    """Fill `inside` with the pixels of a window whose centres lie in some rings.

    Outlines cross the rows of pixel centres at the sides of pixels only, so integers suffice.
    """
    height, width = inside.shape
    inside[:] = False
    for ring in rings:
        for k in range(starts[ring], starts[ring + 1]):
            following = k + 1 if k + 1 < starts[ring + 1] else starts[ring]
            # Twice the coordinates; the centres of row r are at 2 r + 1.
            x, y = int(2 * points[k, 0]), int(2 * points[k, 1])
            across, down = int(2 * points[following, 0]) - x, int(2 * points[following, 1]) - y
            if down == 0:
                continue
            slope = across // down  # -1, 0 or 1
            low, high = min(y, y + down), max(y, y + down)
            first = max(low // 2, top)
            for row in range(first, min(high // 2, top + height)):
                column = max((x + slope * (2 * row + 1 - y)) // 2 - left, 0)
                if column < width:
                    inside[row - top, column] = not inside[row - top, column]
    for row in range(height):
        for column in range(1, width):
            inside[row, column] ^= inside[row, column - 1]


@njit
def boxes(points: F32, starts: I64, order: I64, first: I64) -> I64:
    """Bounding box of each nucleus: top, left, bottom and right, the last two exclusive; 0 without pixels."""
    found = np.zeros((first.size - 1, 4), np.int64)
    for k in range(first.size - 1):
        for place in range(first[k], first[k + 1]):
            for p in range(starts[order[place]], starts[order[place] + 1]):
                x, y = points[p, 0], points[p, 1]
                if place == first[k] and p == starts[order[place]]:
                    found[k] = (int(y), int(x), int(np.ceil(y)), int(np.ceil(x)))
                found[k, 0], found[k, 1] = min(found[k, 0], int(y)), min(found[k, 1], int(x))
                found[k, 2] = max(found[k, 2], int(np.ceil(y)))
                found[k, 3] = max(found[k, 3], int(np.ceil(x)))
    return found


@njit
def draw(
    points: F32, starts: I64, ids: I64, order: I64, first: I64, box: I64, corner: tuple[int, int], labels: I32
) -> None:
    """Draw nuclei into a window of a map, with its first pixel at row and column `corner`; later ones win."""
    height, width = labels.shape
    for k in range(ids.size):
        top, left = max(box[k, 0], corner[0]), max(box[k, 1], corner[1])
        bottom, right = min(box[k, 2], corner[0] + height), min(box[k, 3], corner[1] + width)
        if bottom <= top or right <= left:
            continue
        inside = np.empty((bottom - top, right - left), np.bool_)
        fill(points, starts, order[first[k] : first[k + 1]], top, left, inside)
        for row in range(bottom - top):
            for column in range(right - left):
                if inside[row, column]:
                    labels[row + top - corner[0], column + left - corner[1]] = ids[k]


@njit(inline="always")
def _is(labels: I32, row: int, column: int, height: int, width: int, here: int) -> bool:
    return 0 <= row < height and 0 <= column < width and labels[row, column] == here
