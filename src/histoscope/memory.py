"""Settings of the memory allocator, and recognition of out-of-memory errors."""

import ctypes
import errno
import os
import sys

from histoscope.errors import HistoscopeError

_TRIM, _MMAP, _ARENAS = -1, -3, -8
"""Settings of ``malloc.h``: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX."""
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
    """Let this process keep freed memory for later arrays, instead of returning it to the system.

    A network on a CPU allocates and frees some ten megabytes at each layer. Memory from the system comes in
    pages of 4 KB, each zeroed and mapped when it is first used. Keeping freed memory saves a fifth of the
    processor time of a prediction (4096 x 4096 pixels: 6.0 s instead of 7.7, at a peak of 1.65 GB instead of
    1.4), and about as much in training. The process stays as large as its peak. The command line calls this
    itself; programs may, before they start threads.

    Returns
    -------
    bool
        Whether it was done: only with glibc, and without allocator settings in the environment
        (``MALLOC_...``, ``LD_PRELOAD``).

    Examples
    --------
    >>> keep_freed() in (True, False)
    True
    """
    own = any(name.startswith("MALLOC_") or name == "LD_PRELOAD" for name in os.environ)
    if own or sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # One heap for all threads, so that they share freed memory. Older libraries refuse so large a size.
    settings = ((_MMAP, _MAPPED), (_TRIM, _KEPT), (_ARENAS, 1))
    return mallopt is not None and sum(mallopt(*setting) for setting in settings) == len(settings)


def give_back() -> bool:
    """Return freed memory to the system now, also where `keep_freed` holds.

    Between two pieces of work, this keeps a heap shared by several threads from growing through
    fragmentation.

    Returns
    -------
    bool
        Whether something was returned; only with glibc.

    Examples
    --------
    >>> give_back() in (True, False)
    True
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    return trim is not None and bool(trim(0))


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or its cause, is an out-of-memory error of any library.

    Python, NumPy and Numba raise ``MemoryError``, torch a ``RuntimeError``, OpenCV its only kind of error,
    the system an error number.

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
        is_ours = isinstance(error, HistoscopeError)  # ours are about files and settings
        if is_of_library and not is_ours and any(words in str(error).lower() for words in _WORDS):
            return True
        if isinstance(error, RuntimeError) and str(error) == "could not create a primitive":  # oneDNN
            return True
        seen.add(id(error))
        error = error.__cause__
    return False
