"""Compiled loops over pixels. Arrays and scalars only; checks and documentation are in the callers.

Most kernels take the part ``start <= i < stop`` of the pixels that they work on, and release the GIL, so that
`histoscope.threads` can hand parts to threads.
"""

import numpy as np
from numpy.typing import NDArray

from histoscope.compiled import F32, F64, I64, U8, U16, U64, njit

_BITS = np.uint64(21)
_FIELD = np.uint64((1 << 21) - 1)

COLD = np.float32(0.35)
"""Excess red absorption of a stain, as a share of green; that of bluish haematoxylins is 0.2."""


@njit
def map_pixels(start: int, stop: int, pixels: U8, sums: U64, tables: U8, out: U8) -> None:
    """Out channel o = tables[o, field o of the sum of one packed entry per input channel]."""
    for i in range(start, stop):
        packed = sums[0, pixels[i, 0]] + sums[1, pixels[i, 1]] + sums[2, pixels[i, 2]]
        out[i, 0] = tables[0, packed & _FIELD]
        out[i, 1] = tables[1, (packed >> _BITS) & _FIELD]
        out[i, 2] = tables[2, packed >> (_BITS + _BITS)]


@njit(fastmath=True)
def map_tissue(start: int, stop: int, pixels: U8, density: F32, sums: U64, tables: U8, out: U8) -> None:
    """As `map_pixels`, as far as each pixel is tissue."""
    for i in range(start, stop):
        r, g, b = pixels[i, 0], pixels[i, 1], pixels[i, 2]
        weight = tissueness(density[0, r], density[1, g], density[2, b], COLD)
        packed = sums[0, r] + sums[1, g] + sums[2, b]
        # Without a branch for full weight, which is hard to predict.
        out[i, 0] = _between(r, tables[0, packed & _FIELD], weight)
        out[i, 1] = _between(g, tables[1, (packed >> _BITS) & _FIELD], weight)
        out[i, 2] = _between(b, tables[2, packed >> (_BITS + _BITS)], weight)


@njit(inline="always")
def _between(old: np.uint8, new: np.uint8, weight: int) -> np.uint8:
    """Level between two, `weight` of 256 on the way from the old to the new."""
    return np.uint8((np.int32(old) * (256 - weight) + np.int32(new) * weight + 128) >> 8)


@njit(fastmath=True, inline="always")
def tissueness(red: np.float32, green: np.float32, blue: np.float32, cold: np.float32) -> int:
    """Weight of a pixel as stained tissue, in 256ths, from its density below the white point.

    A product of ramps, five times faster than with branches or exponentials.
    """
    one, zero, half = np.float32(1.0), np.float32(0.0), np.float32(0.5)
    least, most = min(red, green, blue), max(red, green, blue)
    mean, span = (red + green + blue) * np.float32(1.0 / 3.0), most - least
    weight = min(one, max(zero, (mean - np.float32(0.05)) * np.float32(10.0)))  # glass has none
    # Shaded glass, dust and bubbles are grey.
    grey = np.float32(0.03) + (np.float32(0.08) + np.float32(0.05) * mean) * mean
    weight *= min(one, max(zero, np.float32(2.0) * span / grey - one))
    # Blue and green ink: no mixture of haematoxylin and eosin absorbs so much red relative to green. Levels
    # below 8 are clipped, as noise dominates there.
    held = min(green, np.float32(3.5))
    usual = max(np.float32(0.9) * held, np.float32(0.75) * held + np.float32(0.8) * blue)
    usual = min(usual, np.float32(1.2) * held) + cold * held
    beyond = min(red, np.float32(3.5)) - usual - np.float32(0.05)
    weight *= min(one, max(zero, one - np.float32(10.0) * beyond))
    # Black ink, folds and the frame of the slide: darker than level 60 in all channels and nearly alike.
    black = np.float32(1.3) * least - np.float32(1.42)
    weight *= min(one, max(zero, np.float32(4.0) * (span - black) + half))
    # Red ink: lets red through, and much less of both others than bone and most blood do.
    glaring = min(np.float32(1.6), np.float32(0.75) + np.float32(1.3) * red)
    weight *= min(one, max(zero, np.float32(6.0) * (glaring - min(green, blue) + red) + half))
    return int(weight * np.float32(256.0) + half)


