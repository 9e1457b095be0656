# mypy: disallow-untyped-decorators=False
"""Intersection area of two polygons with integer corners: exact predicates, no special cases.

By simulation of simplicity (Edelsbrunner and Muecke 1990, doi:10.1145/77635.77639) the second polygon is
shifted infinitesimally to the right, and still less downwards. Then no corner lies on an edge of the other
polygon and no two edges are collinear.
"""

import numpy as np

from histoscope.compiled import F32, F64, I32, I64, U8, njit

_njit = njit(error_model="numpy")

Corners = I64
"""(R, 2) x, y."""
Polar = tuple[F32, F32]
NOWHERE = np.int32(2**31 - 1)


@_njit
def placed(centre: float, offset: float) -> float:
    """Coordinate of a corner, which does not depend on where the origin is.

    The offset is rounded to a 65,536th of a pixel, so that the sum is exact; in 32 bits, a corner near a
    whole number would fall on one side of it or the other as the centre is far from the origin or near.
    """
    exact: float = np.float64(centre) + np.rint(np.float64(offset) * 65536.0) / 65536.0
    return exact


@_njit
def corners(y: float, x: float, distances: F32, rays: F32, scale: float, out: Corners) -> None:
    """Corners of a star polygon in units of ``1 / scale`` px, cut (not rounded) to whole numbers."""
    for k in range(len(distances)):
        out[k, 0] = np.int64(scale * placed(x, distances[k] * rays[1, k]))
        out[k, 1] = np.int64(scale * placed(y, distances[k] * rays[0, k]))


@_njit
def _side(px: int, py: int, qx: int, qy: int, x: int, y: int) -> int:
    """Above 0 if (x, y) lies left of the line from p to q, as seen with y upwards; its size is exact."""
    return (qx - px) * (y - py) - (qy - py) * (x - px)


@_njit
def _is_left(side: int, dx: int, dy: int, shift: int) -> bool:
    """Decide the side of a point that moves by `shift` (1 or -1) of the step, from a line along (dx, dy)."""
    if side != 0:
        return side > 0
    if dy != 0:
        return (dy < 0) == (shift > 0)
    return (dx > 0) == (shift > 0)


@_njit
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


@_njit
def _edges(polygon: Corners, out: I32) -> None:
    """Write least and largest x and y of each edge as columns; an edge without length gets no box.

    Columns are as long as a multiple of eight.
    """
    out[0] = NOWHERE
    last = len(polygon) - 1
    for k in range(last + 1):
        m = 0 if k == last else k + 1
        px, py, qx, qy = polygon[k, 0], polygon[k, 1], polygon[m, 0], polygon[m, 1]
        if px != qx or py != qy:
            out[0, k], out[1, k], out[2, k], out[3, k] = min(px, qx), max(px, qx), min(py, qy), max(py, qy)


@_njit
def _meeting(edges: I32, box: tuple[int, int, int, int], out: U8) -> None:
    """Mark the edges whose boxes meet a box: one comparison of eight at a time."""
    left, right = np.int32(box[0]), np.int32(box[1])
    top, bottom = np.int32(box[2]), np.int32(box[3])
    low_x, high_x, low_y, high_y = edges[0], edges[1], edges[2], edges[3]
    for k in range(len(out)):
        out[k] = (low_x[k] <= right) & (high_x[k] >= left) & (low_y[k] <= bottom) & (high_y[k] >= top)


@_njit
def _round(value: float) -> int:
    return int(value + 0.5) if value >= 0 else int(value - 0.5)


