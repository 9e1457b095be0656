"""Classification of patches."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from histoscope import models
from histoscope.balance import Balance, BalanceConfig, class_weights
from histoscope.classify import classification
from histoscope.data import Dataset
from histoscope.data.readers.patch_files import groups_of_two_classes
from histoscope.errors import ConfigError, DataError
from histoscope.metrics import Metric
from histoscope.models.base import Model
from histoscope.models.patches.classifier import Classifier
from histoscope.train import census
from histoscope.train.config import PATCH_MONITORS, TrainConfig
from histoscope.train.plan import Plan
from histoscope.train.tasks import Learned, Listener, OnSample, OnSkip
from histoscope.train.tasks.labelled import LabelledTask
from histoscope.types import Sample

if TYPE_CHECKING:
    from histoscope.train.experiment import Experiment


class ClassifyPatches(LabelledTask):
    """Each patch has one class."""

    first_class = 0
    takes_tta = False
    skips_unreadable = True

    def check(
        self, model: Classifier, train: Sequence[Sample], val: Sequence[Sample], config: TrainConfig
    ) -> None:
        """Refuse settings of nuclei that a classifier would ignore, and patches of unknown classes."""
        del val  # what a score cannot be made of is left out of it
        _check_unread(model, config)
        for sample in train:
            model.targets(sample)

    def check_remedies(self, model: Classifier, config: BalanceConfig) -> None:
        """Refuse remedies other than class weights."""
        del model
        if config != BalanceConfig(class_weights=config.class_weights):
            raise ConfigError("of the remedies for rare classes, classifiers take class weights alone")

    def check_experiment(self, experiment: "Experiment", model: Classifier) -> None:
        """Refuse what is for nuclei."""
        del model
        if experiment.synthetic or experiment.initial_weights:
            raise ConfigError(
                "'synthetic' and 'initial_weights' are for models that find nuclei; a classifier has the "
                "argument 'weights'"
            )
        if experiment.metrics:
            raise ConfigError("'metrics' are of label maps; a classifier of patches finds none")

    def samples(self, plan: Plan, model: Classifier, listener: Listener) -> Learned:
        """Hold all patches in memory, at the size and resolution of the network."""
        self.describe(plan, model, listener)
        skip = listener.skip or _refuse
        parts = plan.shown
        train, val = (classification.in_memory(model, part, skip) for part in (parts.train, parts.val))
        return train, val

    def describe(self, plan: Plan, model: Classifier, listener: Listener) -> None:
        """Check the parts, describe them, and set the resolution of the network."""
        parts, note = plan.shown, listener.note
        classification.check_seen(parts.train, parts.val, parts.test)
        mixed = groups_of_two_classes([record for _, part in parts for record in part.records])
        if mixed:
            first = f"{mixed[0].name}: {mixed[0].message}"
            note(f"groups with patches of several classes: {len(mixed)}, kept unchanged ({first})")
        for name, part in parts:
            note(str(census.count_patches(name, part.records, part.info.classes)))
        given = plan.experiment.model.arguments
        classification.set_input_mpp(model, parts.train, mpp_given="mpp" in given)
        note(f"backbone {model.arguments.get('backbone', models.name_of(model))}: {model.loaded}")

    def remedies(self, model: Classifier, train: Sequence[Sample], config: BalanceConfig) -> Balance | None:
        """Weigh the classes in the loss."""
        labels = [int(model.targets(sample)["label"]) for sample in train]
        counts = np.bincount(labels, minlength=len(model.spec.classes))
        model.weigh_classes(class_weights(counts, config.class_weights).tolist())
        return None

    def monitor(self, config: TrainConfig) -> str:
        """Score that the settings name, if it is one of patches; else the log loss."""
        return config.monitor if config.monitor in PATCH_MONITORS else "nll"

    def falls(self, monitor: str) -> bool:
        """The log loss does."""
        return monitor == "nll"

    def evaluate(
        self,
        model: Classifier,
        samples: Iterable[Sample],
        *,
        on_sample: OnSample | None = None,
        on_skip: OnSkip | None = None,
        tta: bool = False,
        more: Mapping[str, Metric] = MappingProxyType({}),
    ) -> pd.DataFrame:
        """Probabilities of each patch, and its class."""
        del tta
        if more:
            raise ConfigError(f"scores {list(more)} are of label maps; model {model.name!r} finds no nuclei")
        if getattr(samples, "info", None) is not None:
            samples = self.in_classes_of(model, cast("Dataset", samples))
        return classification.predict_classes(model, samples, on_patch=on_sample, on_skip=on_skip)

    def summary(self, table: pd.DataFrame, *more: str) -> dict[str, float]:
        """Accuracy, log loss and other scores over all patches."""
        del more
        return classification.scores(table)

    def in_classes_of(self, model: Model, samples: Dataset) -> Dataset:
        """Match classes by name."""
        return classification.in_words_of(model.spec.classes, samples)


def _refuse(name: str, why: str) -> None:
    raise DataError(f"patch {name!r} cannot be read: {why}")


def _check_unread(model: Classifier, config: TrainConfig) -> None:
    """Refuse settings of nuclei that a classifier would ignore; those at their defaults mean nothing."""
    default = TrainConfig()
    own = {
        "patch_px": (
            model.spec.patch_px,
            f"its patches have {model.spec.patch_px} pixels (model.arguments.patch_px)",
        ),
        "on_nuclei": (0.0, "its patches are whole images"),
        "labelled_share": (0.0, "each of its patches has a class"),
        "class_precision": (0.0, "it does not call patches unsure"),
        "monitor": ("nll", f"it is judged by one of {', '.join(PATCH_MONITORS)}"),
    }
    for name, (meant, why) in own.items():
        value = getattr(config, name)
        if value in (getattr(default, name), meant) or (name == "monitor" and value in PATCH_MONITORS):
            continue
        raise ConfigError(f"train.{name} is {value!r}, which a patch classifier does not use: {why}")
