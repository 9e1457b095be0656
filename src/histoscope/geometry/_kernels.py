"""Compiled loops over pixels. Arrays and scalars only; checks and documentation are in the callers.

Kernels take a part ``start <= i < stop`` of the rows or columns, write only there, and release the GIL.
"""

import numpy as np

from histoscope.compiled import F32, F64, I32, I64, U8, U16, njit
from histoscope.geometry._overlap import placed

LANES = 64
Ids = U16 | I32


@njit(error_model="numpy")
def march(
    start: int,
    stop: int,
    flat: Ids,
    row_px: int,
    offsets: I64,
    lengths: F32,
    grid: int,
    out: F32,
) -> bool:
    """Follow each ray of each pixel until the id changes.

    `LANES` neighbours step together, so that ids are compared by SIMD; pixels that have left their nucleus
    are masked. `flat` is the map with a border of one pixel and rows padded to whole lanes, between `LANES`
    zeros; `offsets` are in `flat`. Returns False if a ray needs more steps than there are.
    """
    n_rays, n_steps = offsets.shape
    here, inside, steps = (
        np.empty(LANES, flat.dtype),
        np.empty(LANES, flat.dtype),
        np.empty(LANES, flat.dtype),
    )
    all_steps = np.empty((n_rays, LANES), flat.dtype)
    for i in range(start, stop):
        for left in range(0, out.shape[1] * grid, LANES):
            base = LANES + (i * grid + 1) * row_px + left + 1
            here[:] = flat[base : base + LANES]
            if not here.any():
                continue
            for k in range(n_rays):
                for lane in range(LANES):
                    inside[lane], steps[lane] = here[lane] != 0, 1
                step, someone = 1, True
                while someone:
                    if step == n_steps:
                        return False
                    # Unsigned, as Numba checks signed indices for counting from the end.
                    there, someone = np.uint64(base + offsets[k, step]), False
                    for lane in range(LANES):
                        inside[lane] &= flat[there + np.uint64(lane)] == here[lane]
                        steps[lane] += inside[lane]
                        someone |= inside[lane] != 0
                    step += 1
                all_steps[k] = steps
            for lane in range((-left) % grid, min(LANES, out.shape[1] * grid - left), grid):
                if here[lane] != 0:
                    for k in range(n_rays):
                        out[i, (left + lane) // grid, k] = lengths[k, all_steps[k, lane]]
    return True


@njit
def row_distances(start: int, stop: int, labels: I32, closed: bool, out: I32) -> None:
    """Distance to the nearest pixel of another id in the same row; `FAR` where there is none.

    Outside of the image is another id only if `closed`.
    """
    width = labels.shape[1]
    for r in range(start, stop):
        begin = 0
        while begin < width:
            end = begin + 1
            while end < width and labels[r, end] == labels[r, begin]:
                end += 1
            if labels[r, begin] != 0:
                left = begin > 0 or closed
                right = end < width or closed
                for c in range(begin, end):
                    near = FAR
                    if left:
                        near = c - begin + 1
                    if right:
                        near = min(near, end - c)
                    out[r, c] = near
            begin = end


FAR = 1 << 30


@njit
def column_distances(start: int, stop: int, labels: I32, closed: bool, in_row: I32, out: F32) -> None:
    """Squared Euclidean distances from those within rows.

    In each run of one id along a column, the answer is the lower envelope of the parabolas
    ``(r - q)^2 + in_row[q]^2`` of its pixels and of the two zeros at its ends (Felzenszwalb and Huttenlocher
    2012, doi:10.4086/toc.2012.v008a019).
    """
    height = labels.shape[0]
    place, foot = np.empty(height + 2, np.int64), np.empty(height + 2, np.int64)
    begins = np.empty(height + 3, np.float64)
    for c in range(start, stop):
        begin = 0
        while begin < height:
            end = begin + 1
            while end < height and labels[end, c] == labels[begin, c]:
                end += 1
            if labels[begin, c] != 0:
                n = 0
                for q in range(begin - 1, end + 1):
                    if begin <= q < end:
                        if in_row[q, c] == FAR:
                            continue
                        height_q = np.int64(in_row[q, c]) ** 2
                    elif (0 <= q < height) or closed:
                        height_q = np.int64(0)
                    else:
                        continue
                    cross = -np.inf
                    while n > 0:
                        p = place[n - 1]
                        cross = ((height_q + q * q) - (foot[n - 1] + p * p)) / (2.0 * (q - p))
                        if cross > begins[n - 1]:
                            break
                        n -= 1
                        cross = -np.inf
                    place[n], foot[n], begins[n] = q, height_q, cross
                    n += 1
                begins[n] = np.inf
                k = 0
                for r in range(begin, end):
                    while begins[k + 1] < r:
                        k += 1
                    out[r, c] = np.sqrt(np.float64((r - place[k]) ** 2 + foot[k])) if n > 0 else np.inf
            begin = end


@njit
def largest(index: I32, values: F32, out: F32) -> None:
    """Largest of the flat `values` of each index."""
    for i in range(index.size):
        if index[i] != 0 and values[i] > out[index[i]]:
            out[index[i]] = values[i]


@njit
def normalize(start: int, stop: int, index: I32, distance: F32, top: F32, grid: int, out: F32) -> None:
    """Divide each grid pixel's distance by the largest of its nucleus."""
    for i in range(start, stop):
        for j in range(out.shape[1]):
            k = index[i * grid, j * grid]
            if k != 0:
                out[i, j] = distance[i * grid, j * grid] / top[k]


@njit
def paint(start: int, stop: int, y: F64, x: F64, number: int, scratch: U8, out: I32) -> U8:
    """Write `number` on the free pixels of rows `start` to `stop` that lie in a polygon or on its edge.

    By O'Rourke's rule ("Computational Geometry in C", 1998, 7.4): of the edges that cross a pixel's row right
    of it, and of those left of it, the first count is odd inside, and only one of them on an edge. Counts
    change only at crossings, so changes are marked, then summed along the row. Returns a scratch buffer that
    is large enough for reuse.
    """
    n = y.size
    low_y, high_y, low_x, high_x = y[0], y[0], x[0], x[0]
    for k in range(1, n):
        low_y, high_y = min(low_y, y[k]), max(high_y, y[k])
        low_x, high_x = min(low_x, x[k]), max(high_x, x[k])
    top, bottom = max(start, int(np.floor(low_y))), min(stop - 1, int(np.ceil(high_y)))
    left = max(0, int(np.floor(low_x)))
    right = min(out.shape[1] - 1, int(np.ceil(high_x)))
    if top > bottom or left > right:
        return scratch
    width = right - left + 2
    if scratch.size < width * (bottom - top + 1):
        scratch = np.zeros(2 * width * (bottom - top + 1), np.uint8)
    for k in range(n):
        y0, x0, y1, x1 = y[k], x[k], y[k - 1], x[k - 1]
        first = max(top, int(np.ceil(min(y0, y1))))
        last = min(bottom, int(np.floor(max(y0, y1))))
        for r in range(first, last + 1):
            a, b = y0 - r, y1 - r
            row = (r - top) * width
            if (a > 0) != (b > 0):
                c = _cross_column(a, x0, b, x1, left, right, False)
                scratch[row + c + 1 - left] ^= 1
            if (a < 0) != (b < 0):
                c = _cross_column(a, x0, b, x1, left, right, True)
                scratch[row + c + 1 - left] ^= 2
        row, column = np.rint(y0), np.rint(x0)
        if abs(y0 - row) < 1e-12 and abs(x0 - column) < 1e-12:  # a corner on a pixel
            r, c = int(row), int(column)
            if top <= r <= bottom and left <= c <= right and out[r, c] == 0:
                out[r, c] = number
    for r in range(top, bottom + 1):
        row = (r - top) * width
        state = 0
        for c in range(width - 1):
            state ^= scratch[row + c]
            scratch[row + c] = 0
            if state != 0 and out[r, left + c] == 0:
                out[r, left + c] = number
        scratch[row + width - 1] = 0
    return scratch


@njit
def _cross_column(a: float, x0: float, b: float, x1: float, left: int, right: int, also: bool) -> int:
    """Last column from ``left - 1`` to `right` left of an edge's crossing (or on it, if `also`).

    The sign of one product decides, as in the rule; the quotient is only a first guess.
    """
    guess = x0 - a * (x1 - x0) / (b - a)
    c = int(max(left - 1.0, min(right + 0.0, np.floor(guess))))
    while c < right and _is_left(a, x0, b, x1, c + 1, also):
        c += 1
    while c >= left and not _is_left(a, x0, b, x1, c, also):
        c -= 1
    return c


@njit
def _is_left(a: float, x0: float, b: float, x1: float, c: int, also: bool) -> bool:
    side = ((x0 - c) * b - (x1 - c) * a) / (b - a)
    return side >= 0 if also else side > 0


@njit
def paint_all(
    start: int,
    stop: int,
    order: I64,
    points: F32,
    distances: F32,
    sines: F64,
    cosines: F64,
    out: I32,
) -> None:
    """Paint polygons in the given order on rows `start` to `stop`; what is painted stays."""
    n_rays = distances.shape[1]
    y, x = np.empty(n_rays, np.float64), np.empty(n_rays, np.float64)
    scratch = np.zeros(4096, np.uint8)
    for i in order:
        reach = np.float32(0)
        for k in range(n_rays):
            reach = max(reach, distances[i, k])
        if points[i, 0] + reach < start - 1 or points[i, 0] - reach > stop:
            continue
        for k in range(n_rays):
            y[k] = placed(points[i, 0], distances[i, k] * sines[k])
            x[k] = placed(points[i, 1], distances[i, k] * cosines[k])
        scratch = paint(start, stop, y, x, i + 1, scratch, out)
