# mypy: disallow-untyped-decorators=False
"""Greedy suppression with a grid of cells: compiled loops over candidates, best first.

Candidates are named by their rank. Each has a box of eight whole numbers: least and largest x, y, x + y and
x - y of its corners, that is, the tightest octagon around it.
"""

import numpy as np

from histoscope.compiled import F32, F64, I32, I64, njit
from histoscope.geometry._overlap import corners, placed, twice_shared

_njit = njit(error_model="numpy")

Shapes = tuple[I64, F32, F32, F32, F32, I32]
"""order, points, distances, rays (all by row); areas, boxes (by rank)."""
Cells = tuple[I32, I32, I32, I64]
"""First node of each cell; next node and rank of each node; top, left, log2 of the side, rows, columns."""
Scratch = tuple[I64, I64, I64, F64]


@_njit
def measure(start: int, stop: int, shapes: Shapes) -> None:
    """Fill in areas and boxes. Simple loops over whole numbers of 32 bits: eight corners at a time."""
    order, points, distances, rays, areas, boxes = shapes
    n = distances.shape[1]
    down, right = rays[0], rays[1]
    xs, ys = np.empty(n + 1, np.int32), np.empty(n + 1, np.int32)
    for rank in range(start, stop):
        i = order[rank]
        y, x = points[i, 0], points[i, 1]
        for k in range(n):
            xs[k] = np.int32(placed(x, distances[i, k] * right[k]))
            ys[k] = np.int32(placed(y, distances[i, k] * down[k]))
        xs[n], ys[n] = xs[0], ys[0]
        x0, y0 = xs[0], ys[0]
        low_x, high_x, low_y, high_y = x0, x0, y0, y0
        low_s, high_s = np.int32(x0 + y0), np.int32(x0 + y0)
        low_d, high_d = np.int32(x0 - y0), np.int32(x0 - y0)
        for k in range(n):
            low_x, high_x = min(low_x, xs[k]), max(high_x, xs[k])
            low_y, high_y = min(low_y, ys[k]), max(high_y, ys[k])
        for k in range(n):
            s, d = np.int32(xs[k] + ys[k]), np.int32(xs[k] - ys[k])
            low_s, high_s, low_d, high_d = min(low_s, s), max(high_s, s), min(low_d, d), max(high_d, d)
        twice = np.int64(0)
        if np.int64(high_x - low_x) * np.int64(high_y - low_y) < 1 << 29:  # overflows on the way cancel out
            narrow = np.int32(0)
            for k in range(n):
                one = np.int32(np.int32(xs[k] - x0) * np.int32(ys[k + 1] - y0))
                two = np.int32(np.int32(ys[k] - y0) * np.int32(xs[k + 1] - x0))
                narrow = np.int32(narrow + np.int32(one - two))
            twice = np.int64(narrow)
        else:
            for k in range(n):
                twice += np.int64(xs[k]) * np.int64(ys[k + 1]) - np.int64(ys[k]) * np.int64(xs[k + 1])
        areas[rank] = 0.5 * abs(twice)
        box = boxes[rank]
        box[0], box[1], box[2], box[3] = low_x, high_x, low_y, high_y
        box[4], box[5], box[6], box[7] = low_s, high_s, low_d, high_d


@_njit
def _bounds(a: I32, b: I32) -> tuple[float, float]:
    """Area that the octagons of two candidates share at most, and that of the octagon around both."""
    width = min(a[1], b[1]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[2], b[2])
    along = min(a[5], b[5]) - max(a[4], b[4])
    across = min(a[7], b[7]) - max(a[6], b[6])
    if width <= 0 or height <= 0 or along <= 0 or across <= 0:
        return 0.0, np.inf
    shared = min(np.float64(width) * height, 0.5 * along * across)
    low_x, high_x = np.float64(min(a[0], b[0])), np.float64(max(a[1], b[1]))
    low_y, high_y = np.float64(min(a[2], b[2])), np.float64(max(a[3], b[3]))
    cut = (high_x + high_y - max(a[5], b[5])) ** 2 + (min(a[4], b[4]) - low_x - low_y) ** 2
    cut += (high_x - low_y - max(a[7], b[7])) ** 2 + (min(a[6], b[6]) - low_x + high_y) ** 2
    return shared, (high_x - low_x) * (high_y - low_y) - 0.5 * cut


