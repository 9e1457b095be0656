"""Numba kernels, compiled once and kept for the next start wherever there is a place to write."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, overload

import numba

R = TypeVar("R")


@overload
def njit(function: Callable[..., R]) -> Callable[..., R]: ...


@overload
def njit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """`numba.njit` that releases the interpreter's lock and keeps what it compiled.

    Compiled code goes where Numba puts it: into ``NUMBA_CACHE_DIR``, beside the source, or into the user's
    cache folder. Where none of them can be written, as in a read-only container, it goes into a folder of
    this user's among the temporary files, and where there is none either, each start compiles again.

    Parameters
    ----------
    function : callable, optional
        The kernel; left out where options are given.
    **options
        As ``numba.njit`` takes them.

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


def folder_of(kernel: Callable[..., Any]) -> Path | None:
    """Folder where the compiled code of a kernel is kept, or None if each start compiles it again."""
    path = kernel.stats.cache_path  # type: ignore[attr-defined]
    return None if path is None else Path(path)


def temporary_folder() -> Path | None:
    """Folder of this user's among the temporary files, for compiled code; None if it cannot be made.

    What is in it is run, so a folder that others can write, or that is somebody else's, is not taken.
    """
    owner = os.getuid() if hasattr(os, "getuid") else 0
    try:
        parent = Path(tempfile.gettempdir())
        place = parent / f"histoscope-kernels-{owner}"
        if parent == Path.cwd():
            return None  # where `tempfile` ends up without a temporary folder: results belong there
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError:
        return None
    is_private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o022
    is_ours = not hasattr(os, "getuid") or found.st_uid == owner
    return place if is_private and is_ours and os.access(place, os.W_OK) else None


def _kept(dispatcher: Any) -> bool:
    """Let a kernel keep its compiled code; False if there is no place for it."""
    try:
        dispatcher.enable_caching()
    except RuntimeError:  # "no locator available"
        return False
    return True
