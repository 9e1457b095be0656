"""Numba kernels, with compiled code cached between starts wherever a folder is writable."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, overload

import numba
import numpy as np
from numpy.typing import NDArray

R = TypeVar("R")

# Array types of kernels.
U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
U64 = NDArray[np.uint64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@overload
def njit(function: Callable[..., R]) -> Callable[..., R]: ...


@overload
def njit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """`numba.njit` that releases the GIL and caches compiled code.

    Compiled code is cached where Numba puts it: in ``NUMBA_CACHE_DIR``, beside the source, or in the user's
    cache folder. Where none of them is writable, as in a read-only container, it is cached in a temporary
    folder of this user, and where there is none either, each start compiles them again.

    Parameters
    ----------
    function : callable, optional
        The kernel; not given together with options.
    **options
        As for ``numba.njit``.

    Examples
    --------
    >>> @njit
    ... def twice(x):
    ...     return 2 * x
    >>> twice(3)
    6
    """

    def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
        dispatcher: Any = numba.njit(nogil=True, **options)(kernel)
        if not _kept(dispatcher) and (place := temporary_folder()) is not None:
            numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"] = str(place)  # for child processes too
            _kept(dispatcher)
        made: Callable[..., Any] = dispatcher
        return made

    return compiled if function is None else compiled(function)


def temporary_folder() -> Path | None:
    """Temporary folder of this user for compiled code; None if it cannot be created.

    Its content is executed, so a folder that others can write, or that another user owns, is refused.
    """
    owner = os.getuid() if hasattr(os, "getuid") else 0
    try:
        parent = Path(tempfile.gettempdir())
        place = parent / f"histoscope-kernels-{owner}"
        if parent == Path.cwd():
            return None  # what `tempfile` returns without a temporary folder
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError:
        return None
    is_private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o022
    is_ours = not hasattr(os, "getuid") or found.st_uid == owner
    return place if is_private and is_ours and os.access(place, os.W_OK) else None


def _kept(dispatcher: Any) -> bool:
    """Enable the cache of a kernel; False if no folder is writable."""
    try:
        dispatcher.enable_caching()
    except RuntimeError:  # "no locator available"
        return False
    return True