@_njit
def _cross(a: Corners, i: int, b: Corners, j: int, n: int, events: I64, place: F64) -> int:
    """If two edges cross, describe where as event `n`; give the number of events.

    Event: edge of the first polygon, of the second, x, y (rounded), change of the second one's winding number
    when going along the first. Place: how far along the edge of the first, and of the second.
    """
    i1, j1 = (i + 1 if i + 1 < len(a) else 0), (j + 1 if j + 1 < len(b) else 0)
    px, py, qx, qy = a[i, 0], a[i, 1], a[i1, 0], a[i1, 1]
    rx, ry, sx, sy = b[j, 0], b[j, 1], b[j1, 0], b[j1, 1]
    r, s = _side(px, py, qx, qy, rx, ry), _side(px, py, qx, qy, sx, sy)
    if _is_left(r, qx - px, qy - py, 1) == _is_left(s, qx - px, qy - py, 1):
        return n
    p, q = _side(rx, ry, sx, sy, px, py), _side(rx, ry, sx, sy, qx, qy)
    p_left = _is_left(p, sx - rx, sy - ry, -1)
    if p_left == _is_left(q, sx - rx, sy - ry, -1):
        return n
    along = r / (r - s)
    events[n, 0], events[n, 1] = i, j
    events[n, 2], events[n, 3] = _round(rx + along * (sx - rx)), _round(ry + along * (sy - ry))
    events[n, 4] = -1 if p_left else 1
    place[n, 0], place[n, 1] = p / (p - q), along
    return n + 1


@_njit
def _crossings(a: Corners, b: Corners, events: I64, place: F64) -> int:
    """Find where the edges cross."""
    eights = (len(b) + 7) // 8
    edges, meets = np.empty((4, 8 * eights), np.int32), np.empty(8 * eights, np.uint8)
    _edges(b, edges)
    words = meets.view(np.uint64)
    left, right, top, bottom = b[0, 0], b[0, 0], b[0, 1], b[0, 1]
    for k in range(1, len(b)):
        left, right = min(left, b[k, 0]), max(right, b[k, 0])
        top, bottom = min(top, b[k, 1]), max(bottom, b[k, 1])
    n, last = 0, len(a) - 1
    for i in range(last + 1):
        m = 0 if i == last else i + 1
        px, py, qx, qy = a[i, 0], a[i, 1], a[m, 0], a[m, 1]
        box = (min(px, qx), max(px, qx), min(py, qy), max(py, qy))
        if box[0] > right or box[1] < left or box[2] > bottom or box[3] < top or (px == qx and py == qy):
            continue
        _meeting(edges, box, meets)
        for w in range(eights):
            if words[w] != 0:
                for k in range(8 * w, 8 * w + 8):
                    if meets[k] != 0:
                        n = _cross(a, i, b, k, n, events, place)
    return n


@_njit
def _sort(order: I64, events: I64, place: F64, of: int) -> None:
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


@_njit
def _walk(polygon: Corners, turns: int, order: I64, events: I64, of: int) -> int:
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


@_njit
def twice_shared(a: Corners, b: Corners, events: I64, place: F64) -> int:
    """Twice the area inside both polygons (winding numbers not 0), crossings rounded to whole numbers.

    `events` and `place` are scratch with a row for each pair of edges.
    """
    n = _crossings(a, b, events, place)
    order = np.empty(n, np.int64)
    in_b = _winding(b, a[0, 0], a[0, 1], -1)
    in_a = _winding(a, b[0, 0], b[0, 1], 1)
    _sort(order, events, place, 0)
    total: int = _walk(a, in_b, order, events, 0)
    _sort(order, events, place, 1)
    total += _walk(b, in_a, order, events, 1)
    return total if total > 0 else -total


@_njit
def shared_by_rows(
    start: int, stop: int, centres: Polar, distances: Polar, rays: F64, frame: tuple[float, float], out: F64
) -> None:
    """Area that row k of the first polygons shares with row k of the second.

    Corners are put on a grid of ``1 / scale`` px, rounded: all are shifted above 0 by `reach`, then cut.
    """
    scale, reach = frame
    n_rays = rays.shape[1]
    a, b = np.empty((n_rays, 2), np.int64), np.empty((n_rays, 2), np.int64)
    events = np.empty((n_rays * n_rays, 5), np.int64)
    place = np.empty((n_rays * n_rays, 2), np.float64)
    for k in range(start, stop):
        away_y = np.float64(centres[1][k, 0] - centres[0][k, 0])
        away_x = np.float64(centres[1][k, 1] - centres[0][k, 1])
        origin = reach + 0.5 / scale
        corners(origin, origin, distances[0][k], rays, scale, a)
        corners(origin + away_y, origin + away_x, distances[1][k], rays, scale, b)
        out[k] = 0.5 * twice_shared(a, b, events, place) / (scale * scale)
