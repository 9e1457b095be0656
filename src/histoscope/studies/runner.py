"""Running a study: what is missing, and nothing else."""

import math
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import pandas as pd

from histoscope import data, models
from histoscope.data import Dataset, Split
from histoscope.errors import ConfigError, DataError
from histoscope.files import write_image, write_labels
from histoscope.locks import alone_in
from histoscope.studies import content, prepare, workers
from histoscope.studies.config import StudyConfig, check
from histoscope.studies.events import Event, Tell, silent
from histoscope.studies.folder import finished
from histoscope.studies.opening import open_study
from histoscope.studies.study import Condition, Run
from histoscope.train.checks import check_machine
from histoscope.types import Record

# Bytes a pixel of a label map as PNG, on the safe side: crowded tiles take 0.1.
PREDICTION_BYTES = 0.3
# What a study leaves beside weights and predictions: logs, tables, TensorBoard events.
RUN_BYTES = 2_000_000


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


class Work(Protocol):
    """What differs between studies of nuclei and of patches."""

    records: list[Record]

    def sets(self) -> dict[str, Dataset]:
        """All that the study looks at, by name."""

    def require(self, found: pd.DataFrame) -> None:
        """Check that what is needed can be read."""

    def prepare(self, todo: list[Run], folder: Path) -> None:
        """Check that there is room, and write what all runs need."""

    def first(self, todo: list[Run], folder: Path) -> list[tuple[list[Run], Path]]:
        """What must be made before, and in which folder."""


class Tiles:
    """Images with nuclei, parted as published."""

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        self.parts = prepare.open_parts(config.data)
        prepare.tested(config, self.parts)  # refuses conditions that have no images
        self.external = prepare.external(config)
        away = [] if self.external is None else list(self.external.records)
        self.records = prepare.records(self.parts) + away

    def sets(self) -> dict[str, Dataset]:
        """All parts, the other laboratory, and what is synthetic."""
        found = {content.DATA: data.joined([part for _, part in self.parts if len(part)])}
        if self.external is not None:
            found[content.EXTERNAL] = self.external
        return found | self.synthetic

    @cached_property
    def synthetic(self) -> dict[str, Dataset]:
        """Synthetic data sets that may be learned from."""
        return prepare.synthetic_sets(self.config)

    def require(self, found: pd.DataFrame) -> None:
        """Check that all that is learned from can be read; test images that cannot are left out."""
        real = [(content.DATA, r.name) for part in (self.parts.train, self.parts.val) for r in part.records]
        drawn = [(name, r.name) for name, dataset in self.synthetic.items() for r in dataset.records]
        content.require_readable(found, {*real, *drawn})

    def prepare(self, todo: list[Run], folder: Path) -> None:
        """Check that there is room, and write the test images with their truth."""
        tested = prepare.tested(self.config, self.parts)
        require_space(folder, space_needed(self.config, todo, self.parts))
        write_truth(tested, folder)

    def first(self, todo: list[Run], folder: Path) -> list[tuple[list[Run], Path]]:
        """Nothing is made before."""
        return []


