# mypy: disallow-untyped-decorators=False
"""Kernels of distractors: blots, folds and threads of mucin."""

import math

from histoscope.compiled import njit
from histoscope.synth._kernels import F32, sample
from histoscope.synth._paint import _step


@njit(error_model="numpy")
def paint_blots(dye: F32, blots: F32, tiles: F32, mpp: float) -> None:
    """Add blots to the two layers of `dye`.

    A row is x, y, long, short (um), angle, what it adds to either layer, and the width of its edge (um).
    """
    height, width = dye.shape[:2]
    for n in range(len(blots)):
        x, y, long, short, angle, first, second, edge = blots[n]
        cos, sin, reach = math.cos(angle), math.sin(angle), 1.3 * long + edge
        for i in range(max(0, int((y - reach) / mpp)), min(height, int((y + reach) / mpp) + 1)):
            for j in range(max(0, int((x - reach) / mpp)), min(width, int((x + reach) / mpp) + 1)):
                dx, dy = (j + 0.5) * mpp - x, (i + 0.5) * mpp - y
                u, v = (dx * cos + dy * sin) / long, (dy * cos - dx * sin) / short
                if u * u + v * v > (1.3 + edge / short) ** 2:
                    continue
                ragged = sample(tiles[0], x * 7 + dx * 2.5, y * 7 + dy * 2.5)
                part = _step((1.0 - math.sqrt(u * u + v * v) + 0.2 * ragged) * short, edge)
                part *= 1.0 + 0.25 * ragged
                dye[i, j, 0] += part * first
                dye[i, j, 1] += part * second


@njit(error_model="numpy")
def paint_folds(dye: F32, folds: F32, tiles: F32, mpp: float) -> None:
    """Multiply the dye where the section lies twice.

    A row is x, y (um) of the middle, half length, half width (um), direction, and the share to add.
    """
    height, width = dye.shape[:2]
    for n in range(len(folds)):
        x, y, long, short, angle, more = folds[n]
        cos, sin, reach = math.cos(angle), math.sin(angle), long + 3 * short
        for i in range(max(0, int((y - reach) / mpp)), min(height, int((y + reach) / mpp) + 1)):
            for j in range(max(0, int((x - reach) / mpp)), min(width, int((x + reach) / mpp) + 1)):
                dx, dy = (j + 0.5) * mpp - x, (i + 0.5) * mpp - y
                along = dx * cos + dy * sin
                if abs(along) > long:
                    continue
                across = dy * cos - dx * sin + 0.6 * short * sample(tiles[0], x + along * 0.12, y)
                if abs(across) < short + 1.5:
                    share = more * _step(short - abs(across), 1.2) * _step(long - abs(along), 10.0)
                    dye[i, j, 0] *= 1.0 + share
                    dye[i, j, 1] *= 1.0 + share


@njit(error_model="numpy")
def paint_mucin(
    start: int, stop: int, dye: F32, pools: F32, tiles: F32, knobs: tuple[float, float, float, float]
) -> None:
    """Fill pools (a coarse map from 0 to 1) with purple threads in a thin, pale ground."""
    mpp, margin, cell_um, shift = knobs
    for i in range(start, stop):
        y = (i + 0.5) * mpp + margin
        top = int(y / cell_um)
        v = y / cell_um - top
        for j in range(dye.shape[1]):
            x = (j + 0.5) * mpp + margin
            left = int(x / cell_um)
            u = x / cell_um - left
            pool = (pools[top, left] * (1 - u) + pools[top, left + 1] * u) * (1 - v)
            pool += (pools[top + 1, left] * (1 - u) + pools[top + 1, left + 1] * u) * v
            if pool > 0.02:
                bend = 1.5 * sample(tiles[0], shift + x * 0.2, y * 0.2)
                thread = sample(tiles[1], shift + x * 0.9 + bend, y * 0.9 - bend)
                web = max(0.0, 1.0 - 1.3 * abs(thread))
                dye[i, j, 0] += pool * (0.10 + 0.38 * web * web - 0.8 * dye[i, j, 0])
                dye[i, j, 1] += pool * (0.05 + 0.12 * web - 0.8 * dye[i, j, 1])
