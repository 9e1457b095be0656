"""Memory: keeping what arrays gave back for those that come next, and telling when it did not suffice."""

import ctypes
import errno
import os
import sys

from histoscope.errors import HistoscopeError

_TRIM, _MMAP, _ARENAS = -1, -3, -8
"""Names of three settings in ``malloc.h``: what to give back, what to map by itself, how many heaps."""
_KEPT, _MAPPED = 2**31 - 1, 2**30
_WORDS = (
    "out of memory",  # CUDA, Metal
    "can't allocate memory",  # torch on a processor
    "not enough memory",
    "insufficient memory",  # OpenCV
    "cannot allocate memory",  # the system
    "unable to allocate",  # NumPy
    "array is too big",
    "maximum allowed dimension",
    "can't start new thread",  # Python: no room for its stack
)


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


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, says that memory did not suffice.

    Each library says it in its own way: Python, NumPy and Numba by ``MemoryError``, torch by a
    ``RuntimeError``, OpenCV by its only kind of error, the system by a number.

    Examples
    --------
    >>> is_out_of_memory(MemoryError())
    True
    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
    True
    >>> is_out_of_memory(RuntimeError("shapes do not fit"))
    False
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        is_of_library = isinstance(error, RuntimeError | ValueError) or type(error).__module__ == "cv2"
        is_ours = isinstance(error, HistoscopeError)  # its words are of files and settings
        if is_of_library and not is_ours and any(words in str(error).lower() for words in _WORDS):
            return True
        if isinstance(error, RuntimeError) and str(error) == "could not create a primitive":  # oneDNN
            return True
        seen.add(id(error))
        error = error.__cause__
    return False
