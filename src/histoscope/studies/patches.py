"""Studies of classifying patches: several initial weights, few and many groups, two splits.

A run is one kind of initial weights x one size of the training part x one seed, trained and tested under each
split. Pretrainings that several runs share are made once, in ``pretrained/``.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import pandas as pd

from histoscope import augment, data, explain, metrics
from histoscope.class_names import names_in_order
from histoscope.classify import classification
from histoscope.classify.baselines import predict_baseline
from histoscope.classify.probe import ProbeConfig
from histoscope.data import Dataset, Split
from histoscope.errors import ConfigError, DataError
from histoscope.files import write_image
from histoscope.models.patches.classifier import Classifier
from histoscope.studies import content
from histoscope.studies import folder as study_folder
from histoscope.studies.events import Event, Tell, steps_of
from histoscope.studies.factors import BASELINES
from histoscope.studies.study import Run
from histoscope.studies.task import RUN_BYTES, Pace, StudyTask, skip
from histoscope.studies.transfer import initial
from histoscope.studies.transfer.names import (
    MISTAKES,
    PRETRAINED,
    PROBE,
    SELF_SUPERVISED,
    SPENT,
    SYNTHETIC,
    TABLE,
    TUNED,
    groups_of,
    pretraining_of,
    pretrainings,
)
from histoscope.studies.transfer.parts import open_everything, parts
from histoscope.tables import read_table, write_table
from histoscope.train import provenance
from histoscope.train.config import TrainConfig, check_unlabelled
from histoscope.train.probing import ProbePatches
from histoscope.train.recipe import Recipe
from histoscope.train.tasks import Learned, Listener, task_of
from histoscope.train.training import TestSets, Training, train_and_test
from histoscope.types import Record

SHOWN = 4
"""Most confident errors whose images are kept, of each split."""
START_SECONDS = 8.0
"""Of a process that imports everything and opens the data."""
VIEWS = 2.5
"""What a step without labels costs, in steps of a classifier: two views of each tile, and more layers."""


class StudyOfPatches(StudyTask):
    """Classifiers of patches, trained and tested under a split by group and one at random."""

    foreign_keys: ClassVar = ("nuclei",)

    def check(self) -> None:
        """Refuse sizes of the training part that are none, and settings that are for nuclei."""
        config = self.config
        for size in config.declared.models:
            groups_of(size)
        if config.data.val + config.patches.test >= 1:
            raise ConfigError(
                f"data.val is {config.data.val} and patches.test {config.patches.test}: nothing is left for "
                "training; their sum must stay below 1"
            )
        check_unlabelled(config.patches.self_supervised, "patches.self_supervised")
        if config.jitter != "none":
            raise ConfigError(
                f"jitter is {config.jitter!r}, but study {config.study!r} classifies patches and does not "
                "change colours; leave it out"
            )

    def trainings(self, todo: Sequence[Run]) -> list[TrainConfig]:
        """Give the training settings of runs and of their pretrainings, but for the seeds."""
        before = {run.level for run in todo} & {SYNTHETIC, SELF_SUPERVISED}
        return [*super().trainings(todo), *(getattr(self.config.patches, one) for one in before)]

    def weights(self) -> Mapping[str, Any]:
        """Settings that may name files of weights."""
        chosen = self.config.patches
        return {
            **super().weights(),
            "patches.backbone": chosen.backbone,
            "patches.imagenet": chosen.imagenet,
        }

    @cached_property
    def kinds(self) -> list[str]:
        """Splits that the study compares."""
        return [condition.name for condition in self.config.declared.conditions]

    @cached_property
    def everything(self) -> Dataset:
        """All patches, those that cannot be read among them."""
        return open_everything(self.config)

    @cached_property
    def dataset(self) -> Dataset:
        """The patches, without those that could not be read when the study began."""
        return content.readable(self.everything, self.config.folder)

    @property
    def parts(self) -> Split:
        """Training, validation and test part of the largest size, split by group."""
        study = self.config.declared
        return parts(self.dataset, self.config, "grouped", study.models[-1], study.seeds[0])

    def records(self) -> list[Record]:
        """List all patches."""
        return list(self.everything.records)

    def sets(self) -> dict[str, Dataset]:
        """All patches."""
        return {study_folder.DATA: self.everything}

    def require(self, found: pd.DataFrame) -> None:
        """Patches that cannot be read are left out of every run alike."""
        if (found["problem"] != "").sum() == len(self.everything):
            raise DataError(
                f"none of the {len(self.everything)} patches can be read; run 'histoscope data verify'"
            )

    def space(self, todo: Sequence[Run]) -> int:
        """Estimate the bytes that runs will take: the network of each split, while it trains thrice more."""
        network = Classifier(**self.config.patches.backbone)
        weights = 4 * sum(parameter.numel() for parameter in network.parameters())
        return int(len(todo) * len(self.kinds) * (weights + RUN_BYTES) + 6 * weights)

    def prepare(self, folder: Path) -> None:
        """Check that every part can be made."""
        del folder
        for size in self.config.declared.models:
            parts(self.dataset, self.config, "random", size, self.config.declared.seeds[0])

    def pretraining(self, todo: Sequence[Run], folder: Path) -> tuple[list[Run], Path]:
        """Pretrainings of runs that are not finished, and the folder for them."""
        made = pretrainings(list(todo), self.kinds)
        return [one for one in made if not initial.is_made(folder, one)], folder / PRETRAINED

    def pace(self, todo: Sequence[Run]) -> dict[str, Pace]:
        """Measure the one network on some patches."""
        del todo
        model = initial.classifier(self.config, self.dataset, seed=0, weights=None)
        few = data.subset(self.dataset, range(0, len(self.dataset), max(1, len(self.dataset) // 32)))
        network = str(self.config.patches.backbone.get("backbone", "resnet18"))
        return {network: self.measure(model, classification.in_memory(model, few, skip), few)}

    def seconds(self, todo: Sequence[Run], pace: Mapping[str, Pace]) -> list[float]:
        """Seconds of each run, and of each network that must be trained before."""
        config, (one,), n_patches = self.config, pace.values(), len(self.dataset)
        validations = config.train.steps // config.train.evaluate_every
        seen = n_patches * (1 + config.patches.test + config.data.val * validations)
        each = len(self.kinds) * (config.train.steps * one.step_seconds + seen * one.image_seconds)
        untrained = {*BASELINES, PROBE}
        found = [START_SECONDS + (0.0 if run.level in untrained else each) for run in todo]
        for made in self.pretraining(todo, config.folder)[0]:
            chosen, views = {
                SYNTHETIC: (config.patches.synthetic, 1.0),
                SELF_SUPERVISED: (config.patches.self_supervised, VIEWS),
            }.get(made.level, (None, 0.0))
            found.append(n_patches * one.image_seconds + START_SECONDS)
            if chosen is not None:
                share = chosen.batch_size / config.train.batch_size
                found[-1] += views * chosen.steps * one.step_seconds * share
        return found

    def do(self, run: Run, folder: Path, tell: Tell) -> None:
        """Do a run, or a pretraining that several runs share."""
        if folder.parent.name == PRETRAINED:
            initial.make(self.config, self.dataset, run, folder, tell)
        else:
            super().do(run, folder, tell)

    def train_and_test(
        self, run: Run, folder: Path, tell: Tell, note: Callable[[Mapping[str, float]], None]
    ) -> pd.DataFrame:
        """Train and test under every split; one that was finished before a stop is not done again."""
        tables = [self._under(kind, run, folder / kind, tell) for kind in self.kinds]
        spent = {kind: study_folder.read_json(folder / kind / SPENT) for kind in self.kinds}
        total = {
            name: round(sum(each.get(name, 0.0) for each in spent.values()), 2)
            for name in ("prepare", "train", "evaluate")
        }
        note(total | {f"train_{kind}": each["train"] for kind, each in spent.items()})
        return pd.concat(tables, ignore_index=True)

    def describe(self, run: Run) -> dict[str, Any]:
        """Settings of a run, with the patches of each split."""
        named = {
            kind: {name: [record.name for record in part.records] for name, part in self._cell(kind, run)}
            for kind in self.kinds
        }
        return super().describe(run) | {
            "augment": self.config.augment,
            "patches": self.config.patches.model_dump(mode="json"),
            "images": named[self.config.declared.primary_condition],
            "images_by_split": named,
        }

    def _cell(self, kind: str, run: Run) -> Split:
        return parts(self.dataset, self.config, kind, run.model, run.seed)

    def _under(self, kind: str, run: Run, out: Path, tell: Tell) -> pd.DataFrame:
        """Train and test under one split; the table of its test patches."""
        if not (out / TABLE).is_file():
            cell = self._cell(kind, run)
            classification.check_seen(cell.train, cell.test)
            train = (
                self._baseline
                if run.level in BASELINES
                else self._probe
                if run.level == PROBE
                else self._train
            )
            table, seconds = train(cell, run, kind, out, tell)
            tell(Event(run.name, "test", 1, 1))
            table = _scored(table, cell, self.config.data.val_by)
            table.insert(0, "condition", kind)
            _keep_mistakes(table, cell, out / MISTAKES)
            study_folder.write_json(out / SPENT, seconds | {"images": float(len(cell.train))})
            write_table(out / TABLE, table)
        return read_table(out / TABLE)

    def _baseline(
        self, cell: Split, run: Run, kind: str, out: Path, tell: Tell
    ) -> tuple[pd.DataFrame, dict[str, float]]:
        """Predictions of a trivial baseline, and the seconds that it took."""
        del kind, out, tell
        began = time.perf_counter()
        names = list(names_in_order(self.dataset.info.classes, first=0))
        known, tested = (data.in_memory(part).samples for part in (cell.train, cell.test))
        table = predict_baseline(run.level, known, tested, names)
        return table, {"train": round(time.perf_counter() - began, 2), "evaluate": 0.0}

    def _train(
        self, cell: Split, run: Run, kind: str, out: Path, tell: Tell
    ) -> tuple[pd.DataFrame, dict[str, float]]:
        """Train from the run's initial weights; predictions of the test part, and the seconds of both."""
        config, tuned = self.config, run.level == TUNED
        model = initial.initial_network(config, self.dataset, run, kind)
        ready, cell = time.perf_counter(), provenance.watched(cell)
        known, val = (classification.in_memory(model, part, skip) for part in (cell.train, cell.val))
        ready = time.perf_counter() - ready
        training = replace(
            config.train,
            seed=run.seed,
            transfer=config.patches.tuned if tuned else config.train.transfer,
            lr=config.patches.tuned_lr if tuned else config.train.lr,
        )
        recipe = replace(self._recipe(cell, run, kind), config=training, augment=augment.get(config.augment))
        test = TestSets(sets={kind: cell.test})
        settings = Training(model=model, train=known, val=val, recipe=recipe, test=test)
        listener = Listener(step=steps_of(run.name, training.steps, tell), skip=skip)
        tested = train_and_test(task_of(model), settings, out, listener)
        seconds = {"prepare": ready, **tested.seconds}
        return tested.tables[kind], {name: round(value, 2) for name, value in seconds.items()}

    def _probe(
        self, cell: Split, run: Run, kind: str, out: Path, tell: Tell
    ) -> tuple[pd.DataFrame, dict[str, float]]:
        """Fit the head on features that are there; what computing them took is counted as if it were now."""
        del tell
        model = initial.initial_network(self.config, self.dataset, run, kind)
        place = self.config.folder / PRETRAINED / pretrainings([Run(PROBE, "", 0)], [])[0].name
        spent = study_folder.read_json(place / study_folder.ENVIRONMENT).get("seconds", {})
        each = float(spent.get("train", 0.0)) / max(float(spent.get("images", 0.0)), 1.0)
        before = each * (len(cell.train) + len(cell.val))
        task = ProbePatches(ProbeConfig(cache=str(place)), spent=before)
        test, recipe = TestSets(sets={kind: cell.test}), self._recipe(cell, run, kind)
        known, val = cast("Learned", (cell.train, cell.val))
        settings = Training(model=model, train=known, val=val, recipe=recipe, test=test)
        tested = train_and_test(task, settings, out, Listener(skip=skip))
        table = tested.tables[kind]
        took = {"train": tested.seconds["train"], "features": before, "evaluate": each * len(table)}
        return table, {name: round(value, 2) for name, value in took.items()}

    def _recipe(self, cell: Split, run: Run, kind: str) -> Recipe:
        """Training data and initial weights of a model."""
        origin = pretraining_of(run, kind)
        begun = None if origin is None else self.config.folder / PRETRAINED / origin.name / "model"
        split = {name: [record.name for record in part.records] for name, part in cell}
        return Recipe(
            config=self.config.train,
            learned={"train": cell.train, "val": cell.val},
            begun_from=(begun,),
            about={"run": run.name, "split": split},
        )


def _scored(table: pd.DataFrame, cell: Split, by: str) -> pd.DataFrame:
    """A row per patch, with its group, and whether it is right; groups are what is resampled."""
    group = {record.name: record.group(by) for record in cell.test.records}
    column = "patient" if by == "patient" else "source"
    scored = metrics.per_patch(table).rename(columns={"correct": "accuracy"})
    known = scored["name"].map(group)
    return scored.assign(patient="", source="").assign(**{column: known, "group": known})


def _keep_mistakes(table: pd.DataFrame, cell: Split, folder: Path) -> None:
    """Write the images of the most confident errors, so that a report needs no data set."""
    place = {record.name: index for index, record in enumerate(cell.test.records)}
    for name in explain.mistakes(table, SHOWN)["name"]:
        write_image(folder / f"{name}.jpg", cell.test[place[name]].image)
