# mypy: disallow-untyped-decorators=False
"""Kernels of drawing: tissue, cell bodies, chromatin, light and pixels.

Kernels take a range of rows (or of nuclei) and release the GIL, so that `threads.over` can share the
work: every pixel is computed from its position alone, and the result does not depend on the split.
"""

import math

import numpy as np
from numpy.typing import NDArray

from histoscope.compiled import njit
from histoscope.synth._kernels import F32, rim, sample

Buckets = tuple[NDArray[np.int64], NDArray[np.int64], int, float]


@njit(error_model="numpy")
def _step(x: float, width: float) -> float:
    """0 below -width, 1 above width, smooth between."""
    t = min(1.0, max(0.0, 0.5 + 0.5 * x / width))
    return t * t * (3 - 2 * t)


@njit(error_model="numpy")
def _bump(x: float) -> float:
    """Close to a Gaussian of unit width, and much cheaper."""
    t = max(0.0, 1.0 - 0.2 * x * x)
    return t * t * t * t


@njit(error_model="numpy")
def _two_nearest(cells: F32, buckets: Buckets, x: float, y: float) -> tuple[float, float, int]:
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


@njit(error_model="numpy")
def _stroma(tiles: F32, across: float, along: float, cleft: float, shift: F32) -> tuple[float, float]:
    """Haematoxylin and eosin of connective tissue: dense collagen, loose filaments, and clefts between."""
    smooth, fractal = tiles[0], tiles[1]
    s = along
    # Collagen is crimped: slow bends, then ripples of a few micrometres.
    v = across + 1.8 * sample(smooth, shift[0] + s * 0.26, shift[1] + across * 0.14)
    v += 0.6 * sample(smooth, shift[1] + s * 0.9, shift[0] + across * 0.6)
    bundle = sample(fractal, shift[2] + s * 0.7, shift[3] + v * 2.4)
    fibril = sample(smooth, shift[4] + s * 0.9, shift[5] + v * 4.4)
    strand = sample(smooth, shift[5] + s * 0.32, shift[4] + v * 1.7)
    speck = sample(fractal, shift[7] + s * 9.0, shift[6] + v * 11.0)
    slack = sample(smooth, shift[6] + s * 0.07, shift[7] + v * 0.14)
    gap = sample(smooth, shift[6] + s * 0.24, shift[7] + v * 0.85) + 0.5 * bundle + 0.45 * slack
    loose = _step(slack + 0.3 * bundle - 0.35, 0.9)
    split = _bump((strand - 0.9 - 0.4 * bundle) / 0.30)  # thin pale lines between fibres
    dense_e = (0.40 + 0.10 * bundle + 0.10 * fibril + 0.06 * strand) * (1 - 0.7 * split)
    filament = max(0.0, 1.0 - 2.2 * abs(strand + 0.5 * fibril)) + 0.6 * max(
        0.0, 1.0 - 2.4 * abs(bundle + 0.4 * fibril)
    )
    loose_e = 0.10 + 0.32 * filament
    e = dense_e + loose * (loose_e - dense_e) + 0.035 * speck
    whole = 1.0 - _step(gap - cleft, 0.30)
    h = (0.07 + 0.03 * bundle) * (1 - loose) + loose * (0.06 + 0.10 * filament) + 0.02 * speck
    return max(h, 0.01) * whole, max(e, 0.03) * whole


@njit(error_model="numpy")
def _epithelium(
    tiles: F32, x: float, y: float, place: tuple[float, float, float], cell: tuple[float, float, float]
) -> tuple[float, float]:
    """Haematoxylin and eosin of epithelial cytoplasm: granules, foam, borders, apical and basal edges."""
    depth, lumen, tone = place
    near, next_, cell_tone = cell
    grain = sample(tiles[1], 31 + x * 8.0, 77 + y * 8.0)
    foam = sample(tiles[0], 11 + x * 3.4, 5 + y * 3.4)
    clump = sample(tiles[0], 51 + x * 1.5, 23 + y * 1.5)
    patch = sample(tiles[0], 91 + x * 0.35, 13 + y * 0.35)
    froth = 0.5 + 0.5 * math.tanh(1.0 * patch + 5.0 * (tone - 0.75))
    e = 0.37 + 0.14 * (tone - 0.5) + 0.14 * (cell_tone - 0.5) + 0.10 * grain + 0.085 * clump + 0.03 * patch
    h = 0.26 + 0.24 * (0.6 - tone) + 0.075 * grain + 0.06 * clump
    clear = 1.0 - (0.12 + 0.45 * froth) * _step(foam + 0.3 * grain - 0.9, 0.5)
    e, h = e * clear, h * clear
    border = _bump((next_ - near) / 0.75) * _step(near - 0.3, 0.5)
    if patch > 0.7:  # cells drawn apart
        white = 1.0 - 0.85 * border * _step(patch - 0.95, 0.25)
        e, h = e * white, h * white
    else:
        e += 0.09 * border
        h += 0.05 * border
    halo = 1.0 - 0.55 * _bump((near - 0.4) / 0.7) * cell_tone
    e, h = e * halo, h * halo
    e += 0.17 * _bump(depth / 0.9) + 0.12 * _bump((lumen + 1.0) / 0.9)
    return max(h, 0.01), max(e, 0.02)


