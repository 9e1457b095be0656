"""Tasks: all that a study knows of finding nuclei, or of classifying patches, in one object each.

A study names its task. Another task is another file here and a line in `TASKS`; elsewhere, a study names the
class itself, ``task="package.module:Name"``. Scores and training are those of `histoscope.train.tasks`.
"""

import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import yaml

from histoscope import augment
from histoscope.data import Dataset, Split
from histoscope.errors import ConfigError
from histoscope.files import write_text
from histoscope.models import Model
from histoscope.studies import content
from histoscope.studies import folder as study_folder
from histoscope.studies.config import StudyConfig
from histoscope.studies.events import Event, Tell
from histoscope.studies.machine import environment
from histoscope.studies.study import Run
from histoscope.tables import write_table
from histoscope.train import evaluate
from histoscope.train.choices import get_jitter
from histoscope.train.config import TrainConfig
from histoscope.train.pace import step_seconds
from histoscope.types import Record, Sample

TASKS = {
    "nuclei": "histoscope.studies.nuclei:StudyOfNuclei",
    "patches": "histoscope.studies.patches:StudyOfPatches",
}
"""Name of a task -> its module and class."""
RUN_BYTES = 2_000_000
"""What a run leaves beside weights and predictions: logs, tables, TensorBoard events."""


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


class StudyTask(ABC):
    """A study of one kind of problem. Its data are opened when they are first needed.

    Parameters
    ----------
    config : StudyConfig
    """

    foreign_keys: ClassVar[tuple[str, ...]] = ()
    """Keys of the configuration that are for other tasks."""

    def __init__(self, config: StudyConfig) -> None:
        self.config = config

    @abstractmethod
    def check(self) -> None:
        """Refuse settings that the task does not know; no data are opened."""

    def trainings(self, todo: Sequence[Run]) -> list[TrainConfig]:
        """Give the training settings of runs and of their pretrainings, but for the seeds."""
        return [self.config.train] if todo else []

    def weights(self) -> Mapping[str, Any]:
        """Settings that may name files of weights."""
        return {"models": self.config.models}

    @property
    @abstractmethod
    def parts(self) -> Split:
        """Training, validation and test part, of the largest network or size and the first seed."""

    @abstractmethod
    def records(self) -> list[Record]:
        """List all images of the study; refuse data that it cannot use."""

    @abstractmethod
    def sets(self) -> dict[str, Dataset]:
        """Data sets of the study by name, whose images are digested before anything is trained."""

    def contents(self, tell: Tell) -> pd.DataFrame:
        """Digest all that the results depend on beside the settings, see `content.read`."""
        config = self.config
        chosen = [condition.only[0] for condition in config.declared.conditions if condition.only]
        keys = sorted({config.data.val_by, *chosen})
        weights = content.weight_files(self.weights(), config.data.root)
        return content.read(self.sets(), config.folder, tell, keys=keys, weights=weights)

    @abstractmethod
    def require(self, found: pd.DataFrame) -> None:
        """Refuse to begin where images that the study needs cannot be read."""

    @abstractmethod
    def space(self, todo: Sequence[Run]) -> int:
        """Estimate the bytes that runs will take on disk."""

    @abstractmethod
    def prepare(self, folder: Path) -> None:
        """Write what all runs need."""

    def pretraining(self, todo: Sequence[Run], folder: Path) -> tuple[list[Run], Path]:
        """Pretrainings of runs that are not finished, and the folder for them."""
        del todo
        return [], folder

    @abstractmethod
    def pace(self, todo: Sequence[Run]) -> dict[str, Pace]:
        """Measure the networks of runs."""

    @abstractmethod
    def seconds(self, todo: Sequence[Run], pace: Mapping[str, Pace]) -> list[float]:
        """Seconds of each run, and of each network that must be trained before."""

    def do(self, run: Run, folder: Path, tell: Tell) -> None:
        """Train, test, and write the run's folder; ``per_image.csv`` comes last and means finished.

        Parameters
        ----------
        run : Run
        folder : Path
            The run's folder. Training that was cut short there goes on from its checkpoint; training that
            was finished is not repeated.
        tell : callable
            Given an `Event` at each step.
        """
        started = study_folder.now()
        (folder / study_folder.ERROR).unlink(missing_ok=True)
        tell(Event(run.name, "prepare"))
        settings = yaml.safe_dump(self.describe(run), sort_keys=False, allow_unicode=True)
        write_text(folder / study_folder.CONFIG, settings)

        def note(seconds: Mapping[str, float]) -> None:
            values = environment(started=started, seconds=dict(seconds))
            study_folder.write_json(folder / study_folder.ENVIRONMENT, values)

        write_table(folder / study_folder.RESULT, self.train_and_test(run, folder, tell, note))

    @abstractmethod
    def train_and_test(
        self, run: Run, folder: Path, tell: Tell, note: Callable[[Mapping[str, float]], None]
    ) -> pd.DataFrame:
        """Train a run's network and test it under each condition; `note` keeps the seconds that it took."""

    def describe(self, run: Run) -> dict[str, Any]:
        """Settings of a run, for its ``config.yaml``."""
        config, study = self.config, self.config.declared
        return {
            "format": study_folder.FORMAT,
            "study": study.name,
            "run": run.name,
            "factor": study.factor,
            "level": run.level,
            "model": run.model,
            "seed": run.seed,
            "train": asdict(config.training(run)),
            "data": config.data.model_dump(mode="json"),
            "conditions": [condition.name for condition in study.conditions],
        }

    def measure(self, model: Model, samples: Sequence[Sample], tested: Dataset) -> Pace:
        """Train a network for a few real steps, and let it predict some test images."""
        augmented, jitter = augment.get(self.config.augment), get_jitter(self.config.jitter)
        step = step_seconds(model, samples, self.config.train, augment=augmented, color=jitter)
        evaluate(model, tested, on_skip=skip)  # loads kernels
        began = time.perf_counter()
        evaluate(model, tested, on_skip=skip)
        taken = (time.perf_counter() - began) / len(tested)
        return Pace(step, taken, sum(p.numel() for p in model.parameters()))


def task_of(config: StudyConfig) -> StudyTask:
    """Task of a study, with its configuration."""
    name = config.declared.task
    module, _, kind = TASKS.get(name, name).partition(":")
    found: StudyTask = getattr(import_module(module), kind)(config)
    return found


def skip(name: str, why: str) -> None:
    """Leave out what cannot be read, of every level alike; `run_study` names it."""


def require_space(folder: Path, needed: int) -> None:
    """Refuse runs that the disk has no room for.

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
