# mypy: disallow-untyped-decorators=False
"""Area that two polygons with whole-number corners share: exact predicates, no special cases.

The second polygon is thought to be shifted by a step too small to change any area, to the right and still
less downwards (Edelsbrunner and Muecke 1990, doi:10.1145/77635.77639). Then no corner lies on an edge of the
other polygon and no two edges lie on one line, so shared corners and edges need no code of their own.
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

Corners = NDArray[np.int64]
"""(R, 2) x, y."""


@nb.njit(cache=True, nogil=True)
def corners(
    y: float,
    x: float,
    distances: NDArray[np.float32],
    rays: NDArray[np.float32],
    scale: float,
    out: Corners,
) -> None:
    """Corners of a star polygon in units of ``1 / scale`` px, cut (not rounded) to whole numbers."""
    for k in range(len(rays)):
        out[k, 0] = np.int64(scale * (x + distances[k] * rays[k, 1]))
        out[k, 1] = np.int64(scale * (y + distances[k] * rays[k, 0]))


@nb.njit(cache=True, nogil=True)
def twice_area(polygon: Corners) -> int:
    """Twice the signed area; positive where angles grow from x to y."""
    total = polygon[-1, 0] * polygon[0, 1] - polygon[-1, 1] * polygon[0, 0]
    for k in range(1, len(polygon)):
        total += polygon[k - 1, 0] * polygon[k, 1] - polygon[k - 1, 1] * polygon[k, 0]
    return total


@nb.njit(cache=True, nogil=True)
def _side(px: int, py: int, qx: int, qy: int, x: int, y: int) -> int:
    """Above 0 if (x, y) lies left of the line from p to q, as seen with y upwards; its size is exact."""
    return (qx - px) * (y - py) - (qy - py) * (x - px)


@nb.njit(cache=True, nogil=True)
def _is_left(side: int, dx: int, dy: int, shift: int) -> bool:
    """Decide the side of a point that moves by `shift` (1 or -1) of the step, from a line along (dx, dy)."""
    if side != 0:
        return side > 0
    if dy != 0:
        return (dy < 0) == (shift > 0)
    return (dx > 0) == (shift > 0)


@nb.njit(cache=True, nogil=True)
def _winding(polygon: Corners, x: int, y: int, shift: int) -> int:
    """How often a polygon goes around a point that moves by `shift` of the step."""
    turns = 0
    px, py = polygon[-1, 0], polygon[-1, 1]
    p_below = py > y or (py == y and shift < 0)
    for k in range(len(polygon)):
        qx, qy = polygon[k, 0], polygon[k, 1]
        q_below = qy > y or (qy == y and shift < 0)
        if p_below != q_below:
            left = _is_left(_side(px, py, qx, qy, x, y), qx - px, qy - py, shift)
            if q_below and left:
                turns += 1
            elif p_below and not left:
                turns -= 1
        px, py, p_below = qx, qy, q_below
    return turns


@nb.njit(cache=True, nogil=True)
def _near(polygon: Corners, other: Corners, out: NDArray[np.int64]) -> int:
    """List the edges (by their first corner) whose box meets the other polygon's box."""
    low_x, low_y, high_x, high_y = other[0, 0], other[0, 1], other[0, 0], other[0, 1]
    for k in range(1, len(other)):
        low_x, high_x = min(low_x, other[k, 0]), max(high_x, other[k, 0])
        low_y, high_y = min(low_y, other[k, 1]), max(high_y, other[k, 1])
    n, last = 0, len(polygon) - 1
    for k in range(last + 1):
        m = 0 if k == last else k + 1
        px, py, qx, qy = polygon[k, 0], polygon[k, 1], polygon[m, 0], polygon[m, 1]
        if px == qx and py == qy:
            continue
        if max(px, qx) >= low_x and min(px, qx) <= high_x and max(py, qy) >= low_y and min(py, qy) <= high_y:
            out[n] = k
            n += 1
    return n


@nb.njit(cache=True, nogil=True)
def _round(value: float) -> int:
    return np.int64(value + 0.5) if value >= 0 else np.int64(value - 0.5)


