"""Doing runs: one after another in this process, or several at a time in processes of their own."""

import contextlib
import errno
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import NoReturn

from histoscope.files import write_text
from histoscope.studies import folder as study_folder
from histoscope.studies.config import StudyConfig
from histoscope.studies.events import Event, Tell
from histoscope.studies.study import Run
from histoscope.studies.task import StudyTask, task_of

# Read by the libraries when they load, so they are set before a child starts.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
GRACE_SECONDS = 10
TELL_EVERY_SECONDS = 0.2

DoRun = Callable[[Run, Path, Tell], None]


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def attempt(do: DoRun, run: Run, folder: Path, tell: Tell) -> None:
    """Do a run; if it fails, keep the traceback in its folder and say so.

    Raises
    ------
    OSError
        If the disk is full: the other runs could not be written either.
    """
    try:
        do(run, folder, tell)
    except BrokenPipeError:
        raise
    except Exception as error:  # whatever it was, the other runs go on and the summary names it
        if disk_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        write_text(folder / study_folder.ERROR, traceback.format_exc())
        tell(Event(run.name, "failed", note=f"{type(error).__name__}: {error}"))
    else:
        tell(Event(run.name, "done"))


def disk_full(error: BaseException | None) -> bool:
    """Whether a full disk caused an error; libraries in other languages say so in the message alone."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "No space left on device" in str(
            error
        ):
            return True
        error = error.__cause__
    return False


def here(task: StudyTask, todo: Sequence[Run], folder: Path, tell: Tell) -> None:
    """Do runs one after another in this process; images that they share are prepared once."""
    for run in todo:
        attempt(task.do, run, folder / run.name, tell)


def in_processes(config: StudyConfig, todo: Sequence[Run], folder: Path, jobs: int, tell: Tell) -> None:
    """Do up to `jobs` runs at a time, each in a process of its own with its share of the cores.

    A process that dies (killed for memory, say) fails its run and no other. Ctrl-C, or an error here, stops
    them all; what they finished stays.
    """
    waiting, active = list(todo), dict[Connection, tuple[Run, BaseProcess]]()
    ended: set[Run] = set()
    try:
        while waiting or active:
            while len(active) < jobs and (
                run := _next_run(config, waiting, [run for run, _ in active.values()])
            ):
                waiting.remove(run)
                receiver, process = _start(config, run, folder / run.name, max(1, cores() // jobs))
                active[receiver] = (run, process)
            ready = connection.wait(list(active))
            for receiver in [one for one in active if one in ready]:
                run, process = active[receiver]
                event = _next(receiver)
                if event is None:
                    del active[receiver]
                    process.join()
                    if run not in ended:
                        tell(_died(run, folder / run.name, process.exitcode))
                elif event.stage == "disk full":
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), event.note)
                else:
                    if event.is_over:
                        ended.add(run)
                    tell(event)
    finally:
        _stop([process for _, process in active.values()])


def _next_run(config: StudyConfig, waiting: Sequence[Run], active: Sequence[Run]) -> Run | None:
    """Choose the first run that needs none which is still to come."""
    to_come = {*waiting, *active}
    return next((run for run in waiting if config.needed(run) not in to_come), None)


def _start(config: StudyConfig, run: Run, folder: Path, threads: int) -> tuple[Connection, BaseProcess]:
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(config, run, folder, sender), name=run.name)
    with _ignoring_interrupts(), _threads(threads):
        process.start()
    sender.close()  # now the pipe ends when the child does
    return receiver, process


def _child(config: StudyConfig, run: Run, folder: Path, sender: Connection) -> None:
    """Body of a child process; the parent stops it, and without the parent no event can be sent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    import cv2

    from histoscope.memory import keep_freed

    keep_freed()
    cv2.setNumThreads(int(os.environ[THREAD_VARIABLES[0]]))
    last = ("", 0.0)

    def tell(event: Event) -> None:
        nonlocal last
        if event.stage != last[0] or time.monotonic() - last[1] >= TELL_EVERY_SECONDS:
            last = (event.stage, time.monotonic())
            sender.send(event)

    def do(one: Run, place: Path, say: Tell) -> None:
        task_of(config).do(one, place, say)  # data that cannot be opened fails the run

    try:
        attempt(do, run, folder, tell)
    except BrokenPipeError:
        return
    except OSError as error:
        if not disk_full(error):
            raise
        sender.send(Event(run.name, "disk full", note=str(folder)))


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    # An exception, so that half-written files are removed on the way out.
    raise SystemExit(128 + number)


def _next(receiver: Connection) -> Event | None:
    try:
        event: Event = receiver.recv()
    except (EOFError, ConnectionResetError):
        return None
    return event


def _died(run: Run, folder: Path, code: int | None) -> Event:
    note = f"its process ended with exit code {code}"
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        note = f"its process was killed by signal {-code} ({name}), perhaps for want of memory"
    write_text(folder / study_folder.ERROR, note + "\n")
    return Event(run.name, "failed", note=note)


def _stop(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(GRACE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


@contextlib.contextmanager
def _threads(n: int) -> Iterator[None]:
    """Children that start inside use `n` threads."""
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
    """Child processes that start inside ignore Ctrl-C from the start; the parent stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
