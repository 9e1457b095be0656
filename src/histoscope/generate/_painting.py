# mypy: disallow-untyped-decorators=False
"""What a painter does between its convolutions, in one pass over memory where torch takes several."""

from typing import Any

import numba as nb
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from histoscope.compiled import njit
from histoscope.threads import over

F32 = NDArray[np.float32]
Counted = tuple[int, ...]
Three = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
SLOPE, LEAST = 0.2, 1e-4
"""Slope of the LeakyReLU below 0, and what is added to the mean square."""
_SLOPE, _LEAST = np.float32(SLOPE), np.float32(LEAST)
_BLOCK = 64  # pixels that are worked on at a time: they stay in the nearest cache
_SHIFT, _ODD, _HALF = np.uint32(16), np.uint32(1), np.uint32(0x7FFF)
_KINDS = {torch.float32: torch.float32, torch.bfloat16: torch.uint16}


def applies(x: Tensor) -> bool:
    """Whether it can be done here: on a CPU, channels side by side, and no gradient asked for."""
    side_by_side = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return x.device.type == "cpu" and x.dtype in _KINDS and side_by_side and not x.requires_grad


def scale(x: Tensor) -> Tensor:
    """Bring the channels of each pixel to mean square 1, then LeakyReLU; `x` itself is overwritten.

    Parameters
    ----------
    x : (B, C, H, W) float32 or bfloat16
        For which `applies` holds. NumPy has no bfloat16; its bits are the upper half of a float32's.

    Examples
    --------
    >>> x = torch.full((1, 2, 1, 1), -3.0).to(memory_format=torch.channels_last)
    >>> [round(value, 3) for value in scale(x).flatten().tolist()]
    [-0.2, -0.2]
    """
    values = _rows(x).reshape(-1)
    n = values.size // x.shape[1]
    kernel = _wide if x.dtype == torch.float32 else _narrow
    over(kernel, n, _share(n), values, _counted(x))
    return x


def join(low: Tensor, high: Tensor, more: Tensor) -> Tensor:
    """Put the channels of `low`, at twice its height and width (each pixel four times), and others' behind.

    Parameters
    ----------
    low : (B, C, H, W) float32 or bfloat16
        For which `applies` holds.
    high, more : (B, ..., 2 H, 2 W)
        Of the same type; `more` may be some channels of a tensor.

    Examples
    --------
    >>> low = torch.ones(1, 3, 2, 2).to(memory_format=torch.channels_last)
    >>> high = torch.ones(1, 2, 4, 4).to(memory_format=torch.channels_last)
    >>> join(low, high, high[:, :1]).shape
    torch.Size([1, 6, 4, 4])
    """
    parts = (low, high, more)
    shape = (len(high), sum(part.shape[1] for part in parts), *high.shape[2:])
    out = torch.empty(shape, dtype=low.dtype, memory_format=torch.channels_last)
    rows, channels = (tuple(map(make, parts)) for make in (_rows, _counted))
    n = shape[0] * shape[2]
    over(_join, n, _share(n), rows, channels, _rows(out))
    return out


def _rows(x: Tensor) -> NDArray[Any]:
    """Rows of pixels of channels, the same memory; bits in place of bfloat16, which NumPy has not."""
    found: NDArray[Any] = x.permute(0, 2, 3, 1).flatten(0, 1).view(_KINDS[x.dtype]).numpy()
    return found


def _counted(x: Tensor) -> Counted:
    """As many numbers as channels: a tuple's length is part of its type, so the compiler knows it."""
    return (0,) * x.shape[1]


def _share(n: int) -> int:
    """Pixels or rows for a thread; torch says how many threads this one may use."""
    return max(1, n // torch.get_num_threads())


@njit
def _join(start: int, stop: int, parts: Three, channels: tuple[Counted, ...], out: NDArray[Any]) -> None:
    low, high, more = parts
    in_low, in_high, in_more = channels
    a, b = len(in_low), len(in_low) + len(in_high)
    for i in range(start, stop):
        for j in range(out.shape[1]):
            for k in range(a):
                out[i, j, k] = low[i // 2, j // 2, k]
            for k in range(len(in_high)):
                out[i, j, a + k] = high[i, j, k]
            for k in range(len(in_more)):
                out[i, j, b + k] = more[i, j, k]


@njit(error_model="numpy")
def _wide(start: int, stop: int, values: F32, channels: Counted) -> None:
    c = len(channels)
    rest, each = np.zeros(_BLOCK * c, np.float32), np.empty(_BLOCK * c, np.float32)
    factors = np.empty(_BLOCK, np.float32)
    for first in range(start, stop, _BLOCK):
        some = values[first * c : min(first + _BLOCK, stop) * c]
        block = some if some.size == rest.size else _copied(some, rest)
        _sums(block, channels, factors)
        _roots(factors, c)
        _repeated(factors, c, each)
        _scaled(block, each)
        if some.size < rest.size:
            some[:] = rest[: some.size]


@njit(error_model="numpy")
def _narrow(start: int, stop: int, values: NDArray[np.uint16], channels: Counted) -> None:
    c = len(channels)
    rest, each = np.zeros(_BLOCK * c, np.uint16), np.empty(_BLOCK * c, np.float32)
    factors = np.empty(_BLOCK, np.float32)
    bits = np.empty(_BLOCK * c, np.uint32)
    wide = bits.view(np.float32)
    for first in range(start, stop, _BLOCK):
        some = values[first * c : min(first + _BLOCK, stop) * c]
        block = some if some.size == rest.size else _copied(some, rest)
        _widened(block, bits)
        _sums(wide, channels, factors)
        _roots(factors, c)
        _repeated(factors, c, each)
        _scaled(wide, each)
        _narrowed(bits, block)
        if some.size < rest.size:
            some[:] = rest[: some.size]


# One short loop each: called from the loops above, whose blocks are all of one size, the compiler makes of
# them what works on many numbers at a time. As loops of one function they took up to twice as long.


@nb.njit(nogil=True)
def _copied(some: NDArray[Any], room: NDArray[Any]) -> NDArray[Any]:
    room[: some.size] = some
    return room


@nb.njit(nogil=True)
def _widened(block: NDArray[np.uint16], bits: NDArray[np.uint32]) -> None:
    for k in range(block.size):
        bits[k] = np.uint32(block[k]) << _SHIFT


@nb.njit(nogil=True)
def _narrowed(bits: NDArray[np.uint32], block: NDArray[np.uint16]) -> None:
    for k in range(block.size):  # to the nearest, ties to even
        block[k] = np.uint16((bits[k] + _HALF + ((bits[k] >> _SHIFT) & _ODD)) >> _SHIFT)


@nb.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _sums(values: F32, channels: Counted, sums: F32) -> None:
    c = len(channels)
    for p in range(sums.size):
        total = np.float32(0)
        for k in range(c):
            total += values[p * c + k] * values[p * c + k]
        sums[p] = total


@nb.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _roots(sums: F32, c: int) -> None:
    for p in range(sums.size):
        sums[p] = np.float32(1) / np.sqrt(sums[p] / np.float32(c) + _LEAST)


@nb.njit(nogil=True)
def _repeated(factors: F32, c: int, each: F32) -> None:
    for p in range(factors.size):
        each[p * c : (p + 1) * c] = factors[p]


@nb.njit(nogil=True, fastmath={"nsz"})
def _scaled(values: F32, each: F32) -> None:
    for k in range(values.size):
        value = values[k] * each[k]
        values[k] = max(value, _SLOPE * value)
