"""Doing the runs of a study, as tasks of a ledger: by this process, by several, or by a Ray cluster."""

import errno
import os
import shutil
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from histoscope.files import write_text
from histoscope.jobs.executor import Executor, Here, News, Opener, leave_if_asked
from histoscope.ledger import Claim, LostError, Row, Task
from histoscope.ledger.ledger import MOST_LOST
from histoscope.studies import folder as study_folder
from histoscope.studies.config import StudyConfig
from histoscope.studies.events import Event, Tell
from histoscope.studies.study import Run
from histoscope.studies.task import StudyTask, task_of

LEDGER = ".ledger"
"""Folder of a call's ledger, below that of its runs."""
TELL_EVERY_S, CHECK_EVERY_S = 0.2, 1.0


def do_runs(task: StudyTask, todo: Sequence[Run], folder: Path, executor: Executor) -> None:
    """Do runs in their order; one that needs the weights of another waits for it.

    Each call has its own ledger: the run folders show what is finished.

    Raises
    ------
    OSError
        If the disk is full: the other runs could not be written either.
    """
    ledger = folder / LEDGER
    shutil.rmtree(ledger, ignore_errors=True)
    ledger.mkdir(parents=True)  # so that nodes of a cluster see that they share the disk
    runs = {run.name: run for run in todo}
    here = DoRun(task.config, runs, folder, task)  # images that runs share are prepared once
    opener: Opener = (lambda *_: here) if isinstance(executor, Here) else OpenRuns(task.config, runs, folder)
    try:
        executor(ledger, tasks_of(task.config, todo), opener)
    finally:
        shutil.rmtree(ledger, ignore_errors=True)


def tasks_of(config: StudyConfig, todo: Sequence[Run]) -> list[Task]:
    """A task for each run; the first ones are the heaviest, so that they are given first."""
    tasks = []
    for k, run in enumerate(todo):
        needed = config.needed(run)
        after = Task(needed.name).row if needed is not None and needed in todo else ""
        tasks.append(Task(run.name, weight=len(todo) - k, after=after))
    return tasks


def event_of(news: News) -> Event | None:
    """What news of a worker say of a run."""
    if news.stage == "said":
        return Event(**news.words)
    if news.stage == "ended":
        error = news.words["error"]
        return Event(news.task, "failed" if error else "done", note=error)
    return None


@dataclass(frozen=True, slots=True)
class OpenRuns:
    """What a worker in another process opens.

    Parameters
    ----------
    config : StudyConfig
    runs : dict
        Name -> run.
    folder : Path
    """

    config: StudyConfig
    runs: dict[str, Run]
    folder: Path

    def __call__(self, k: int, of: int) -> "DoRun":
        """Open it."""
        return DoRun(self.config, self.runs, self.folder, every_s=TELL_EVERY_S)


@dataclass(slots=True)
class DoRun:
    """What a worker does with a run; one that fails keeps the traceback in its folder.

    Parameters
    ----------
    config : StudyConfig
    runs : dict
        Name -> run.
    folder : Path
    task : StudyTask, optional
        Opened for the first run if left out, so that data that cannot be opened fail it.
    every_s : float
        Least time between two reports of the same stage.
    """

    config: StudyConfig
    runs: dict[str, Run]
    folder: Path
    task: StudyTask | None = None
    every_s: float = 0.0

    def __call__(self, claim: Claim) -> Row:
        """Do a run, or continue it where it stopped."""
        run = self.runs[claim.task.name]
        place = self.folder / run.name
        if claim.lost >= MOST_LOST:
            note = f"its worker was lost {claim.lost} times, perhaps because memory ran out"
            write_text(place / study_folder.ERROR, note + "\n")
            return Row({}, note)
        try:
            self.task = self.task or task_of(self.config)
            self.task.do(run, place, _teller(claim, self.every_s))
        except (LostError, BrokenPipeError):
            raise
        except Exception as error:  # whatever it was, the other runs go on and the summary names it
            if disk_full(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder)) from error
            write_text(place / study_folder.ERROR, traceback.format_exc())
            return Row({}, f"{type(error).__name__}: {error}")
        return Row({})


def _teller(claim: Claim, every_s: float) -> Tell:
    """Report the progress of a run; stop if another worker took it over, or if asked to stop.

    The worker that continues it trains again from the last checkpoint.
    """
    last, checked_s = ("", 0.0), time.monotonic()

    def tell(event: Event) -> None:
        nonlocal last, checked_s
        leave_if_asked()
        now_s = time.monotonic()
        if now_s - checked_s >= CHECK_EVERY_S:
            checked_s = now_s
            try:
                claim.check()
            except FileNotFoundError as error:  # this worker slept, and the call is over
                raise LostError(f"{event.run}: the command that ran this study has ended") from error
        if event.stage != last[0] or now_s - last[1] >= every_s:
            last = (event.stage, now_s)
            claim.say(asdict(event))

    return tell


def disk_full(error: BaseException | None) -> bool:
    """Whether a full disk caused an error; libraries in other languages say so in the message alone."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "No space left on device" in str(
            error
        ):
            return True
        error = error.__cause__
    return False
