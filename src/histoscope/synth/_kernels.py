"""Hot loops of the generator. Arrays and scalars only; the public functions check and explain.

Kernels that paint take a range of rows (or of nuclei) and release the GIL, so that plain threads can share
the work: every pixel is computed from its position alone, and the result does not depend on the split.
"""

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
N_RAYS = 64
FAR_UM = 40.0


@nb.njit(cache=True, nogil=True, error_model="numpy")
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


@nb.njit(cache=True, nogil=True)
def box_noise(tile: F32, rows: int, columns: int, x0: float, y0: float, step: float) -> F32:
    """Sample a noise field on a grid of `rows` x `columns`, `step` texels apart."""
    out = np.empty((rows, columns), dtype=np.float32)
    for i in range(rows):
        for j in range(columns):
            out[i, j] = sample(tile, x0 + j * step, y0 + i * step)
    return out


@nb.njit(cache=True, nogil=True, error_model="numpy")
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


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _reach(long: float, short: float, angle: float, dx: float, dy: float) -> float:
    """Radius of an ellipse in a direction."""
    phi = math.atan2(dy, dx) - angle
    return long * short / math.hypot(short * math.cos(phi), long * math.sin(phi))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def place(
    shape: F32, start: NDArray[np.int64], wanted: NDArray[np.int64], extent: NDArray[np.int64], bucket: float
) -> NDArray[np.int64]:
    """Accept candidates that fit beside those accepted before, group by group, up to the number wanted.

    `shape` rows are x, y, long, short, angle. Each candidate is looked at once, so the loop always ends.
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
            room = 0.84 + 0.28 * ((k * 2654435761) % 1009) / 1009.0  # some touch or overlap, some keep away
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


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _rim(radii: F32, n: int, dx: float, dy: float) -> float:
    """Radius of nucleus `n` in the direction (dx, dy)."""
    turn = math.atan2(dy, dx) * (N_RAYS / (2 * math.pi)) + N_RAYS
    k = int(turn)
    part = turn - k
    a, b = radii[n, k % N_RAYS], radii[n, (k + 1) % N_RAYS]
    return float(a + part * (b - a))


@nb.njit(cache=True, nogil=True, error_model="numpy")
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
        reach = radii[n].max() + 1
        for i in range(max(0, int(y[n] - reach)), min(height, int(y[n] + reach) + 1)):
            for j in range(max(0, int(x[n] - reach)), min(width, int(x[n] + reach) + 1)):
                dx, dy = j + 0.5 - x[n], i + 0.5 - y[n]
                if dx * dx + dy * dy <= _rim(radii, n, dx, dy) ** 2:
                    labels[i, j] = n + 1
                    area[n] += 1
    return area


@nb.njit(cache=True, nogil=True)
def _flood(labels: NDArray[np.int32], i: int, j: int, new: int, stack: NDArray[np.int32]) -> int:
    """Give the 4-connected piece at (i, j) the label `new`; give its size."""
    old = labels[i, j]
    labels[i, j] = new
    stack[0, 0], stack[0, 1] = i, j
    depth, size = 1, 0
    while depth:
        depth -= 1
        size += 1
        a, b = stack[depth]
        for di, dj in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            p, q = a + di, b + dj
            if 0 <= p < labels.shape[0] and 0 <= q < labels.shape[1] and labels[p, q] == old:
                labels[p, q] = new
                stack[depth, 0], stack[depth, 1] = p, q
                depth += 1
    return size


@nb.njit(cache=True, nogil=True)
def keep_largest_piece(labels: NDArray[np.int32], n_labels: int, largest: int) -> NDArray[np.int64]:
    """Erase all but the largest 4-connected piece of each nucleus; give the area that is left of each.

    `largest` is the area of the biggest nucleus.
    """
    size = np.zeros(n_labels, dtype=np.int64)
    seed = np.zeros((n_labels, 2), dtype=np.int32)
    stack = np.empty((4 * largest + 4, 2), dtype=np.int32)
    # Visited pieces carry negative labels, so that each pixel is flooded at most twice.
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            label = labels[i, j]
            if label > 0:
                piece = _flood(labels, i, j, -label, stack)
                if piece > size[label - 1]:
                    if size[label - 1]:
                        _flood(labels, seed[label - 1, 0], seed[label - 1, 1], 0, stack)
                    size[label - 1] = piece
                    seed[label - 1, 0], seed[label - 1, 1] = i, j
                else:
                    _flood(labels, i, j, 0, stack)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            labels[i, j] = -labels[i, j]
    return size


@nb.njit(cache=True, nogil=True, error_model="numpy")
def paint_nuclei(
    dye: F32,
    labels: NDArray[np.int32],
    geometry: tuple[F32, F32, F32],
    look: F32,
    tiles: F32,
    mpp: float,
    first: int,
    last: int,
) -> None:
    """Fill nuclei `first` to `last` with chromatin; a nucleus paints only pixels that carry its label."""
    x, y, radii = geometry
    height, width = labels.shape
    for n in range(first, last):
        base, clump, clump_um, rim, rim_um, nucleoli, clock, eosin, u, v = look[n]
        reach = radii[n].max() + 1
        for i in range(max(0, int(y[n] - reach)), min(height, int(y[n] + reach) + 1)):
            for j in range(max(0, int(x[n] - reach)), min(width, int(x[n] + reach) + 1)):
                if labels[i, j] != n + 1:
                    continue
                dx, dy = j + 0.5 - x[n], i + 0.5 - y[n]
                edge_px = _rim(radii, n, dx, dy)
                share = math.hypot(dx, dy) / edge_px
                inner_um = max(0.0, (1 - share) * edge_px * mpp)
                dx, dy = dx * mpp, dy * mpp
                grain = sample(tiles[0], u + dx * 4 / clump_um, v + dy * 4 / clump_um)
                fine = sample(tiles[1], v + dx * 5, u + dy * 5)
                h = base * (1 + clump * math.tanh(1.3 * grain) + 0.08 * fine)
                h += rim * math.exp(-((inner_um / rim_um) ** 2))
                e = eosin
                if clock > 0:
                    spokes = max(0.0, math.cos(6 * math.atan2(dy, dx) + u))
                    h += clock * spokes * math.exp(-(((share - 0.75) / 0.22) ** 2))
                for k in range(int(nucleoli)):
                    a = u * (k + 1) * 1.7
                    offset = 0.35 * (0.3 + 0.7 * ((v * (k + 1)) % 1.0)) * radii[n].min() * mpp
                    d = math.hypot(dx - offset * math.cos(a), dy - offset * math.sin(a)) / (
                        0.62 + 0.35 * (u % 1.0)
                    )
                    spot = math.exp(-(d**4))
                    h += 0.45 * spot
                    e += 0.25 * spot
                solid = min(1.0, 0.5 + inner_um / 0.3)
                dye[i, j, 0] = dye[i, j, 0] * (1 - solid) + max(h, 0.05) * solid
                dye[i, j, 1] = dye[i, j, 1] * (1 - solid) + e * solid


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _two_nearest(
    cells: F32, buckets: tuple[NDArray[np.int64], NDArray[np.int64], int, float], x: float, y: float
) -> tuple[float, float, int]:
    """Distances beyond the nuclear edge to the two nearest cells, and the nearest one's row (-1 if none)."""
    start, items, columns, side = buckets
    rows = (len(start) - 1) // columns
    row, column = int(y / side), int(x / side)
    near, next_, who = 1e3, 1e3, -1
    for i in range(max(0, row - 1), min(rows, row + 2)):
        for j in range(max(0, column - 1), min(columns, column + 2)):
            for k in range(start[i * columns + j], start[i * columns + j + 1]):
                n = items[k]
                dx, dy = cells[n, 0] - x, cells[n, 1] - y
                d = math.sqrt(dx * dx + dy * dy) - cells[n, 2]
                if d < near:
                    near, next_, who = d, near, n
                elif d < next_:
                    next_ = d
    return near, next_, who


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _step(x: float, width: float) -> float:
    """0 below -width, 1 above width, smooth between."""
    t = min(1.0, max(0.0, 0.5 + 0.5 * x / width))
    return t * t * (3 - 2 * t)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _stroma(tiles: F32, across: float, along: float, cleft: float, shift: F32) -> tuple[float, float]:
    """Haematoxylin and eosin of collagen: bundles, fibres in them, and clefts between."""
    wave = 0.7 * sample(tiles[0], shift[0] + along * 0.16, shift[1] + across * 0.05)
    v = across + wave
    bundle = sample(tiles[1], shift[2] + along * 0.1, shift[3] + v * 0.9)
    fibre = sample(tiles[0], shift[4] + along * 0.22, shift[5] + v * 2.6)
    gap = sample(tiles[0], shift[6] + along * 0.13, shift[7] + v * 0.62) + 0.3 * bundle
    open_ = _step(gap - cleft, 0.35)
    e = 0.44 + 0.13 * bundle + 0.09 * fibre
    return 0.07 * (1 - open_), max(0.03, e) * (1 - 0.95 * open_)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _epithelium(
    tiles: F32, x: float, y: float, place: tuple[float, float, float], cell: tuple[float, float, float, float]
) -> tuple[float, float]:
    """Haematoxylin and eosin of epithelial cytoplasm: granules, cell borders, apical and basal edges."""
    depth, lumen, tone = place
    near, next_, cell_tone, kind = cell
    grain = sample(tiles[1], 31 + x * 4.5, 77 + y * 4.5)
    e = 0.34 + 0.10 * (tone - 0.5) + 0.12 * (cell_tone - 0.5) + 0.07 * grain
    h = 0.15 + 0.12 * (1 - tone) + 0.03 * grain
    border = math.exp(-(((next_ - near) / 0.55) ** 2)) * _step(near - 0.5, 0.5)
    e += 0.10 * border
    h += 0.04 * border
    if near < 30:
        e *= 1 - 0.25 * math.exp(-(((near - 0.5) / 0.7) ** 2)) * cell_tone
    e += 0.16 * math.exp(-((depth / 0.8) ** 2)) + 0.1 * math.exp(-(((lumen + 1.0) / 0.9) ** 2))
    return max(h, 0.0), max(e, 0.02)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def paint_tissue(
    dye: F32,
    fields: F32,
    cells: F32,
    buckets: tuple[NDArray[np.int64], NDArray[np.int64], int, float],
    tiles: F32,
    knobs: F32,
    rows: tuple[int, int],
) -> None:
    """Paint stroma, epithelium, clusters and lumens into rows of `dye` (H, W, 2)."""
    mpp, margin, cell_um, cleft, uneven = knobs[:5]
    shift = knobs[5:]
    value = np.empty(6, dtype=np.float32)
    for i in range(rows[0], rows[1]):
        y = (i + 0.5) * mpp + margin
        top = int(y / cell_um)
        v = y / cell_um - top
        for j in range(dye.shape[1]):
            x = (j + 0.5) * mpp + margin
            left = int(x / cell_um)
            u = x / cell_um - left
            for k in range(6):
                upper = fields[top, left, k] * (1 - u) + fields[top, left + 1, k] * u
                lower = fields[top + 1, left, k] * (1 - u) + fields[top + 1, left + 1, k] * u
                value[k] = upper * (1 - v) + lower * v
            depth, lumen, across, along, cluster, tone = value
            h, e = 0.0, 0.0
            inside = _step(depth, 0.7)
            crowd = cluster > 0.02
            near, next_, who = 1e3, 1e3, -1
            if inside > 0 or crowd:
                near, next_, who = _two_nearest(cells, buckets, x, y)
            if inside < 1:
                # Epithelium shrinks off the stroma here and there.
                loose = 0.9 * math.exp(-(((depth + 1.2) / 1.3) ** 2)) * sample(tiles[0], x * 0.12, y * 0.12)
                h, e = _stroma(tiles, across, along, cleft - 1.6 * loose, shift)
                if crowd:
                    ring = math.exp(-(((near - 0.3) / 0.9) ** 2))
                    h = h * (1 - 0.6 * cluster) + 0.16 * cluster * ring
                    e = e * (1 - 0.65 * cluster) + 0.16 * cluster * ring
            if inside > 0:
                cell_tone, kind = (cells[who, 3], cells[who, 4]) if who >= 0 else (0.5, 1.0)
                h2, e2 = _epithelium(tiles, x, y, (depth, lumen, tone), (near, next_, cell_tone, kind))
                empty = _step(lumen, 0.8)
                h, e = h + inside * (h2 * (1 - empty) - h), e + inside * (e2 * (1 - empty) - e)
            slow = 1 + uneven * sample(tiles[0], shift[8] + x * 0.02, shift[9] + y * 0.02)
            dye[i, j, 0] = h * slow
            dye[i, j, 1] = e * slow


