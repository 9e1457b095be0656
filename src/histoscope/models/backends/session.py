"""What all backends have in common: a network in a file, ready to be called from several threads."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Arrays: TypeAlias = dict[str, NDArray[np.float32]]
Session: TypeAlias = Callable[[NDArray[np.float32]], Arrays]
"""From normalised images (B, 3, H, W) to heads by name; threads may call it at the same time."""


class Backend(Protocol):
    """A module of this folder.

    Attributes
    ----------
    EXTRA : str
        Of Histoscope, by which it is installed.
    PACKAGES : tuple of str
        That it needs, its own first.
    HAS_BFLOAT16 : bool
        Whether it multiplies bfloat16 where the processor does.
    """

    EXTRA: str
    PACKAGES: tuple[str, ...]
    HAS_BFLOAT16: bool

    @staticmethod
    def opened(path: str, *, at_once: int, threads: int, bfloat16: bool) -> Session:
        """Open a network written as ONNX, for so many calls at the same time, with so many threads each."""
        ...


class Idle(Generic[T]):
    """Things that one thread at a time may use.

    Examples
    --------
    >>> idle = Idle(["a session"])
    >>> with idle.taken() as one:
    ...     one
    'a session'
    """

    def __init__(self, things: Iterable[T]) -> None:
        self._things: SimpleQueue[Any] = SimpleQueue()
        for thing in things:
            self._things.put(thing)

    @contextmanager
    def taken(self) -> Iterator[T]:
        """Take one; wait while all are in use."""
        thing: T = self._things.get()
        try:
            yield thing
        finally:
            self._things.put(thing)
