"""Keeping the memory that arrays gave back for those that come next."""

import ctypes
import os
import sys

_TRIM, _MMAP, _ARENAS = -1, -3, -8
"""Names of three settings in ``malloc.h``: what to give back, what to map by itself, how many heaps."""
_KEPT, _MAPPED = 2**31 - 1, 2**30


def keep_freed() -> bool:
    """Let this process keep the memory of dropped arrays, instead of handing it back and asking anew.

    A network on a CPU makes and drops some ten megabytes at each layer. Memory that comes from the system
    comes in pages of 4 KB, each zeroed and mapped when it is first touched: a fifth of a step of
    training and more. The price: a process stays as large as it ever was. The command line calls this for
    itself; programs may, before they start threads.

    Returns
    -------
    bool
        Whether it was done. It is not where the C library is not glibc, nor where the environment has
        settings of its own (``MALLOC_...``, ``LD_PRELOAD``).

    Examples
    --------
    >>> keep_freed() in (True, False)
    True
    """
    own = any(name.startswith("MALLOC_") or name == "LD_PRELOAD" for name in os.environ)
    if own or sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # One heap for all threads: what one gives back, another may take. Older libraries refuse so large a size.
    settings = ((_MMAP, _MAPPED), (_TRIM, _KEPT), (_ARENAS, 1))
    return mallopt is not None and sum(mallopt(*setting) for setting in settings) == len(settings)
