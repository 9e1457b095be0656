"""What a study would run, what is done already, and how long the rest takes on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from histoscope.jobs.processes import cores
from histoscope.studies.config import StudyConfig
from histoscope.studies.folder import begun, finished
from histoscope.studies.task import Pace, task_of


@dataclass(frozen=True, slots=True)
class Plan:
    """A study before it is run.

    Parameters
    ----------
    folder : Path
    states : dict
        Name of a run -> ``finished``, ``begun`` or ``missing``.
    images : dict
        Part -> number of images.
    conditions : int
    pace : dict
        Model -> its pace; empty if it was not measured.
    jobs : int
    seconds : float or None
        Time that the missing runs take, if the pace is known.
    bytes_needed : int
        Room that they take on disk.
    """

    folder: Path
    states: dict[str, str]
    images: dict[str, int]
    conditions: int
    pace: dict[str, Pace]
    jobs: int
    seconds: float | None
    bytes_needed: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return {**asdict(self), "folder": str(self.folder)}


def plan_study(config: StudyConfig, *, jobs: int = 1, timed: bool = True) -> Plan:
    """Plan a study; nothing is written in its folder.

    Parameters
    ----------
    config : StudyConfig
    jobs : int
        Runs at a time.
    timed : bool
        Measure a few training steps and one prediction of each network, with a run's number of threads.
    """
    task = task_of(config)
    task.records()
    states = states_of(config)
    todo = [run for run in config.runs() if states[run.name] != "finished"]
    pace: dict[str, Pace] = {}
    if timed and todo:
        with torch_threads(max(1, cores() // jobs)):
            pace = task.pace(todo)
    each = task.seconds(todo, pace) if pace else []
    return Plan(
        folder=config.folder,
        states=states,
        images={name: len(part) for name, part in task.parts},
        conditions=len(config.declared.conditions),
        pace=pace,
        jobs=jobs,
        seconds=max(sum(each) / jobs, *each) if each else None if todo else 0.0,
        bytes_needed=task.space(todo) if todo else 0,
    )


def states_of(config: StudyConfig) -> dict[str, str]:
    """Name of each run -> ``finished``, ``begun`` or ``missing``."""
    folder = config.folder
    return {
        run.name: "finished" if finished(folder, run) else "begun" if begun(folder, run) else "missing"
        for run in config.runs()
    }


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Let torch use `n` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