@njit
def is_tissue(red: np.float32, green: np.float32, blue: np.float32, least: float) -> bool:
    """Whether a pixel counts as tissue, from its density below the white point."""
    return bool(red + green + blue >= 3.0 * least) and tissueness(red, green, blue, COLD) >= 224


@njit
def tissue(start: int, stop: int, pixels: U8, density: F32, least: float, out: NDArray[np.bool_]) -> None:
    """Mark the tissue pixels."""
    for i in range(start, stop):
        out[i] = is_tissue(
            density[0, pixels[i, 0]], density[1, pixels[i, 1]], density[2, pixels[i, 2]], least
        )


@njit
def sample_tissue(pixels: U8, strata: int, density: F32, least: float, out: U8) -> int:
    """Copy one pixel of each stratum, if it is tissue, to `out`; return their number.

    Its position is a hash of the stratum's number: reproducible, and not aligned with any texture.
    """
    total = len(pixels)
    found = 0
    for k in range(strata):
        low = k * total // strata
        width = (k + 1) * total // strata - low
        mixed = (np.uint64(k) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        i = low + np.int64((mixed >> np.uint64(33)) % np.uint64(width))
        r, g, b = pixels[i, 0], pixels[i, 1], pixels[i, 2]
        if is_tissue(density[0, r], density[1, g], density[2, b], least):
            out[found, 0], out[found, 1], out[found, 2] = r, g, b
            found += 1
    return found


@njit
def window_means(image: U8, rows: I64, columns: I64, height: int, width: int, out: U8) -> None:
    """Mean colour of each window of (height, width) pixels, rounded."""
    count = height * width
    for j in range(len(rows)):
        for i in range(len(columns)):
            red = green = blue = count // 2
            for y in range(rows[j], rows[j] + height):
                for x in range(columns[i], columns[i] + width):
                    red += image[y, x, 0]
                    green += image[y, x, 1]
                    blue += image[y, x, 2]
            out[j, i, 0], out[j, i, 1], out[j, i, 2] = red // count, green // count, blue // count


@njit(fastmath=True)
def sparse_moments(density: F32, stains: F64, penalty: float) -> tuple[F64, F64, float]:
    """Moments of the sparse non-negative codes of (3, N) density in two unit stains.

    Returns codes' codes (2, 2), codes' density (2, 3) and the sum of the codes, for the dictionary update.
    With two stains, the non-negative lasso has a closed form of four cases.
    """
    h0, h1, h2 = np.float32(stains[0, 0]), np.float32(stains[0, 1]), np.float32(stains[0, 2])
    e0, e1, e2 = np.float32(stains[1, 0]), np.float32(stains[1, 1]), np.float32(stains[1, 2])
    overlap = h0 * e0 + h1 * e1 + h2 * e2
    scale = np.float32(1.0) / (np.float32(1.0) - overlap * overlap)
    zero, lam = np.float32(0.0), np.float32(penalty)
    hh = he = ee = h_x0 = h_x1 = h_x2 = e_x0 = e_x1 = e_x2 = total = np.float64(0.0)
    for i in range(density.shape[1]):
        x0, x1, x2 = density[0, i], density[1, i], density[2, i]
        on_h = h0 * x0 + h1 * x1 + h2 * x2 - lam
        on_e = e0 * x0 + e1 * x1 + e2 * x2 - lam
        h = (on_h - overlap * on_e) * scale
        e = (on_e - overlap * on_h) * scale
        only_h, only_e = max(on_h, zero), max(on_e, zero)
        h, e = (zero if h < zero else (only_h if e < zero else h)), (only_e if h < zero else max(e, zero))
        hh += h * h
        he += h * e
        ee += e * e
        h_x0 += h * x0
        h_x1 += h * x1
        h_x2 += h * x2
        e_x0 += e * x0
        e_x1 += e * x1
        e_x2 += e * x2
        total += h + e
    return np.array([[hh, he], [he, ee]]), np.array([[h_x0, h_x1, h_x2], [e_x0, e_x1, e_x2]]), total


@njit
def root_moments(pixels: U8, sums: U64, root: F32) -> F64:
    """Sums and sums of squares, (2, 3), of fy, fx - fy and fy - fz, of which L, a and b are multiples."""
    moments = np.zeros((2, 3))
    for i in range(len(pixels)):
        packed = sums[0, pixels[i, 0]] + sums[1, pixels[i, 1]] + sums[2, pixels[i, 2]]
        fx, fy = np.float64(root[packed & _FIELD]), np.float64(root[(packed >> _BITS) & _FIELD])
        a, b = fx - fy, fy - np.float64(root[packed >> (_BITS + _BITS)])
        moments[0, 0] += fy
        moments[0, 1] += a
        moments[0, 2] += b
        moments[1, 0] += fy * fy
        moments[1, 1] += a * a
        moments[1, 2] += b * b
    return moments


@njit(fastmath=True)
def map_lab(
    start: int,
    stop: int,
    pixels: U8,
    density: F32,
    cold: np.float32,
    sums: U64,
    root: U16,
    gain: F32,
    offset: F32,
    back: F32,
    gamma: U8,
    out: U8,
) -> None:
    """Scale and shift Lab; see `reinhard`. `cold` is `COLD`: as a constant it costs a sixth of the time.

    sRGB -> XYZ by packed tables -> `root` table -> `gain`, `offset` -> cube -> `back` -> `gamma` table, as
    far as each pixel is tissue. Lab enters only as differences of roots: L is the root of Y, a and b are what
    the roots of X and Z differ from it by.
    """
    third, slope, foot = np.float32(6.0 / 29.0), np.float32(3.0 * (6.0 / 29.0) ** 2), np.float32(4.0 / 29.0)
    top, half, zero = np.float32(len(gamma) - 1), np.float32(0.5), np.float32(0.0)
    # Scalars, as the compiler reloads arrays after each write to `out`.
    gain_y, gain_x, gain_z = gain[0], gain[1], gain[2]
    offset_y, offset_x, offset_z = offset[0], offset[1], offset[2]
    red_x, red_y, red_z = back[0, 0] * top, back[0, 1] * top, back[0, 2] * top
    green_x, green_y, green_z = back[1, 0] * top, back[1, 1] * top, back[1, 2] * top
    blue_x, blue_y, blue_z = back[2, 0] * top, back[2, 1] * top, back[2, 2] * top
    for i in range(start, stop):
        r, g, b = pixels[i, 0], pixels[i, 1], pixels[i, 2]
        packed = sums[0, r] + sums[1, g] + sums[2, b]
        fx, fy = np.float32(root[packed & _FIELD]), np.float32(root[(packed >> _BITS) & _FIELD])
        fz = np.float32(root[packed >> (_BITS + _BITS)])
        gy = gain_y * fy + offset_y
        # Nothing greener than grey (a from 0 on), nothing yellower than red (b up to 0.8 of a).
        more_x = max(gain_x * (fx - fy) + offset_x, zero)
        gx, gz = gy + more_x, gy + max(gain_z * (fz - fy) + offset_z, np.float32(-2.0) * more_x)
        x = gx * gx * gx if gx > third else slope * (gx - foot)
        y = gy * gy * gy if gy > third else slope * (gy - foot)
        z = gz * gz * gz if gz > third else slope * (gz - foot)
        linear_r = min(max(red_x * x + red_y * y + red_z * z + half, zero), top)
        linear_g = min(max(green_x * x + green_y * y + green_z * z + half, zero), top)
        linear_b = min(max(blue_x * x + blue_y * y + blue_z * z + half, zero), top)
        weight = tissueness(density[0, r], density[1, g], density[2, b], cold)
        out[i, 0] = _between(r, gamma[np.uint32(np.int32(linear_r))], weight)
        out[i, 1] = _between(g, gamma[np.uint32(np.int32(linear_g))], weight)
        out[i, 2] = _between(b, gamma[np.uint32(np.int32(linear_b))], weight)


@njit
def ranked(values: F32, rank: int) -> float:
    """Order statistic: value at `rank` (from 0) of the sorted values; finite ones, at least one.

    By a histogram, so that only the values of one bin are sorted.
    """
    low, high = values[0], values[0]
    for value in values:
        low, high = min(low, value), max(high, value)
    if low == high:
        return float(low)
    counts = np.zeros(4096, np.int64)
    scale = 4095.0 / (np.float64(high) - np.float64(low))
    for value in values:
        counts[int((np.float64(value) - low) * scale)] += 1
    below, wanted = 0, 0
    while below + counts[wanted] <= rank:
        below += counts[wanted]
        wanted += 1
    bin_values = np.empty(counts[wanted], np.float32)
    n = 0
    for value in values:
        if int((np.float64(value) - low) * scale) == wanted:
            bin_values[n] = value
            n += 1
    bin_values.sort()
    return float(bin_values[rank - below])
