# mypy: disallow-untyped-decorators=False
"""Kernels of layouts from a bank: stored nuclei rotated, deformed and placed."""

import math

import numpy as np
from numpy.typing import NDArray

from histoscope.compiled import njit
from histoscope.synth._kernels import F32

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
KNOTS = 5
"""Dents of a nucleus along each side of its box; between them stands a cubic."""
_SHARP = -0.75  # of the cubic, as OpenCV and others have it


@njit
def cubic(size: int) -> F64:
    """Weights that bring `KNOTS` values to `size` values over the same length, (size, KNOTS)."""
    weights = np.zeros((size, KNOTS))
    for i in range(size):
        at = (i + 0.5) * KNOTS / size - 0.5
        first = math.floor(at)
        for k in range(first - 1, first + 3):
            d = abs(at - k)
            if d <= 1:
                weight = ((_SHARP + 2) * d - (_SHARP + 3)) * d * d + 1
            else:
                weight = ((_SHARP * d - 5 * _SHARP) * d + 8 * _SHARP) * d - 4 * _SHARP
            weights[i, min(max(k, 0), KNOTS - 1)] += weight
    return weights


@njit(error_model="numpy")
def outline(
    shape: NDArray[np.uint8], back: F64, half: int, dents: F32, edge: int, spots: NDArray[np.int32]
) -> int:
    """Write the pixels (row, column) of a turned and dented nucleus to `spots`; give their number.

    `back` leads from a pixel, counted from the middle of a box that reaches `half` pixels each way, to the
    middle of the stored `shape`, whose border is at the level `edge`; outside of what is stored it is 0.
    """
    side = shape.shape[0]
    framed = np.zeros((side + 2, side + 2), np.float32)
    framed[1:-1, 1:-1] = shape
    weights = cubic(2 * half + 1)
    deepest = np.float32(2 * np.abs(dents).max())  # the weights of a cubic add up to less than this
    line = np.empty(KNOTS)
    beyond, one = np.float32(side + 1), np.uint64(1)
    right, down = np.float32(back[0, 0]), np.float32(back[1, 0])
    n = 0
    for i in range(2 * half + 1):
        for c in range(KNOTS):
            line[c] = 0.0
            for r in range(KNOTS):
                line[c] += weights[i, r] * dents[r, c]
        x0 = np.float32(back[0, 1] * (i - half) - back[0, 0] * half + 0.5 * (side + 1))
        y0 = np.float32(back[1, 1] * (i - half) - back[1, 0] * half + 0.5 * (side + 1))
        for j in range(2 * half + 1):
            x, y = x0 + right * np.float32(j), y0 + down * np.float32(j)
            if not (0 <= x < beyond and 0 <= y < beyond):
                continue
            p, q = np.uint64(y), np.uint64(x)  # unsigned: no check for negative indices
            u, v = x - np.float32(q), y - np.float32(p)
            upper = framed[p, q] + u * (framed[p, q + one] - framed[p, q])
            lower = framed[p + one, q] + u * (framed[p + one, q + one] - framed[p + one, q])
            above = upper + v * (lower - upper) - np.float32(edge)
            if abs(above) < deepest:
                for c in range(KNOTS):
                    above += np.float32(weights[j, c] * line[c])
            if above > 0:
                spots[n, 0], spots[n, 1] = i - half, j - half
                n += 1
    return n


@njit
def fits(
    labels: NDArray[np.int32], spots: NDArray[np.int32], n: int, row: int, column: int, overlap: float
) -> bool:
    """Whether a nucleus shows here, and at most a share `overlap` of what shows is under others."""
    height, width = labels.shape
    shown = free = 0
    for k in range(n):
        i, j = row + spots[k, 0], column + spots[k, 1]
        if 0 <= i < height and 0 <= j < width:
            shown += 1
            free += labels[i, j] == 0
    return shown > 0 and free >= (1 - overlap) * shown


@njit(error_model="numpy")
def _grain(stored: NDArray[np.int8], x: float, y: float) -> float:
    """Read stored chromatin between its pixels; beyond its border stands the border."""
    last = stored.shape[0] - 1
    x, y = min(max(x, 0.0), float(last)), min(max(y, 0.0), float(last))
    left, top = min(int(x), last - 1), min(int(y), last - 1)
    u, v = x - left, y - top
    upper = (1 - u) * stored[top, left] + u * stored[top, left + 1]
    lower = (1 - u) * stored[top + 1, left] + u * stored[top + 1, left + 1]
    return float((1 - v) * upper + v * lower)


@njit(error_model="numpy")
def stamp(
    labels: NDArray[np.int32],
    chromatin: F32,
    stored: tuple[NDArray[np.uint8], NDArray[np.int8]],
    edge: int,
    drawn: tuple[I64, F64, I64, F32, F64],
    at: I64,
    overlap: float,
) -> I64:
    """Draw nuclei one after the other, each in the first of its places where it fits; give those drawn.

    `stored` are shapes and chromatin of all nuclei, `drawn` is for each one to draw: its number in them, how
    it is turned and how far it reaches (`outline`), its dents, and the strength of its chromatin. `at` are
    the places of each, (n, tries, 2) rows and columns. What is drawn first stays in front and has label 1;
    what is under others or outside of the tile is not drawn.
    """
    shapes, grains = stored
    which, back, half, dents, contrast = drawn
    height, width = labels.shape
    middle = 0.5 * (shapes.shape[1] - 1)
    widest = 2 * half.max() + 1 if len(half) else 1
    spots = np.empty((widest * widest, 2), np.int32)
    kept = np.empty(len(which), np.int64)
    count = 0
    for k in range(len(which)):
        n = outline(shapes[which[k]], back[k], half[k], dents[k], edge, spots)
        for row, column in at[k]:
            if not fits(labels, spots, n, row, column, overlap):
                continue
            kept[count] = k
            count += 1
            for s in range(n):
                dy, dx = spots[s]
                i, j = row + dy, column + dx
                if 0 <= i < height and 0 <= j < width and labels[i, j] == 0:
                    labels[i, j] = count
                    x = back[k, 0, 0] * dx + back[k, 0, 1] * dy + middle
                    y = back[k, 1, 0] * dx + back[k, 1, 1] * dy + middle
                    chromatin[i, j] = contrast[k] * _grain(grains[which[k]], x, y)
            break
    return kept[:count]
