"""Thread pools: a range in parts, and an iterable in order."""

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

import numba as nb

Item = TypeVar("Item")
Result = TypeVar("Result")

SMALLEST_BAND = 1 << 16
"""Pixels of a cheap kernel below which another thread does not pay off."""

_pools: dict[int, ThreadPoolExecutor] = {}


def workers() -> int:
    """Threads of compiled loops: all cores that the process may use, or ``NUMBA_NUM_THREADS``."""
    return int(nb.config.NUMBA_NUM_THREADS)


def over(kernel: Callable[..., Any], n: int, smallest: int, *arguments: Any) -> list[Any]:
    """Run ``kernel(start, stop, *arguments)`` over ``range(n)``, in parts of at least `smallest`.

    The kernel must release the GIL and write only what belongs to its part. The number of threads is Numba's
    (all cores that the process may use, or the environment's ``NUMBA_NUM_THREADS``). Numba's own parallel
    loops are not used: they abort when two threads enter at once, or after a fork; data loaders do both.

    Returns
    -------
    list
        What the kernel returned for each part, in order.

    Examples
    --------
    >>> over(lambda start, stop: stop - start, 10, 100)
    [10]
    """
    threads = max(1, min(workers(), n // max(1, smallest)))
    if threads == 1:
        return [kernel(0, n, *arguments)]
    parts = list(pairwise(n * k // threads for k in range(threads + 1)))
    pool = _pool()
    jobs = [pool.submit(kernel, *part, *arguments) for part in parts[1:]]
    first = kernel(*parts[0], *arguments)
    return [first, *(job.result() for job in jobs)]


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int = 1,
    ahead: int = 2,
    name: str = "ahead",
    initializer: Callable[[], object] | None = None,
) -> Generator[Result, None, None]:
    """Map in threads: ``work(item)`` of each item, in order, ahead of the consumer.

    Closing the iterator, or Ctrl-C, waits for running items and cancels the others.

    Parameters
    ----------
    work : callable
    items : iterable
        Taken one by one as there is room.
    workers, ahead : int
        Threads, and how many items are begun before the first result is asked for.
    name : str
        Of the threads.
    initializer : callable, optional
        Called in each thread first.

    Examples
    --------
    >>> list(in_order(lambda k: k * k, range(5), workers=2))
    [0, 1, 4, 9, 16]
    """
    pool = ThreadPoolExecutor(workers, name, initializer)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except RuntimeError as error:
        # Ctrl-C between acquiring and releasing a lock: Python then complains about the lock instead.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def told_after(seconds: float, words: str) -> Iterator[None]:
    """Warn if the block is still running after so many seconds.

    Examples
    --------
    >>> with told_after(60.0, "slide.svs: the disk is slow"):
    ...     pass
    """
    is_done = threading.Event()

    def wait() -> None:
        if not is_done.wait(seconds):
            warnings.warn(words, stacklevel=2)

    threading.Thread(target=wait, daemon=True, name="told after").start()
    try:
        yield
    finally:
        is_done.set()


def _pool() -> ThreadPoolExecutor:
    # A forked child inherits the pool but not its threads, hence one pool a process.
    pid = os.getpid()
    if pid not in _pools:
        _pools.clear()
        _pools[pid] = ThreadPoolExecutor(workers(), thread_name_prefix="histoscope")
    return _pools[pid]
