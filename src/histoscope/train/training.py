"""Training and testing a network: one way for `train`, every study, transfer and pretraining."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch

from histoscope import metrics
from histoscope.data import Dataset
from histoscope.metrics import Metric
from histoscope.models import Model
from histoscope.models.device import fastest
from histoscope.train.recipe import Recipe, card_of
from histoscope.train.tasks import Listener, Task
from histoscope.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSets:
    """What a trained network is tested on, and how.

    Parameters
    ----------
    sets : mapping of str to Dataset
        Test sets by name, as the network sees them.
    tta : bool
        Test-time augmentation.
    metrics : sequence of str
        Further scores, as of `histoscope.train.evaluate`.
    """

    __test__ = False  # no test of pytest

    sets: Mapping[str, Dataset] = field(default_factory=dict)
    tta: bool = False
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A network, its training and test data, and the settings.

    Parameters
    ----------
    model : Model
        With its initial weights.
    train, val : sequence of Sample
        As the network sees them. An empty `val` keeps the last weights.
    recipe : Recipe
    test : TestSets
        Empty for a pretraining.
    """

    model: Model
    train: Sequence[Sample]
    val: Sequence[Sample] = ()
    recipe: Recipe
    test: TestSets = field(default_factory=TestSets)


@dataclass(frozen=True, slots=True)
class Tested:
    """A network that was trained and tested.

    Parameters
    ----------
    model : Model
        With its best weights.
    tables : dict of str to DataFrame
        Scores of each test set, a row per image or patch.
    seconds : dict of str to float
        ``train`` and ``evaluate``; training counts all attempts.
    """

    model: Model
    tables: dict[str, pd.DataFrame]
    seconds: dict[str, float]


def train_and_test(task: Task, settings: Training, folder: Path, listener: Listener | None = None) -> Tested:
    """Train a network, keep it in ``folder/model`` with its card, and score it on every test set.

    Parameters
    ----------
    task : Task
        How it learns and is scored, such as `task_of(model)`.
    settings : Training
    folder : Path
        Run folder; training continues from a checkpoint in it.
    listener : Listener, optional

    Raises
    ------
    ConfigError, DataError
        Before anything is written, if settings, samples, machine and network do not fit each other.
    TrainingError
        If the loss stops being a number.
    """
    listener = listener or Listener()
    task.check_training(settings)
    card = card_of(settings.recipe, folder)
    listener.start()
    fitted = task.train(settings, folder, card, listener)
    listener.trained(fitted.seconds)
    began = time.perf_counter()
    tables = score(
        task, fitted.model, settings.test, listener, accelerator=settings.recipe.config.accelerator
    )
    return Tested(fitted.model, tables, {"train": fitted.seconds, "evaluate": time.perf_counter() - began})


def score(
    task: Task, model: Model, test: TestSets, listener: Listener, *, accelerator: str = "auto"
) -> dict[str, pd.DataFrame]:
    """Score a trained network on every test set; it is moved to the device that is named for training."""
    if not test.sets:
        return {}
    model.to(torch.device("cpu") if accelerator == "cpu" else fastest())
    further: dict[str, Metric] = {name.rpartition(":")[2]: metrics.get(name) for name in test.metrics}
    more = {"more": further} if further else {}
    tables = {}
    for name, dataset in test.sets.items():
        listener.test(name)
        tables[name] = task.evaluate(
            model, dataset, on_sample=listener.sample, on_skip=listener.skip, tta=test.tta, **more
        )
    return tables