@njit(error_model="numpy")
def _lumen(tiles: F32, x: float, y: float, lumen: float, tone: float) -> tuple[float, float]:
    """Haematoxylin and eosin inside a lumen: clear, or filled in part with pink secretion."""
    if (tone * 13.7) % 1.0 < 0.6:
        return 0.0, 0.0
    clot = (
        sample(tiles[0], x * 0.25, y * 0.25)
        + 0.5 * sample(tiles[1], x * 1.7, y * 1.7)
        + 0.2 * min(lumen, 6.0)
    )
    fill = _step(clot - 0.9, 0.5)
    return 0.03 * fill, fill * (0.2 + 0.05 * sample(tiles[1], y * 5, x * 5))


@njit(error_model="numpy")
def _purple(
    tiles: F32, x: float, y: float, dye: tuple[float, float], rough: float, basophilia: float
) -> float:
    """Haematoxylin that cytoplasm and stroma hold besides the usual: more of it in slow patches."""
    if basophilia <= 0:
        return basophilia * dye[0]
    patch = 1 + 0.3 * math.tanh(sample(tiles[0], x * 0.11, y * 0.11)) + 0.12 * rough
    return basophilia * min(1.0, 5.0 * (dye[0] + dye[1])) * patch


@njit(error_model="numpy")
def paint_tissue(
    start: int, stop: int, dye: F32, fields: F32, grid: tuple[F32, Buckets], tiles: F32, knobs: F32
) -> None:
    """Paint stroma, epithelium, clusters and lumens into rows of `dye` (H, W, 2)."""
    mpp, margin, cell_um, cleft, uneven = knobs[:5]
    shift, basophilia = knobs[5:15], knobs[15]
    cells, buckets = grid
    value = np.empty(6, dtype=np.float32)
    for i in range(start, stop):
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
            rough = sample(tiles[1], shift[9] + x * 1.6, shift[8] + y * 1.6)
            depth += 0.35 * rough
            h, e = 0.0, 0.0
            inside = _step(depth, 0.6)
            near, next_, who = 1e3, 1e3, -1
            if inside > 0 or cluster > 0.02:
                near, next_, who = _two_nearest(cells, buckets, x + 0.5 * rough, y - 0.5 * rough)
            if inside < 1:
                # Epithelium shrinks off the stroma here and there.
                loose = _bump((depth + 1.2) / 1.2) * sample(tiles[0], x * 0.13, y * 0.13)
                h, e = _stroma(tiles, across, along, cleft - 1.5 * max(0.0, loose), shift)
                if cluster > 0.02:
                    ring = _bump((near - 0.4) / 0.9) * (0.6 + 0.4 * rough)
                    web = max(0.0, 1.0 - 1.5 * abs(sample(tiles[0], x * 1.1, y * 1.1) + 0.5 * rough))
                    h = h * (1 - 0.6 * cluster) + cluster * (0.17 * ring + 0.10 * web)
                    e = e * (1 - 0.6 * cluster) + cluster * (0.14 * ring + 0.20 * web + 0.02)
            if inside > 0:
                lumen += 0.5 * rough
                empty = _step(lumen, 0.7)
                h2, e2 = 0.0, 0.0
                if empty < 1:
                    tint = cells[who, 3] if who >= 0 else 0.5
                    h2, e2 = _epithelium(tiles, x, y, (depth, lumen, tone), (near, next_, tint))
                if empty > 0:
                    h3, e3 = _lumen(tiles, x, y, lumen, tone)
                    h2, e2 = h2 + empty * (h3 - h2), e2 + empty * (e3 - e2)
                h, e = h + inside * (h2 - h), e + inside * (e2 - e)
            h += _purple(tiles, x, y, (h, e), rough, basophilia)
            slow = 1 + uneven * sample(tiles[0], shift[8] + x * 0.02, shift[9] + y * 0.02)
            dye[i, j, 0] = h * slow
            dye[i, j, 1] = e * slow


