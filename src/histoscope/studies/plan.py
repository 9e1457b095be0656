"""What a study would run, what is done already, and how long the rest takes on this machine."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from histoscope import augment, data, models, train
from histoscope.data import Split
from histoscope.studies import prepare
from histoscope.studies.config import StudyConfig
from histoscope.studies.folder import begun, finished
from histoscope.studies.runner import space_needed
from histoscope.studies.workers import cores
from histoscope.train.choices import get_jitter
from histoscope.train.pace import step_seconds
from histoscope.train.parts import at_model


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one network is on this machine.

    Parameters
    ----------
    step_seconds, image_seconds : float
        Of a training step; of predicting and scoring one image.
    parameters : int
        Weights of the network.
    """

    step_seconds: float
    image_seconds: float
    parameters: int


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
    """Look at what a study would do; nothing is written in its folder.

    Parameters
    ----------
    config : StudyConfig
    jobs : int
        Runs at a time.
    timed : bool
        Measure a few training steps and one prediction of each network, with a run's number of threads.
    """
    if config.declared.task == "patches":
        from histoscope.studies.transfer.plan import plan_patches

        return plan_patches(config, jobs=jobs, timed=timed)
    parts = prepare.open_parts(config.data)
    folder = config.folder
    runs, states = config.runs(), states_of(config)
    todo = [run for run in runs if states[run.name] != "finished"]
    tested = sum(map(len, prepare.tested(config, parts).values()))
    pace: dict[str, Pace] = {}
    if timed and todo:
        with torch_threads(max(1, cores() // jobs)):
            pace = {name: measure(config, name, parts) for name in dict.fromkeys(run.model for run in todo)}
    work = [
        config.steps(run) * pace[run.model].step_seconds
        + (tested + _looks(config) * len(parts.val)) * pace[run.model].image_seconds
        for run in todo
        if run.model in pace
    ]
    return Plan(
        folder=folder,
        states=states,
        images={name: len(part) for name, part in parts},
        conditions=len(config.declared.conditions),
        pace=pace,
        jobs=jobs,
        seconds=max(sum(work) / jobs, *work) if work else None if todo else 0.0,
        bytes_needed=space_needed(config, todo, parts) if todo else 0,
    )


def states_of(config: StudyConfig) -> dict[str, str]:
    """Name of each run -> ``finished``, ``begun`` or ``missing``."""
    folder = config.folder
    return {
        run.name: "finished" if finished(folder, run) else "begun" if begun(folder, run) else "missing"
        for run in config.runs()
    }


def measure(config: StudyConfig, name: str, parts: Split) -> Pace:
    """Train one network for a few real steps, and let it find the nuclei of one test image."""
    model = models.create_for(parts.train.info.classes, name, config.models.get(name, {}))
    samples = at_model(data.subset(parts.train, range(min(2, len(parts.train)))), model.spec.mpp)
    augmented, jitter = augment.get(config.augment), get_jitter(config.jitter)
    step = step_seconds(model, samples, config.train, augment=augmented, color=jitter)
    one = data.in_memory(data.subset(parts.test, [0]))
    train.evaluate(model, one)  # loads kernels
    began = time.perf_counter()
    train.evaluate(model, one)
    taken = time.perf_counter() - began
    return Pace(step, taken, sum(p.numel() for p in model.parameters()))


def _looks(config: StudyConfig) -> int:
    """How often a run looks at the validation part."""
    return -(-config.train.steps // config.train.evaluate_every)


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Let torch use `n` threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
