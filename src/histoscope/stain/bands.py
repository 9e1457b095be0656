"""Sharing the pixels of an image among threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numba as nb

SMALLEST_BAND = 1 << 16
"""Pixels below which a further thread costs more than it saves."""

_pools: dict[int, ThreadPoolExecutor] = {}


def over_pixels(kernel: Callable[..., None], n_pixels: int, *arguments: Any) -> None:
    """Run ``kernel(start, stop, *arguments)`` over all pixels, on as many threads as there are cores.

    The kernel must release the GIL and write only between `start` and `stop`. The number of threads is
    Numba's (all cores that the process may use, or the environment's ``NUMBA_NUM_THREADS``).

    Examples
    --------
    >>> import numpy as np
    >>> done = np.zeros(10, int)
    >>> over_pixels(lambda start, stop, out: out.__setitem__(slice(start, stop), 1), 10, done)
    >>> int(done.sum())
    10
    """
    threads = min(nb.config.NUMBA_NUM_THREADS, n_pixels // SMALLEST_BAND)
    if threads <= 1:
        kernel(0, n_pixels, *arguments)
        return
    edges = [n_pixels * k // threads for k in range(threads + 1)]
    pool = _pool()
    jobs = [pool.submit(kernel, *edge, *arguments) for edge in pairwise(edges[1:])]
    kernel(edges[0], edges[1], *arguments)
    for job in jobs:
        job.result()


def _pool() -> ThreadPoolExecutor:
    # A forked child inherits the pool but not its threads, hence one pool a process.
    pid = os.getpid()
    if pid not in _pools:
        _pools.clear()
        _pools[pid] = ThreadPoolExecutor(nb.config.NUMBA_NUM_THREADS, thread_name_prefix="histoscope-stain")
    return _pools[pid]