@njit(error_model="numpy")
def paint_bodies(dye: F32, bodies: F32, tiles: F32, mpp: float) -> None:
    """Lay cell bodies over the tissue, one after the other.

    A row of `bodies` is x, y, long, short (um), angle, haematoxylin, eosin, cover (0 to 1), pallor inside.
    """
    height, width = dye.shape[:2]
    for n in range(len(bodies)):
        x, y, long, short, angle, h, e, cover, pallor = bodies[n]
        cos, sin, reach = math.cos(angle), math.sin(angle), long * 1.25
        for i in range(max(0, int((y - reach) / mpp)), min(height, int((y + reach) / mpp) + 1)):
            for j in range(max(0, int((x - reach) / mpp)), min(width, int((x + reach) / mpp) + 1)):
                dx, dy = (j + 0.5) * mpp - x, (i + 0.5) * mpp - y
                u, v = (dx * cos + dy * sin) / long, (dy * cos - dx * sin) / short
                wobble = sample(tiles[0], x * 9 + dx, y * 9 + dy)
                share = math.sqrt(u * u + v * v) + 0.10 * wobble
                part = cover * _step(1.0 - share, 0.9 / short)
                if part > 0:
                    thin = 1.0 - pallor * max(0.0, 1.0 - share * share * 1.6) + 0.08 * wobble
                    dye[i, j, 0] += part * (h * thin - dye[i, j, 0])
                    dye[i, j, 1] += part * (e * thin - dye[i, j, 1])


@njit(error_model="numpy")
def paint_nuclei(
    start: int,
    stop: int,
    dye: F32,
    labels: NDArray[np.int32],
    nuclei: tuple[F32, F32, F32, F32],
    tiles: F32,
    mpp: float,
) -> None:
    """Fill nuclei number `start` to `stop` with chromatin.

    A nucleus paints only pixels that carry its label. `nuclei` are x and y of the centres, radii, and looks,
    a row of which is: haematoxylin, depth of the clumps, their size (um), haematoxylin of the rim, its width
    (um), number of nucleoli, strength of the clock face, eosin, two random numbers, and how far out of focus
    it lies (um).
    """
    x, y, radii, look = nuclei
    height, width = labels.shape
    for n in range(start, stop):
        base, clump, clump_um, edge_h, edge_um, nucleoli, clock, eosin, u, v, blur_um = look[n]
        sharp = 1.0 / (1.0 + 2.5 * blur_um)
        reach = radii[n].max() + 1
        small_um = radii[n].min() * mpp
        for i in range(max(0, int(y[n] - reach)), min(height, int(y[n] + reach) + 1)):
            for j in range(max(0, int(x[n] - reach)), min(width, int(x[n] + reach) + 1)):
                if labels[i, j] != n + 1:
                    continue
                dx, dy = j + 0.5 - x[n], i + 0.5 - y[n]
                edge_px = rim(radii, n, dx, dy)
                share = math.sqrt(dx * dx + dy * dy) / edge_px
                # Across the slim side of a long nucleus the edge is nearer than along the ray.
                inner_um = max(0.0, (1 - share) * min(edge_px * mpp, 1.6 * small_um))
                dx, dy = dx * mpp, dy * mpp
                grain = sample(tiles[0], u + dx * 4 / clump_um, v + dy * 4 / clump_um)
                fine = sample(tiles[0], v + dx * 6.5, u + dy * 6.5)
                h = base * (1 + sharp * (clump * math.tanh(1.4 * grain) + 0.45 * clump * fine))
                h += sharp * edge_h * _bump(inner_um / edge_um) * (0.85 + 0.4 * grain)
                e = eosin
                if clock > 0:
                    spokes = max(0.0, math.cos(6 * math.atan2(dy, dx) + u))
                    h += clock * spokes * _bump((share - 0.78) / 0.25)
                for k in range(int(nucleoli)):
                    turn = u * (k + 1) * 1.7
                    offset = (0.15 + 0.4 * ((v * (k + 1)) % 1.0)) * small_um
                    d = math.hypot(dx - offset * math.cos(turn), dy - offset * math.sin(turn))
                    spot = _bump(d / (0.55 + 0.3 * ((u + 0.37 * k) % 1.0)))
                    h += sharp * 0.5 * spot
                    e += 0.2 * spot
                solid = min(1.0, 0.4 * sharp + inner_um / (0.32 + blur_um))
                dye[i, j, 0] = dye[i, j, 0] * (1 - solid) + max(h, 0.08) * solid
                dye[i, j, 1] = dye[i, j, 1] * (1 - solid) + e * solid


@njit
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


@njit(error_model="numpy")
def expose(start: int, stop: int, light: F32, dye: F32, vectors: F32) -> None:
    """Beer-Lambert: share of the light of each colour that passes the dyes."""
    for i in range(start, stop):
        for j in range(dye.shape[1]):
            for c in range(3):
                light[i, j, c] = math.exp(-(dye[i, j, 0] * vectors[0, c] + dye[i, j, 1] * vectors[1, c]))


@njit(error_model="numpy")
def develop(
    start: int, stop: int, image: NDArray[np.uint8], light: F32, glass: F32, noise: float, seed: np.uint64
) -> None:
    """Turn light into 8-bit pixels, with shot noise."""
    width = light.shape[1]
    for i in range(start, stop):
        for j in range(width):
            for c in range(3):
                level = light[i, j, c]
                level += noise * math.sqrt(max(level, 0.02)) * _normal(seed, (i * width + j) * 3 + c)
                image[i, j, c] = np.uint8(min(255.0, max(0.0, level * glass[c] + 0.5)))