@_njit
def _decide(first: int, second: int, shapes: Shapes, threshold: float) -> int:
    """1 if the first certainly suppresses the second, 0 if certainly not, -1 if only their outlines can tell.

    Crossings are rounded, which moves them by up to 0.7 px; hence the margin.
    """
    areas, boxes = shapes[4], shapes[5]
    smaller = min(areas[first], areas[second])
    if smaller == 0:
        return 0
    a, b = boxes[first], boxes[second]
    shared, around = _bounds(a, b)
    if shared == 0:
        return 0
    margin = np.float64(min(a[1], b[1]) - max(a[0], b[0]) + min(a[3], b[3]) - max(a[2], b[2]))
    if shared + margin < threshold * smaller:
        return 0
    if np.float64(areas[first]) + areas[second] - around - margin > threshold * smaller:
        return 1
    return -1


@_njit
def _suppresses(first: int, second: int, shapes: Shapes, threshold: float, scratch: Scratch) -> bool:
    """Whether the outlines' overlap, over the smaller area, is above the threshold."""
    order, points, distances, rays, areas, _ = shapes
    a, b, events, place = scratch
    i, j = order[first], order[second]
    one = np.float32(1)
    corners(points[i, 0], points[i, 1], distances[i], rays, one, a)
    corners(points[j, 0], points[j, 1], distances[j], rays, one, b)
    shared = 0.5 * twice_shared(a, b, events, place)
    smaller = np.float64(min(areas[first], areas[second])) + 1e-10
    return bool(np.float32(shared / smaller) > np.float32(threshold))


@_njit
def _reach(box: I32, frame: I64) -> tuple[int, int, int, int]:
    """First and last row, first and last column of the cells that a box touches."""
    top, left, shift = frame[0], frame[1], frame[2]
    rows = (box[2] - top) >> shift, (box[3] - top) >> shift
    return rows[0], rows[1], (box[0] - left) >> shift, (box[1] - left) >> shift


@_njit
def _first(rank: int, since: int, shapes: Shapes, cells: Cells, threshold: float, scratch: Scratch) -> int:
    """The best kept candidate, of rank `since` or later, that suppresses this one; else its own rank."""
    head, after, who, frame = cells
    boxes = shapes[5]
    top, left, shift, columns = frame[0], frame[1], frame[2], frame[4]
    box = boxes[rank]
    first_row, last_row, first_column, last_column = _reach(box, frame)
    best = rank
    for sure in (True, False):  # first what boxes can tell: it spares most outlines
        for r in range(first_row, last_row + 1):
            for c in range(first_column, last_column + 1):
                node = head[r * columns + c]
                while node >= 0:
                    other = int(who[node])
                    node = after[node]
                    if other >= best or other < since:
                        continue
                    near = boxes[other]
                    if (max(box[2], near[2]) - top) >> shift != r or (
                        max(box[0], near[0]) - left
                    ) >> shift != c:
                        continue  # each pair is met in one cell only
                    answer = _decide(other, rank, shapes, threshold)
                    if answer == -1 and not sure:
                        answer = int(_suppresses(other, rank, shapes, threshold, scratch))
                    if answer == 1:
                        best = other
    return best


@_njit
def _scratch(n_rays: int) -> Scratch:
    return (
        np.empty((n_rays, 2), np.int64),
        np.empty((n_rays, 2), np.int64),
        np.empty((n_rays * n_rays, 5), np.int64),
        np.empty((n_rays * n_rays, 2), np.float64),
    )


@_njit
def look_up(
    start: int, stop: int, first: int, shapes: Shapes, cells: Cells, threshold: float, winner: I64
) -> None:
    """Find what suppresses each candidate of rank ``first + start`` to ``first + stop`` among those kept."""
    scratch = _scratch(shapes[3].shape[1])
    for rank in range(first + start, first + stop):
        winner[rank] = _first(rank, 0, shapes, cells, threshold, scratch)


@_njit
def suppress(
    first: int, last: int, shapes: Shapes, cells: Cells, used: int, threshold: float,
    winner: I64
) -> tuple[Cells, int]:  # fmt: skip
    """Greedy non-maximum suppression of a chunk, in order of score; what is kept enters the cells."""
    head, after, who, frame = cells
    boxes = shapes[5]
    columns = frame[4]
    scratch = _scratch(shapes[3].shape[1])
    for rank in range(first, last):
        if winner[rank] != rank:
            continue
        winner[rank] = _first(rank, first, shapes, (head, after, who, frame), threshold, scratch)
        if winner[rank] != rank:
            continue
        first_row, last_row, first_column, last_column = _reach(boxes[rank], frame)
        for r in range(first_row, last_row + 1):
            for c in range(first_column, last_column + 1):
                if used == len(after):
                    after = np.concatenate((after, np.empty(used, np.int32)))
                    who = np.concatenate((who, np.empty(used, np.int32)))
                cell = r * columns + c
                after[used], who[used] = head[cell], rank
                head[cell] = used
                used += 1
    return (head, after, who, frame), used
