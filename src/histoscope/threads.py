"""Sharing pixels, rows or candidates among threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numba as nb

SMALLEST_BAND = 1 << 16
"""Pixels of a light kernel below which a further thread costs more than it saves."""

_pools: dict[int, ThreadPoolExecutor] = {}


def over(kernel: Callable[..., Any], n: int, smallest: int, *arguments: Any) -> list[Any]:
    """Run ``kernel(start, stop, *arguments)`` over ``range(n)``, in parts of at least `smallest`.

    The kernel must release the GIL and write only what belongs to its part. The number of threads is Numba's
    (all cores that the process may use, or the environment's ``NUMBA_NUM_THREADS``). Numba's own parallel
    loops are left aside: they abort when two threads call in at once, or after a fork; data loaders do both.

    Returns
    -------
    list
        What the kernel gave for each part, in order.

    Examples
    --------
    >>> over(lambda start, stop: stop - start, 10, 100)
    [10]
    """
    threads = max(1, min(nb.config.NUMBA_NUM_THREADS, n // max(1, smallest)))
    if threads == 1:
        return [kernel(0, n, *arguments)]
    parts = list(pairwise(n * k // threads for k in range(threads + 1)))
    pool = _pool()
    jobs = [pool.submit(kernel, *part, *arguments) for part in parts[1:]]
    first = kernel(*parts[0], *arguments)
    return [first, *(job.result() for job in jobs)]


def _pool() -> ThreadPoolExecutor:
    # A forked child inherits the pool but not its threads, hence one pool a process.
    pid = os.getpid()
    if pid not in _pools:
        _pools.clear()
        _pools[pid] = ThreadPoolExecutor(nb.config.NUMBA_NUM_THREADS, thread_name_prefix="histoscope")
    return _pools[pid]