def run_study(config: StudyConfig, *, jobs: int = 1, tell: Tell = silent, command: str = "") -> Summary:
    """Train and test every run of a study that is not finished yet.

    Run again after a stop, it goes on where it was: finished runs are kept, a half-trained one continues from
    its checkpoint. A run that fails leaves ``error.txt`` and does not stop the others.

    Parameters
    ----------
    config : StudyConfig
    jobs : int
        Runs at a time, each in a process of its own if there are several; they share the cores evenly.
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
    for training in config.trainings([run for run in config.runs() if not finished(config.folder, run)]):
        check_machine(training)
    if config.declared.task == "patches":
        from histoscope.studies.transfer.work import Patches

        work: Work = Patches(config)
    else:
        work = Tiles(config)
    check_names(work.records)
    found = content.read(work.sets(), config, tell)
    work.require(found)
    folder = open_study(config, work.records, command, found)
    with alone_in(folder):
        return _do_what_is_missing(config, work, folder, jobs, tell)


def _do_what_is_missing(config: StudyConfig, work: Work, folder: Path, jobs: int, tell: Tell) -> Summary:
    """Do the runs that are not finished, in a folder that is held."""
    todo = [run for run in config.runs() if not finished(folder, run)]
    kept = tuple(run.name for run in config.runs() if finished(folder, run))
    ended: list[Event] = []

    def listen(event: Event) -> None:
        if event.is_over:
            ended.append(event)
        tell(event)

    for name in kept:
        tell(Event(name, "kept"))
    if todo:
        work.prepare(todo, folder)
        for batch, place in work.first(todo, folder):
            _do(config, batch, place, jobs, partial(_named, place, listen))
        _do(config, todo, folder, jobs, listen)
    done = tuple(event.run for event in ended if event.stage == "done" and not event.is_before)
    failed = {event.run: event.note for event in ended if event.stage == "failed"}
    return Summary(folder, done, kept, failed, content.left_out(folder))


def _do(config: StudyConfig, todo: list[Run], folder: Path, jobs: int, tell: Tell) -> None:
    """Do runs, several at a time if there are several jobs."""
    jobs = min(jobs, len(todo))
    if jobs == 1:
        workers.here(config, todo, folder, tell)
    else:
        workers.in_processes(config, todo, folder, jobs, tell)


def _named(place: Path, tell: Tell, event: Event) -> None:
    """Tell of something that is made for several runs, by the name of its folder."""
    tell(replace(event, run=f"{place.name}/{event.run}"))


def check_names(records: list[Record]) -> None:
    """Refuse two images of one name, whose predictions would be one file, and names that lead elsewhere."""
    twice = [name for name, times in Counter(record.name for record in records).items() if times > 1]
    if twice:
        raise DataError(
            f"{len(twice)} name(s) stand for several images (first: {twice[0]!r}); names must be unique"
        )
    astray = [
        record.name
        for record in records
        if record.name.startswith(("/", "\\")) or ".." in record.name.replace("\\", "/").split("/")
    ]
    if astray:
        raise DataError(
            f"{len(astray)} image name(s) lead out of a folder (first: {astray[0]!r}); a study writes files "
            "of these names: take '..' and the leading slash out of them"
        )


def write_truth(tested: dict[Condition, Dataset], folder: Path) -> None:
    """Write the test images and their label maps once, so that a report needs no data set."""
    for dataset in tested.values():
        for index, record in enumerate(dataset.records):
            image, labels = (
                folder / "truth" / "images" / f"{record.name}.jpg",
                folder / "truth" / "labels" / f"{record.name}.png",
            )
            if image.is_file() and labels.is_file():
                continue
            sample = dataset[index]
            if sample.instances is None:
                raise DataError(f"test image {record.name!r} has no label map to compare with")
            write_image(image, sample.image)
            write_labels(labels, sample.instances)


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises
    ------
    ConfigError
        With the bytes that are needed and those that are free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(
            f"the study needs about {needed / 1e9:.1f} GB in {folder}, and {free / 1e9:.1f} GB are free; "
            "free space, choose another 'out', or run fewer seeds"
        )


def space_needed(config: StudyConfig, todo: list[Run], parts: Split) -> int:
    """Estimate the bytes that the runs will take."""
    classes = parts.train.info.classes
    networks = {
        name: models.create_for(classes, name, config.models.get(name, {}))
        for name in {run.model for run in todo}
    }
    weights = {name: 4 * sum(p.numel() for p in net.parameters()) for name, net in networks.items()}
    test_px = math.prod(parts.test[0].image.shape[:2]) * len(parts.test) * len(config.declared.conditions)
    # Each run keeps one copy of the weights; while it trains, a checkpoint and its successor hold three each.
    lasting = sum(weights[run.model] + PREDICTION_BYTES * test_px + RUN_BYTES for run in todo)
    return int(lasting + 6 * max(weights.values(), default=0))
