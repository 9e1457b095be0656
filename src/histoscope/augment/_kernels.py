"""Compiled loops over label maps."""

import numpy as np
from numpy.typing import NDArray

from histoscope.compiled import njit


@njit
def _root(parent: NDArray[np.int32], k: int) -> int:
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@njit
def _join(parent: NDArray[np.int32], a: int, b: int) -> int:
    """Make one tree of the two that hold `a` and `b`; its root is the smaller, hence the earlier, number."""
    a, b = _root(parent, a), _root(parent, b)
    low, high = min(a, b), max(a, b)
    parent[high] = low
    return low


@njit
def _scan(labels: NDArray[np.int32], out: NDArray[np.int32]) -> NDArray[np.int32]:
    """Write a provisional number to each pixel of `out`; give the tree that says which numbers are one.

    Of the four neighbours already seen, those that touch each other are joined already. So the upper one
    alone tells all, and without it only the upper right one can belong to another tree than the left ones
    (Wu, Otoo and Suzuki 2009, doi:10.1007/s10044-008-0109-y).
    """
    height, width = labels.shape
    parent = np.zeros(width + 1, np.int32)
    n = 0
    for r in range(height):
        if n + width >= len(parent):
            parent = np.concatenate((parent, np.zeros(len(parent) + width, np.int32)))
        for c in range(width):
            value = labels[r, c]
            if value == 0:
                continue
            if r > 0 and labels[r - 1, c] == value:
                out[r, c] = out[r - 1, c]
                continue
            left = 0
            if c > 0 and labels[r, c - 1] == value:
                left = out[r, c - 1]
            elif r > 0 and c > 0 and labels[r - 1, c - 1] == value:
                left = out[r - 1, c - 1]
            right = 0
            if r > 0 and c + 1 < width and labels[r - 1, c + 1] == value:
                right = out[r - 1, c + 1]
            if left and right:
                out[r, c] = _join(parent, left, right)
            elif left or right:
                out[r, c] = left + right  # one of them is 0
            else:
                n += 1
                parent[n] = n
                out[r, c] = n
    return parent[: n + 1]


@njit
def pieces(labels: NDArray[np.int32], min_px: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Give each connected piece of a label map (same id, eight neighbours) its own number.

    Returns
    -------
    out : (H, W) int32
        Pieces from 1, in the order of their first pixels, row by row; those below `min_px` pixels are 0.
    origin : (n + 1,) int32
        The id in `labels` of each piece; 0 for background.
    """
    out = np.zeros(labels.shape, np.int32)
    parent = _scan(labels, out)
    for k in range(1, len(parent)):
        parent[k] = parent[parent[k]]  # parents come before their children, so this is the root
    flat, source = out.ravel(), labels.ravel()
    area = np.zeros(len(parent), np.int64)
    origin = np.zeros(len(parent), np.int32)
    for i in range(len(flat)):
        k = parent[flat[i]]
        flat[i] = k
        area[k] += 1
        origin[k] = source[i]
    number = np.zeros(len(parent), np.int32)
    kept = 0
    for k in range(1, len(parent)):
        if area[k] >= max(min_px, 1):
            kept += 1
            number[k] = kept
            origin[kept] = origin[k]  # kept <= k, so nothing unread is overwritten
    for i in range(len(flat)):
        flat[i] = number[flat[i]]
    origin[0] = 0
    return out, origin[: kept + 1]
