"""Compiled loops: pair counts of two label maps, and passes over their short result."""

import numpy as np

from histoscope.compiled import F64, I32, I64, njit


@njit
def count_pairs(true: I32, pred: I32) -> tuple[I64, I64, bool]:
    """Pixels of each pair of ids but (0, 0) of two flat maps.

    Returns the pairs as keys (K,) ``true id << 32 | pred id`` in the order of their first pixel, their pixels
    (K,), and False if an id is negative; the others are then undefined.
    """
    size = 4096
    keys, pixels, order = np.zeros(size, np.int64), np.zeros(size, np.int64), np.empty(size // 2, np.int64)
    place, n_keys = _fill(true, pred, 0, keys, pixels, order, 0)
    while 0 <= place < true.size:
        size *= 2
        old_keys, old_pixels, old_order = keys, pixels, order
        keys, pixels, order = (
            np.zeros(size, np.int64),
            np.zeros(size, np.int64),
            np.empty(size // 2, np.int64),
        )
        for k in range(n_keys):
            key = old_keys[old_order[k]]
            order[k] = _find(keys, key)
            keys[order[k]] = key
            pixels[order[k]] = old_pixels[old_order[k]]
        place, n_keys = _fill(true, pred, place, keys, pixels, order, n_keys)
    return keys[order[:n_keys]], pixels[order[:n_keys]], place >= 0


@njit
def number_ids(ids: I32) -> tuple[I32, I64]:
    """Distinct ids above 0 by first appearance, and the position of each entry among them (-1 for 0)."""
    size = 16
    while size < 2 * ids.size:
        size *= 2
    keys, position = np.zeros(size, np.int64), np.empty(size, np.int64)
    known, index = np.empty(ids.size, np.int32), np.full(ids.size, -1, np.int64)
    n_known = 0
    for k in range(ids.size):
        if ids[k] == 0:
            continue
        slot = _find(keys, np.int64(ids[k]))
        if keys[slot] == 0:
            keys[slot], position[slot], known[n_known] = ids[k], n_known, ids[k]
            n_known += 1
        index[k] = position[slot]
    return known[:n_known].copy(), index


@njit
def best_two(index: I64, weights: F64, n: int) -> tuple[I64, F64, F64]:
    """Pair of largest weight, the first of equals or -1, of each of `n` nuclei, and its two largest weights.

    Weights are above 0; that of a missing pair is 0.
    """
    best, first, second = np.full(n, -1, np.int64), np.zeros(n), np.zeros(n)
    for k in range(index.size):
        i = index[k]
        if weights[k] > first[i]:
            best[i], first[i], second[i] = k, weights[k], first[i]
        elif weights[k] > second[i]:
            second[i] = weights[k]
    return best, first, second


@njit
def _fill(  # arrays that are not reassigned stay in registers: half the time of one loop that also grows them
    true: I32,
    pred: I32,
    place: int,
    keys: I64,
    pixels: I64,
    order: I64,
    n_keys: int,
) -> tuple[int, int]:
    """Count from pixel `place` to the end, or until the hash table is half full.

    The maps are read as runs of one pair, so that the table is accessed once per run, not per pixel. Returns
    the first pixel not counted, or -1 if an id is negative, and the number of keys.
    """
    end = place
    while end < true.size:
        start = end
        t, p = true[start], pred[start]
        end += 1
        while end < true.size and true[end] == t and pred[end] == p:
            end += 1
        if t == 0 and p == 0:
            continue
        if t < 0 or p < 0:
            return -1, n_keys
        key = (np.int64(t) << 32) | np.int64(p)
        slot = _find(keys, key)
        if keys[slot] == 0:
            if n_keys == order.size:
                return start, n_keys
            keys[slot] = key
            order[n_keys] = slot
            n_keys += 1
        pixels[slot] += end - start
    return end, n_keys


@njit
def _find(keys: I64, key: np.int64) -> np.int64:
    """Slot that holds `key` (above 0), or the free one where it belongs (linear probing)."""
    mixed = (key ^ (key >> 29)) * np.int64(0x2545F4914F6CDD1D)
    slot = (mixed ^ (mixed >> 32)) & (keys.size - 1)
    while keys[slot] != 0 and keys[slot] != key:
        slot = (slot + 1) & (keys.size - 1)
    return slot
