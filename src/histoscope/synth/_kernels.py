"""Kernels of layout and outlines: noise, depth inside glands, placement, rasterising."""

import math

import numpy as np
from numpy.typing import NDArray

from histoscope.compiled import njit

F32 = NDArray[np.float32]
N_RAYS = 64
FAR_UM = 40.0


@njit(error_model="numpy")
def sample(tile: F32, x: float, y: float) -> float:
    """Read a tileable noise field between its texels; its side is a power of two."""
    last = tile.shape[0] - 1
    fx, fy = math.floor(x), math.floor(y)
    u, v = x - fx, y - fy
    left, top = int(fx) & last, int(fy) & last
    right, bottom = (left + 1) & last, (top + 1) & last
    upper = tile[top, left] + u * (tile[top, right] - tile[top, left])
    lower = tile[bottom, left] + u * (tile[bottom, right] - tile[bottom, left])
    return float(upper + v * (lower - upper))


@njit
def box_noise(tile: F32, rows: int, columns: int, x0: float, y0: float, step: float) -> F32:
    """Sample a noise field on a grid of `rows` x `columns`, `step` texels apart."""
    out = np.empty((rows, columns), dtype=np.float32)
    for i in range(rows):
        for j in range(columns):
            out[i, j] = sample(tile, x0 + j * step, y0 + i * step)
    return out


@njit(error_model="numpy")
def gland_depth(glands: F32, rows: int, columns: int, cell: float) -> tuple[F32, F32, F32]:
    """Depth inside the nearest gland, height of its epithelium, and its tone, on the coarse grid."""
    first = np.full((rows, columns), -FAR_UM, dtype=np.float32)
    second = np.full((rows, columns), -FAR_UM, dtype=np.float32)
    height = np.full((rows, columns), 1000.0, dtype=np.float32)
    tone = np.full((rows, columns), 0.5, dtype=np.float32)
    for g in range(len(glands)):
        gx, gy, radius, stretch, angle = glands[g, :5]
        reach = 1.5 * radius * math.sqrt(stretch) + FAR_UM
        cos, sin, root = math.cos(angle), math.sin(angle), math.sqrt(stretch)
        for i in range(max(0, int((gy - reach) / cell)), min(rows, int((gy + reach) / cell) + 1)):
            for j in range(max(0, int((gx - reach) / cell)), min(columns, int((gx + reach) / cell) + 1)):
                dx, dy = j * cell - gx, i * cell - gy
                u, v = (dx * cos + dy * sin) / root, (dy * cos - dx * sin) * root
                phi = math.atan2(v, u)
                edge = 1.0
                for k in range(5):
                    edge += glands[g, 7 + k] * math.cos((k + 2) * phi + glands[g, 12 + k])
                depth = edge * radius - math.hypot(u, v)
                if depth > first[i, j]:
                    second[i, j] = first[i, j]
                    first[i, j], height[i, j], tone[i, j] = depth, glands[g, 5], glands[g, 6]
                elif depth > second[i, j]:
                    second[i, j] = depth
    for i in range(rows):
        for j in range(columns):
            # Where two glands would overlap, half the way between them becomes a thin septum.
            first[i, j] = min(first[i, j], 0.5 * (first[i, j] - second[i, j]) - 1.5)
    return first, height, tone


@njit(error_model="numpy")
def _reach(long: float, short: float, angle: float, dx: float, dy: float) -> float:
    """Radius of an ellipse in a direction."""
    phi = math.atan2(dy, dx) - angle
    return long * short / math.hypot(short * math.cos(phi), long * math.sin(phi))


@njit(error_model="numpy")
def place(
    shape: F32,
    start: NDArray[np.int64],
    wanted: NDArray[np.int64],
    extent: NDArray[np.int64],
    bucket: float,
    crowding: float = 0.0,
) -> NDArray[np.int64]:
    """Accept candidates that fit beside those accepted before, group by group, up to the number wanted.

    `shape` rows are x, y, long, short, angle; `crowding` lets them lie nearer. Each candidate is tried
    once, so the loop always ends.
    """
    rows, columns = extent
    head = np.full((rows, columns), -1, dtype=np.int64)
    following = np.full(shape.shape[1], -1, dtype=np.int64)
    kept = np.empty(shape.shape[1], dtype=np.int64)
    n = 0
    for group in range(len(wanted)):
        quota = n + wanted[group]
        for k in range(start[group], start[group + 1]):
            if n >= quota:
                break
            x, y, long, short, angle = shape[:, k]
            # Some touch or overlap, some keep away.
            room = 0.84 + 0.28 * ((k * 2654435761) % 1009) / 1009.0 - crowding
            row, column = min(max(int(y / bucket), 0), rows - 1), min(max(int(x / bucket), 0), columns - 1)
            free = True
            for i in range(max(0, row - 1), min(rows, row + 2)):
                for j in range(max(0, column - 1), min(columns, column + 2)):
                    other = head[i, j]
                    while other >= 0 and free:
                        dx, dy = shape[0, other] - x, shape[1, other] - y
                        distance = math.hypot(dx, dy)
                        if distance < long + shape[2, other]:
                            need = _reach(long, short, angle, dx, dy)
                            need += _reach(shape[2, other], shape[3, other], shape[4, other], dx, dy)
                            free = distance >= room * need
                        other = following[other]
            if free:
                following[k] = head[row, column]
                head[row, column] = k
                kept[n] = k
                n += 1
    return kept[:n]


@njit(error_model="numpy")
def rim(radii: F32, n: int, dx: float, dy: float) -> float:
    """Radius of nucleus `n` in the direction (dx, dy)."""
    turn = math.atan2(dy, dx) * (N_RAYS / (2 * math.pi)) + N_RAYS
    k = int(turn)
    part = turn - k
    a, b = radii[n, k % N_RAYS], radii[n, (k + 1) % N_RAYS]
    return float(a + part * (b - a))


@njit(error_model="numpy")
def rasterise(
    labels: NDArray[np.int32], x: F32, y: F32, radii: F32, keep: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Draw the kept nuclei (pixels) in order, the last in front; give the area of each if nothing hid it."""
    height, width = labels.shape
    area = np.zeros(len(x), dtype=np.int64)
    labels[:] = 0
    for n in range(len(x)):
        if not keep[n]:
            continue
        least, most = radii[n].min(), radii[n].max()
        reach = most + 1
        for i in range(max(0, int(y[n] - reach)), min(height, int(y[n] + reach) + 1)):
            for j in range(max(0, int(x[n] - reach)), min(width, int(x[n] + reach) + 1)):
                dx, dy = j + 0.5 - x[n], i + 0.5 - y[n]
                d2 = dx * dx + dy * dy
                if d2 <= least * least or (d2 <= most * most and d2 <= rim(radii, n, dx, dy) ** 2):
                    labels[i, j] = n + 1
                    area[n] += 1
    return area
