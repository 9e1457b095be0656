"""Tiles and patches in parallel, with one core each, or a few."""

from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import TypeVar

import cv2
import torch

from histoscope.threads import in_order

Item = TypeVar("Item")
Result = TypeVar("Result")


def a_core_each(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    cores: int,
    ahead: int,
    name: str,
    threads: int = 1,
) -> Generator[Result, None, None]:
    """Map over cores: ``work(item)`` of each item, in order, one thread of torch and OpenCV each.

    No network waits for other threads at every layer, and no core is idle while something other than a
    network runs.

    Parameters
    ----------
    work, items, ahead, name
        As for `histoscope.threads.in_order`.
    cores : int
        Items at a time.
    threads : int
        Of torch, for each item: more than one where memory has room for fewer items than there are cores.

    Examples
    --------
    >>> list(a_core_each(lambda k: torch.get_num_threads(), range(3), cores=2, ahead=2, name="one"))
    [1, 1, 1]
    """
    before, before_cv = torch.get_num_threads(), cv2.getNumThreads()
    cv2.setNumThreads(1)  # of the process: its threads would wait for a core in the middle of a short loop
    try:
        yield from in_order(
            work,
            items,
            workers=cores,
            ahead=ahead,
            name=name,
            initializer=partial(torch.set_num_threads, threads),
        )
    finally:
        torch.set_num_threads(before)  # torch keeps a number for each thread, and one for those to come
        cv2.setNumThreads(before_cv)