@nb.njit(cache=True, nogil=True)
def _crossings(a: Corners, b: Corners, events: NDArray[np.int64], place: NDArray[np.float64]) -> int:
    """Find where the edges cross.

    Event: edge of `a`, edge of `b`, x, y (rounded), change of the winding number of `b` when going along `a`.
    Place: how far along the edge of `a`, and of `b`.
    """
    near_a, near_b = np.empty(len(a), np.int64), np.empty(len(b), np.int64)
    n_a, n_b = _near(a, b, near_a), _near(b, a, near_b)
    n = 0
    for i in near_a[:n_a]:
        i1 = i + 1 if i + 1 < len(a) else 0
        px, py, qx, qy = a[i, 0], a[i, 1], a[i1, 0], a[i1, 1]
        low_y, high_y, low_x, high_x = min(py, qy), max(py, qy), min(px, qx), max(px, qx)
        for j in near_b[:n_b]:
            j1 = j + 1 if j + 1 < len(b) else 0
            rx, ry, sx, sy = b[j, 0], b[j, 1], b[j1, 0], b[j1, 1]
            if max(ry, sy) < low_y or min(ry, sy) > high_y or max(rx, sx) < low_x or min(rx, sx) > high_x:
                continue
            r, s = _side(px, py, qx, qy, rx, ry), _side(px, py, qx, qy, sx, sy)
            r_left = _is_left(r, qx - px, qy - py, 1)
            if r_left == _is_left(s, qx - px, qy - py, 1):
                continue
            p, q = _side(rx, ry, sx, sy, px, py), _side(rx, ry, sx, sy, qx, qy)
            p_left = _is_left(p, sx - rx, sy - ry, -1)
            if p_left == _is_left(q, sx - rx, sy - ry, -1):
                continue
            along = r / (r - s)
            events[n, 0], events[n, 1] = i, j
            events[n, 2], events[n, 3] = _round(rx + along * (sx - rx)), _round(ry + along * (sy - ry))
            events[n, 4] = -1 if p_left else 1
            place[n, 0], place[n, 1] = p / (p - q), along
            n += 1
    return n


@nb.njit(cache=True, nogil=True)
def _sort(order: NDArray[np.int64], events: NDArray[np.int64], place: NDArray[np.float64], of: int) -> None:
    """Order events along polygon 0 or 1; there are few."""
    for k in range(len(order)):
        m = k
        while m > 0:
            before = order[m - 1]
            if events[before, of] < events[k, of] or (
                events[before, of] == events[k, of] and place[before, of] <= place[k, of]
            ):
                break
            order[m] = before
            m -= 1
        order[m] = k


@nb.njit(cache=True, nogil=True)
def _walk(polygon: Corners, turns: int, order: NDArray[np.int64], events: NDArray[np.int64], of: int) -> int:
    """Sum ``x dy - y dx`` over the parts of a polygon's outline that lie in the other polygon."""
    total, k, last = 0, 0, len(polygon) - 1
    for i in range(last + 1):
        m = 0 if i == last else i + 1
        x, y = polygon[i, 0], polygon[i, 1]
        while k < len(order) and events[order[k], of] == i:
            next_x, next_y = events[order[k], 2], events[order[k], 3]
            if turns != 0:
                total += x * next_y - y * next_x
            turns += events[order[k], 4] if of == 0 else -events[order[k], 4]
            x, y = next_x, next_y
            k += 1
        if turns != 0:
            total += x * polygon[m, 1] - y * polygon[m, 0]
    return total


@nb.njit(cache=True, nogil=True)
def twice_shared(a: Corners, b: Corners, events: NDArray[np.int64], place: NDArray[np.float64]) -> int:
    """Twice the area inside both polygons (winding numbers not 0), crossings rounded to whole numbers.

    `events` and `place` are scratch with a row for each pair of edges.
    """
    n = _crossings(a, b, events, place)
    order = np.empty(n, np.int64)
    in_b = _winding(b, a[0, 0], a[0, 1], -1)
    in_a = _winding(a, b[0, 0], b[0, 1], 1)
    _sort(order, events, place, 0)
    total = _walk(a, in_b, order, events, 0)
    _sort(order, events, place, 1)
    return abs(total + _walk(b, in_a, order, events, 1))
