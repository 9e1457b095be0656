"""Tasks: checks, samples, training, evaluation and tuning of a kind of problem, in one object each.

A model names its task. Another task is another file here and a line in `TASKS`; elsewhere, a model names the
class itself, ``task = "package.module:Name"``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import pandas as pd

from histoscope.balance import Balance, BalanceConfig
from histoscope.data import Dataset
from histoscope.errors import ConfigError
from histoscope.metrics import Metric
from histoscope.models.base import Model
from histoscope.train.config import TrainConfig
from histoscope.types import Sample

if TYPE_CHECKING:
    from histoscope.train.experiment import Experiment
    from histoscope.train.loop import Fitted
    from histoscope.train.mixture import Sampler
    from histoscope.train.plan import Plan
    from histoscope.train.training import Training

OnSample: TypeAlias = Callable[..., None]
"""Called with each test sample, and with what was found in it if the task gives that."""
OnSkip: TypeAlias = Callable[[str, str], None]
"""Called with the name of what cannot be read or scored, and why."""

Learned: TypeAlias = tuple[Sequence[Sample], Sequence[Sample]]
"""Training and validation samples."""

TASKS = {
    "nuclei": "histoscope.train.tasks.nuclei:FindNuclei",
    "patches": "histoscope.train.tasks.patches:ClassifyPatches",
}
"""Name of a task -> its module and class."""


def _nobody(*_: Any) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Callbacks of a run.

    Parameters
    ----------
    start : callable
        When everything has been checked, before the first step.
    step : callable
        Given step and losses after each step of training.
    trained : callable
        Given the seconds of training, before testing begins.
    test : callable
        Given the name of a test set, before it is predicted.
    sample : callable
        Given each test sample, and its nuclei if these are found.
    note : callable
        Given messages: what was loaded, what was skipped.
    skip : callable, optional
        Given the name of what cannot be read, and why; it is left out. Without it, that is an error.
    """

    start: Callable[[], None] = _nobody
    step: Callable[[int, dict[str, float]], None] = _nobody
    trained: Callable[[float], None] = _nobody
    test: Callable[[str], None] = _nobody
    sample: OnSample = _nobody
    note: Callable[[str], None] = _nobody
    skip: OnSkip | None = None

    @classmethod
    def of(cls, **given: Callable[..., None] | None) -> Self:
        """Make one of what is given; None stands for no callback."""
        return cls(**{name: each for name, each in given.items() if each is not None})


class Task(ABC):
    """A kind of problem, for training and evaluation."""

    first_class: int
    """Number of the first class."""
    takes_tta: bool
    """Whether images are predicted with test-time augmentation if that is asked for."""
    skips_unreadable: bool
    """Whether `train` leaves out images that cannot be read, and names them, in place of stopping."""

    @abstractmethod
    def check(self, model: Any, train: Sequence[Sample], val: Sequence[Sample], config: TrainConfig) -> None:
        """Refuse settings that the task does not use, and samples that lack their ground truth."""

    @abstractmethod
    def check_remedies(self, model: Any, config: BalanceConfig) -> None:
        """Refuse remedies for rare classes that the task does not know."""

    @abstractmethod
    def check_experiment(self, experiment: "Experiment", model: Any) -> None:
        """Refuse settings of a whole experiment that are not for this task."""

    @abstractmethod
    def samples(self, plan: "Plan", model: Any, listener: Listener) -> Learned:
        """Training and validation samples of an experiment, as the network sees them."""

    @abstractmethod
    def check_training(self, settings: "Training") -> None:
        """Refuse samples, settings and machine that do not fit each other, before anything is written."""

    @abstractmethod
    def train(self, settings: "Training", folder: Path, card: dict[str, Any], listener: Listener) -> "Fitted":
        """Train, and write the model with its card."""

    @abstractmethod
    def remedies(self, model: Any, train: Sequence[Sample], config: BalanceConfig) -> Balance | None:
        """Compute the remedies for rare classes, and set the class weights of the model's loss."""

    @abstractmethod
    def monitor(self, config: TrainConfig) -> str:
        """Score on the validation part that decides which weights are the best."""

    def further(self, monitor: str) -> tuple[str, ...]:
        """Metrics that `evaluate` must be asked for, if it is to score the monitor."""
        del monitor
        return ()

    def falls(self, monitor: str) -> bool:
        """Whether a lower score of the monitor is better."""
        del monitor
        return False

    @abstractmethod
    def evaluate(
        self,
        model: Any,
        samples: Iterable[Sample],
        *,
        on_sample: OnSample | None = None,
        on_skip: OnSkip | None = None,
        tta: bool = False,
        more: Mapping[str, Metric] = MappingProxyType({}),
    ) -> pd.DataFrame:
        """Predict every sample and compare with its ground truth: one row each, with `more` scores."""

    @abstractmethod
    def summary(self, table: pd.DataFrame, *more: str) -> dict[str, float]:
        """Scores of a whole table of `evaluate`."""

    def tune(self, model: Any, val: Sequence[Sample]) -> dict[str, float]:
        """Tune what is free once the weights are fixed, such as thresholds; scores for the card."""
        del model, val
        return {}

    def tune_classes(
        self,
        model: Any,
        learned: Learned,
        *,
        sampler: "Sampler",
        remedies: Balance | None,
        precision: float,
    ) -> dict[str, Any]:
        """Tune how classes are called, after `tune`; lines for the card, scores under ``validation``.

        `sampler` draws the patches of training, `remedies` are those of `remedies`, and `precision` is
        ``train.class_precision``.
        """
        del model, learned, sampler, remedies, precision
        return {}

    def in_classes_of(self, model: Model, samples: Dataset) -> Dataset:
        """Samples with classes numbered as the model numbers them, if scoring needs that."""
        del model
        return samples


def task_of(model: Model) -> Task:
    """Task of a model.

    Raises
    ------
    ConfigError
        If the model has none: it neither finds nuclei nor classifies.
    """
    if not model.task:
        raise ConfigError(f"model {model.name!r} neither finds nuclei nor classifies: nothing to score")
    return task_named(model.task)


def task_named(name: str) -> Task:
    """Task by its name: a key of `TASKS`, or ``package.module:Name``."""
    module, _, kind = TASKS.get(name, name).partition(":")
    found: Task = getattr(import_module(module), kind)()
    return found