@nb.njit(cache=True, nogil=True)
def _normal(seed: np.uint64, k: int) -> float:
    """Near-normal number of spread 1 from a counter: the sum of four uniform bytes pairs."""
    z = seed + np.uint64(k) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    total = 0
    for shift in (0, 16, 32, 48):
        total += int((z >> np.uint64(shift)) & np.uint64(0xFFFF))
    return (total - 131070.0) / 37837.0


@nb.njit(cache=True, nogil=True, error_model="numpy")
def expose(light: F32, dye: F32, vectors: F32, rows: tuple[int, int]) -> None:
    """Beer-Lambert: share of the light of each colour that passes the dyes."""
    for i in range(rows[0], rows[1]):
        for j in range(dye.shape[1]):
            for c in range(3):
                light[i, j, c] = math.exp(-(dye[i, j, 0] * vectors[0, c] + dye[i, j, 1] * vectors[1, c]))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def develop(
    image: NDArray[np.uint8], light: F32, glass: F32, noise: float, seed: np.uint64, rows: tuple[int, int]
) -> None:
    """Turn light into 8-bit pixels, with shot noise."""
    width = light.shape[1]
    for i in range(rows[0], rows[1]):
        for j in range(width):
            for c in range(3):
                level = light[i, j, c]
                level += noise * math.sqrt(max(level, 0.02)) * _normal(seed, (i * width + j) * 3 + c)
                image[i, j, c] = np.uint8(min(255.0, max(0.0, level * glass[c] + 0.5)))
