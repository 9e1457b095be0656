"""Doing runs: one after another in this process, or several at a time in processes of their own."""

import errno
import os
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from histoscope.files import write_text
from histoscope.jobs.processes import cores, how_it_ended, received, settle, start, stop
from histoscope.studies import folder as study_folder
from histoscope.studies.config import StudyConfig
from histoscope.studies.events import Event, Tell
from histoscope.studies.study import Run
from histoscope.studies.task import StudyTask, task_of

TELL_EVERY_SECONDS = 0.2

DoRun = Callable[[Run, Path, Tell], None]


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
                place, threads = folder / run.name, max(1, cores() // jobs)
                receiver, process = start(_child, config, run, place, name=run.name, threads=threads)
                active[receiver] = (run, process)
            ready = connection.wait(list(active))
            for receiver in [one for one in active if one in ready]:
                run, process = active[receiver]
                event = received(receiver)
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
        stop([process for _, process in active.values()])


def _next_run(config: StudyConfig, waiting: Sequence[Run], active: Sequence[Run]) -> Run | None:
    """Choose the first run that needs none which is still to come."""
    to_come = {*waiting, *active}
    return next((run for run in waiting if config.needed(run) not in to_come), None)


def _child(config: StudyConfig, run: Run, folder: Path, sender: Connection) -> None:
    """Body of a child process; the parent stops it, and without the parent no event can be sent."""
    settle()
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


def _died(run: Run, folder: Path, code: int | None) -> Event:
    note = how_it_ended(code)
    write_text(folder / study_folder.ERROR, note + "\n")
    return Event(run.name, "failed", note=note)
