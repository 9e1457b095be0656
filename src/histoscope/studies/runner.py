"""Running a study: what is missing, and nothing else."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from histoscope.errors import ConfigError, DataError
from histoscope.jobs.executor import Here, News, Processes
from histoscope.locks import alone_in
from histoscope.studies.checks import check
from histoscope.studies.config import StudyConfig
from histoscope.studies.events import Event, Tell, silent
from histoscope.studies.folder import finished, left_out
from histoscope.studies.opening import open_study
from histoscope.studies.study import Run
from histoscope.studies.task import StudyTask, require_space, task_of
from histoscope.studies.workers import do_runs, event_of
from histoscope.train.checks import check_machine
from histoscope.types import Record

if TYPE_CHECKING:
    from histoscope.jobs.on_ray import Ray


@dataclass(frozen=True, slots=True)
class Summary:
    """How a study ended.

    Parameters
    ----------
    folder : Path
    done : tuple of str
        Runs that were finished now.
    kept : tuple of str
        Runs that were finished before.
    failed : dict
        Name of a run -> what went wrong, in one line.
    left_out : dict
        Name of an image that could not be read, and is left out of every run alike -> why.
    """

    folder: Path
    done: tuple[str, ...]
    kept: tuple[str, ...]
    failed: dict[str, str]
    left_out: dict[str, str] = field(default_factory=dict)


def run_study(
    config: StudyConfig,
    *,
    jobs: int = 1,
    cluster: "Ray | None" = None,
    tell: Tell = silent,
    command: str = "",
) -> Summary:
    """Train and test every run of a study that is not finished yet.

    Run it again after a stop and it continues where it stopped: finished runs are kept, a half-trained one
    continues from its checkpoint. A run that fails leaves ``error.txt`` and does not stop the others.

    Parameters
    ----------
    config : StudyConfig
    jobs : int
        Runs at a time, each in its own process if there are several; they share the cores evenly.
    cluster : Ray, optional
        Its nodes do the runs instead of this machine; they must see all files under the same paths.
    tell : callable, optional
        Given an `Event` whenever something happens.
    command : str
        What was typed to run it; kept for the report.

    Returns
    -------
    Summary

    Raises
    ------
    ConfigError
        If the configuration is wrong, its folder holds something else or is written by another call, or the
        disk has no room for the study.
    DataError
        If the data set is not fit for a study.
    OSError
        If the disk fills up; finished runs are kept.
    """
    check(config)
    if jobs < 1:
        raise ConfigError(f"--jobs is {jobs}, expected at least 1")
    task = task_of(config)
    for training in task.trainings([run for run in config.runs() if not finished(config.folder, run)]):
        check_machine(training)
    records = task.records()
    check_names(records)
    found = task.contents(tell)
    task.require(found)
    folder = open_study(task, records, command, found)
    with alone_in(folder):
        return _do_what_is_missing(task, folder, cluster or jobs, tell)


def _do_what_is_missing(task: StudyTask, folder: Path, how: "int | Ray", tell: Tell) -> Summary:
    """Do the runs that are not finished, in a folder that is held."""
    runs = task.config.runs()
    todo = [run for run in runs if not finished(folder, run)]
    kept = tuple(run.name for run in runs if finished(folder, run))
    ended: list[Event] = []

    def listen(event: Event) -> None:
        if event.is_over:
            ended.append(event)
        tell(event)

    for name in kept:
        tell(Event(name, "kept"))
    if todo:
        require_space(folder, task.space(todo))
        task.prepare(folder)
        before, place = task.pretraining(todo, folder)
        if before:
            _do(task, before, place, how, lambda event: listen(_named(place, event)))
        _do(task, todo, folder, how, listen)
    done = tuple(event.run for event in ended if event.stage == "done" and not event.is_before)
    failed = {event.run: event.note for event in ended if event.stage == "failed"}
    return Summary(folder, done, kept, failed, left_out(folder))


def _do(task: StudyTask, todo: list[Run], folder: Path, how: "int | Ray", tell: Tell) -> None:
    """Do runs: on a cluster, or so many at a time."""

    def hear(news: News) -> None:
        event = event_of(news)
        if event is not None:
            tell(event)

    if not isinstance(how, int):
        do_runs(task, todo, folder, replace(how, on_news=hear))
    elif how == 1 or len(todo) == 1:
        do_runs(task, todo, folder, Here(on_news=hear))
    else:
        do_runs(task, todo, folder, Processes(min(how, len(todo)), on_news=hear))


def _named(place: Path, event: Event) -> Event:
    """Name an event of a pretraining by its folder."""
    return replace(event, run=f"{place.name}/{event.run}")


def check_names(records: list[Record]) -> None:
    """Refuse two images of one name, which would share a file, and names that lead outside the folder."""
    twice = [name for name, times in Counter(record.name for record in records).items() if times > 1]
    if twice:
        raise DataError(
            f"{len(twice)} name(s) are used by several images (first: {twice[0]!r}); names must be unique"
        )
    astray = [
        record.name
        for record in records
        if record.name.startswith(("/", "\\")) or ".." in record.name.replace("\\", "/").split("/")
    ]
    if astray:
        raise DataError(
            f"{len(astray)} image name(s) lead outside the folder (first: {astray[0]!r}); a study writes "
            "files with these names: remove '..' and leading slashes"
        )
