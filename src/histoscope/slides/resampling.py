"""Resampling a level to any coarser or finer grid, such that pixels do not depend on the crop."""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from histoscope.compiled import njit
from histoscope.threads import SMALLEST_BAND, over
from histoscope.types import Image

Taps: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]
GLASS = 255
"""Value outside a slide, and of missing tiles."""


def source_range(first: int, count: int, ratio: float) -> tuple[int, int]:
    """First and last (exclusive) source pixel for `count` pixels from `first` on.

    Parameters
    ----------
    first, count : int
        On the wanted grid.
    ratio : float
        Source pixels per wanted pixel.

    Examples
    --------
    >>> source_range(10, 5, 2.0), source_range(0, 4, 0.5)
    ((20, 30), (-1, 3))
    """
    if ratio >= 1:
        return math.floor(first * ratio + 1e-9), math.ceil((first + count) * ratio - 1e-9)
    centre = 0.5 * ratio - 0.5
    return math.floor(first * ratio + centre), math.floor((first + count - 1) * ratio + centre) + 2


def weights(first: int, count: int, ratio: float, begin: int, n_source: int) -> Taps:
    """First source pixel in a crop for each wanted pixel, and the weights of source pixels.

    Parameters
    ----------
    first, count : int
        Wanted pixels.
    ratio : float
        Source pixels per wanted pixel: area averaging from 1 on, linear below.
    begin : int
        First source pixel of the crop.
    n_source : int
        Total number of source pixels. Pixels beyond have no weight, unless there are no others.

    Returns
    -------
    starts : (count,) int64
    shares : (count, taps) float32
        Each row sums to 1.
    """
    wanted = np.arange(first, first + count, dtype=np.float64)
    if ratio >= 1:
        low, high = wanted * ratio, (wanted + 1) * ratio
        starts = np.floor(low + 1e-9).astype(np.int64)
        taps = math.ceil(ratio) + 1
        source = starts[:, None] + np.arange(taps)
        shares = np.minimum(high[:, None], source + 1.0) - np.maximum(low[:, None], source)
    else:
        places = (wanted + 0.5) * ratio - 0.5
        starts = np.floor(places).astype(np.int64)
        source = starts[:, None] + np.arange(2)
        shares = 1.0 - np.abs(places[:, None] - source)
    shares = np.where(shares < 1e-9, 0.0, shares)
    inside = np.where((source >= 0) & (source < n_source), shares, 0.0)
    shares = np.where(inside.sum(axis=1, keepdims=True) > 1e-6, inside, shares)
    return starts - begin, (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def resampled(
    crop: Image,
    crop_box: tuple[int, int, int, int],
    box: tuple[int, int, int, int],
    ratio: tuple[float, float],
    size: tuple[int, int],
) -> Image:
    """Pixels of a box from a crop of a level.

    Parameters
    ----------
    crop : (h, w, 3) uint8
    crop_box : (x, y, width, height)
        Position of the crop, in pixels of the level.
    box : (x, y, width, height)
        The wanted box, in pixels of the wanted grid.
    ratio : (float, float)
        Pixels of the level per wanted pixel, across and down.
    size : (int, int)
        Width and height of the level.

    Returns
    -------
    (height, width, 3) uint8

    Examples
    --------
    >>> crop = np.arange(16, dtype=np.uint8).reshape(4, 4, 1).repeat(3, axis=2)
    >>> resampled(crop, (0, 0, 4, 4), (0, 0, 2, 2), (2.0, 2.0), (4, 4))[:, :, 0]
    array([[ 3,  5],
           [11, 13]], dtype=uint8)
    """
    x, y, width, height = box
    columns = weights(x, width, ratio[0], crop_box[0], size[0])
    rows = weights(y, height, ratio[1], crop_box[1], size[1])
    out = np.empty((height, width, 3), np.uint8)
    crop = np.ascontiguousarray(crop)
    over(_resample, height, max(SMALLEST_BAND // max(width, 1), 1), crop, columns, rows, out)
    return out


@njit
def _resample(
    start: int,
    stop: int,
    crop: Image,
    columns: Taps,
    rows: Taps,
    out: Image,
) -> None:
    (x_starts, x_shares), (y_starts, y_shares) = columns, rows
    height, width = crop.shape[0], crop.shape[1]
    flat = crop.reshape(height, width * 3)
    line = np.empty(width * 3, np.float32)
    for i in range(start, stop):
        line[:] = 0.0
        for k in range(y_shares.shape[1]):
            share = y_shares[i, k]
            if share != 0.0:
                source = flat[y_starts[i] + k]
                for c in range(width * 3):
                    line[c] += share * source[c]
        for j in range(out.shape[1]):
            red, green, blue = np.float32(0.5), np.float32(0.5), np.float32(0.5)
            for k in range(x_shares.shape[1]):
                share = x_shares[j, k]
                if share != 0.0:
                    c = 3 * (x_starts[j] + k)
                    red += share * line[c]
                    green += share * line[c + 1]
                    blue += share * line[c + 2]
            out[i, j, 0], out[i, j, 1], out[i, j, 2] = np.uint8(red), np.uint8(green), np.uint8(blue)
