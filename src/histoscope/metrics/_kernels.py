"""The one pass over two label maps that every metric rests on."""

import numba as nb
import numpy as np
from numpy.typing import NDArray

_BLOCK = 16  # pixels compared at a time inside a long run


@nb.njit(cache=True, nogil=True)
def count_pairs(
    true: NDArray[np.int32], pred: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """Count the pixels of each (true id, pred id) pair other than (0, 0) in two flat maps.

    The maps are read as runs of one pair, so the hash table is touched once a run, not once a pixel.

    Returns
    -------
    keys : (K,) int64
        ``true id << 32 | pred id``, in the order of their first pixel.
    pixels : (K,) int64
    fine : bool
        False if a negative id was met; the rest is then meaningless.
    """
    slots = np.full(4096, -1, np.int64)  # where in `keys` the pair of this hash lies; at most half full
    keys, pixels = np.empty(2048, np.int64), np.empty(2048, np.int64)
    n_keys = 0
    end = 0
    while end < true.size:
        start = end
        t, p = true[start], pred[start]
        end = _run_end(true, pred, start)
        if t == 0 and p == 0:
            continue
        if t < 0 or p < 0:
            return keys[:0], pixels[:0], False
        key = (np.int64(t) << 32) | np.int64(p)
        slot = _find(slots, keys, key)
        if slots[slot] >= 0:
            pixels[slots[slot]] += end - start
            continue
        if n_keys == keys.size:
            keys = np.concatenate((keys, np.empty_like(keys)))
            pixels = np.concatenate((pixels, np.empty_like(pixels)))
            slots = np.full(2 * slots.size, -1, np.int64)
            for k in range(n_keys):
                slots[_find(slots, keys, keys[k])] = k
            slot = _find(slots, keys, key)
        slots[slot] = n_keys
        keys[n_keys] = key
        pixels[n_keys] = end - start
        n_keys += 1
    return keys[:n_keys], pixels[:n_keys], True


@nb.njit(cache=True, nogil=True)
def _run_end(true: NDArray[np.int32], pred: NDArray[np.int32], start: int) -> int:
    """First pixel after `start` where either map changes; blocks at a time, which the compiler vectorises."""
    t, p = true[start], pred[start]
    end = start + 1
    while end + _BLOCK <= true.size:
        differs = np.int32(0)
        for k in range(_BLOCK):
            differs |= (true[end + k] ^ t) | (pred[end + k] ^ p)
        if differs != 0:
            break
        end += _BLOCK
    while end < true.size and true[end] == t and pred[end] == p:
        end += 1
    return end


@nb.njit(cache=True, nogil=True)
def _find(slots: NDArray[np.int64], keys: NDArray[np.int64], key: np.int64) -> np.int64:
    """Slot that holds `key`, or the free one where it belongs (linear probing)."""
    mixed = (key ^ (key >> 29)) * np.int64(0x2545F4914F6CDD1D)
    slot = (mixed ^ (mixed >> 32)) & (slots.size - 1)
    while slots[slot] >= 0 and keys[slots[slot]] != key:
        slot = (slot + 1) & (slots.size - 1)
    return slot
