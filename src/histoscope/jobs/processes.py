"""Child processes: started with their share of the cores, and stopped together."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NoReturn

# Read by the libraries when they load, so they are set before a child starts.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
GRACE_SECONDS = 10


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def start(
    body: Callable[..., None], *arguments: Any, name: str, threads: int
) -> tuple[Connection, BaseProcess]:
    """Start a process that sends reports; never by a fork, which CUDA and OpenSlide do not survive.

    Parameters
    ----------
    body : callable
        Called in the child with the arguments and the sending end of a pipe, which closes with the child.
    *arguments
        Pickled.
    name : str
    threads : int
        Threads of the numerical libraries.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=body, args=(*arguments, sender), name=name)
    with _ignoring_interrupts(), _threads(threads):
        process.start()
    sender.close()  # so that the pipe closes with the child
    return receiver, process


def settle() -> None:
    """Set up a child: Ctrl-C is left to the parent, SIGTERM exits cleanly."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, leave)
    keep_to_share()


def keep_to_share() -> None:
    """Keep freed memory, and limit OpenCV to its cores; other libraries read the environment variables."""
    import cv2

    from histoscope.memory import keep_freed

    keep_freed()
    cv2.setNumThreads(int(os.environ[THREAD_VARIABLES[0]]))


def leave(number: int, frame: FrameType | None) -> NoReturn:
    """Turn a signal into an exception, so that half-written files are removed on exit."""
    raise SystemExit(128 + number)


def received(receiver: Connection) -> Any:
    """Next message from a child; None if it has ended."""
    try:
        return receiver.recv()
    except (EOFError, ConnectionResetError):
        return None


def how_it_ended(code: int | None) -> str:
    """How a process ended unexpectedly.

    Examples
    --------
    >>> how_it_ended(1), how_it_ended(-9)
    ('its process ended with exit code 1',
     'its process was killed by signal 9 (SIGKILL), perhaps because memory ran out')
    """
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"its process was killed by signal {-code} ({name}), perhaps because memory ran out"
    return f"its process ended with exit code {code}"


def stop(processes: Sequence[BaseProcess]) -> None:
    """Ask processes to stop, and kill those that do not."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(GRACE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


@contextlib.contextmanager
def _threads(n: int) -> Iterator[None]:
    """Children started inside the block use `n` threads."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(n)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Children started inside the block ignore Ctrl-C; the parent stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
