"""Compiled loops over pixels. Arrays and scalars only; checks and documentation are in the callers.

Most kernels take the part ``start <= i < stop`` of the pixels that they work on, so that `bands` can hand
parts to threads: they release the GIL. (Numba's own ``parallel=True`` was left aside: its thread layers abort
either when two threads call in at once or when the process has been forked; data loaders do both.)
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

_BITS = np.uint64(21)
_FIELD = np.uint64((1 << 21) - 1)


@nb.njit(cache=True, nogil=True)
def map_pixels(
    start: int,
    stop: int,
    pixels: NDArray[np.uint8],
    sums: NDArray[np.uint64],
    tables: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """Out channel o = tables[o, field o of the sum of one packed entry per input channel]."""
    for i in range(start, stop):
        packed = sums[0, pixels[i, 0]] + sums[1, pixels[i, 1]] + sums[2, pixels[i, 2]]
        out[i, 0] = tables[0, packed & _FIELD]
        out[i, 1] = tables[1, (packed >> _BITS) & _FIELD]
        out[i, 2] = tables[2, packed >> (_BITS + _BITS)]


@nb.njit(cache=True, nogil=True)
def is_tissue(red: int, green: int, blue: int, density: NDArray[np.float32], least: float) -> bool:
    """Whether a pixel is dense enough for stain and has no colour that only pens have."""
    if density[red] + density[green] + density[blue] < 3.0 * least:
        return False
    if (
        green > red + 30
    ):  # blue and green ink; no mixture of haematoxylin and eosin lets more green than red through
        return False
    brightest, darkest = max(red, green, blue), min(red, green, blue)
    if brightest < 60 and brightest - darkest < 25:  # black ink, folds, the frame of the slide
        return False
    return not (red > 140 and red - green > 110 and red - blue > 110)  # red ink


@nb.njit(cache=True, nogil=True)
def tissue(
    start: int,
    stop: int,
    pixels: NDArray[np.uint8],
    density: NDArray[np.float32],
    least: float,
    out: NDArray[np.bool_],
) -> None:
    """Mark the tissue pixels."""
    for i in range(start, stop):
        out[i] = is_tissue(
            np.int64(pixels[i, 0]), np.int64(pixels[i, 1]), np.int64(pixels[i, 2]), density, least
        )


@nb.njit(cache=True, nogil=True)
def sample_tissue(
    pixels: NDArray[np.uint8], strata: int, density: NDArray[np.float32], least: float, out: NDArray[np.uint8]
) -> int:
    """Copy one pixel of each stratum, if it is tissue, to `out`; give their number.

    The place in the stratum comes from a hash of its number: the same every time, and in step with no
    texture.
    """
    total = len(pixels)
    found = 0
    for k in range(strata):
        low = k * total // strata
        width = (k + 1) * total // strata - low
        mixed = (np.uint64(k) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        i = low + np.int64((mixed >> np.uint64(33)) % np.uint64(width))
        red, green, blue = np.int64(pixels[i, 0]), np.int64(pixels[i, 1]), np.int64(pixels[i, 2])
        if is_tissue(red, green, blue, density, least):
            out[found, 0], out[found, 1], out[found, 2] = pixels[i, 0], pixels[i, 1], pixels[i, 2]
            found += 1
    return found


@nb.njit(cache=True, nogil=True)
def sparse_codes(
    density: NDArray[np.float32],
    stains: NDArray[np.float64],
    penalty: float,
    codes: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Improve the non-negative lasso codes in place by coordinate descent.

    Gives codes' codes (2, 2) and codes' density (2, 3), all that the dictionary step needs.
    """
    h0, h1, h2 = np.float32(stains[0, 0]), np.float32(stains[0, 1]), np.float32(stains[0, 2])
    e0, e1, e2 = np.float32(stains[1, 0]), np.float32(stains[1, 1]), np.float32(stains[1, 2])
    overlap = h0 * e0 + h1 * e1 + h2 * e2
    zero, lam = np.float32(0.0), np.float32(penalty)
    moments = np.zeros((2, 2))
    cross = np.zeros((2, 3))
    for i in range(len(density)):
        x0, x1, x2 = density[i, 0], density[i, 1], density[i, 2]
        on_h = h0 * x0 + h1 * x1 + h2 * x2 - lam
        on_e = e0 * x0 + e1 * x1 + e2 * x2 - lam
        e = codes[i, 1]
        h = codes[i, 0]
        for _ in range(3):
            h = max(zero, on_h - overlap * e)
            e = max(zero, on_e - overlap * h)
        codes[i, 0], codes[i, 1] = h, e
        moments[0, 0] += h * h
        moments[0, 1] += h * e
        moments[1, 1] += e * e
        cross[0, 0] += h * x0
        cross[0, 1] += h * x1
        cross[0, 2] += h * x2
        cross[1, 0] += e * x0
        cross[1, 1] += e * x1
        cross[1, 2] += e * x2
    moments[1, 0] = moments[0, 1]
    return moments, cross


@nb.njit(cache=True, nogil=True)
def map_lab(
    start: int,
    stop: int,
    pixels: NDArray[np.uint8],
    sums: NDArray[np.uint64],
    root: NDArray[np.float32],
    fade: NDArray[np.float32],
    forward: NDArray[np.float32],
    offset: NDArray[np.float32],
    back: NDArray[np.float32],
    gamma: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """Affine map of the three roots of XYZ, which is an affine map of Lab; see `reinhard`.

    sRGB -> XYZ by packed tables -> `root` table -> `forward`, `offset` -> cube -> `back` -> `gamma` table,
    then faded into the original where it is as bright as glass.
    """
    third, slope, foot = np.float32(6.0 / 29.0), np.float32(3.0 * (6.0 / 29.0) ** 2), np.float32(4.0 / 29.0)
    top = np.float32(len(gamma) - 1)
    half, zero = np.float32(0.5), np.float32(0.0)
    for i in range(start, stop):
        packed = sums[0, pixels[i, 0]] + sums[1, pixels[i, 1]] + sums[2, pixels[i, 2]]
        bright = (packed >> _BITS) & _FIELD
        fx, fy, fz = root[packed & _FIELD], root[bright], root[packed >> (_BITS + _BITS)]
        gx = forward[0, 0] * fx + forward[0, 1] * fy + forward[0, 2] * fz + offset[0]
        gy = forward[1, 0] * fx + forward[1, 1] * fy + forward[1, 2] * fz + offset[1]
        gz = forward[2, 0] * fx + forward[2, 1] * fy + forward[2, 2] * fz + offset[2]
        x = gx * gx * gx if gx > third else slope * (gx - foot)
        y = gy * gy * gy if gy > third else slope * (gy - foot)
        z = gz * gz * gz if gz > third else slope * (gz - foot)
        weight = fade[bright]
        for c in range(3):
            linear = (back[c, 0] * x + back[c, 1] * y + back[c, 2] * z) * top + half
            value = np.float32(gamma[np.uint64(min(max(linear, zero), top))])
            old = np.float32(pixels[i, c])
            out[i, c] = np.uint8(old + weight * (value - old) + half)
