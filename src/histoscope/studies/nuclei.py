"""Studies of finding nuclei: images split as published, tested as they are and re-stained."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import pandas as pd
import torch

from histoscope import augment, balance, data, models, stain, train
from histoscope.data import Dataset, Split
from histoscope.errors import DataError
from histoscope.files import write_image, write_labels
from histoscope.models.base import Segmenter
from histoscope.models.device import fastest
from histoscope.models.patches.initial import load_initial_weights
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.studies import content, prepare
from histoscope.studies import folder as study_folder
from histoscope.studies.conditions import Recolor, restainer, unchanged
from histoscope.studies.events import Event, Tell, steps_of
from histoscope.studies.study import Condition, Run
from histoscope.studies.task import RUN_BYTES, Pace, StudyTask
from histoscope.train import provenance
from histoscope.train.choices import get_jitter
from histoscope.train.parts import at_model, in_classes_of
from histoscope.train.recipe import Recipe, train_model
from histoscope.types import Nuclei, Record, Sample

Learned: TypeAlias = tuple[Sequence[Sample], list[Sample]]
"""Training and validation samples."""
# Bytes a pixel of a label map as PNG, on the safe side: crowded tiles take 0.1.
PREDICTION_BYTES = 0.3


class StudyOfNuclei(StudyTask):
    """Networks that find nuclei; what runs share (parts, reference, samples) is made once."""

    foreign_keys: ClassVar = ("patches",)
    _ready: tuple[tuple[Any, ...], Learned] | None = None

    def check(self) -> None:
        """Refuse networks that do not exist."""
        for name in self.config.declared.models:
            models.get(name)

    @cached_property
    def parts(self) -> Split:
        """Training, validation and test part, as published."""
        return prepare.open_parts(self.config.data)

    @cached_property
    def reference(self) -> Sample:
        """The training image that normalisers are fitted on."""
        return prepare.choose_reference(self.parts.train)  # type: ignore[arg-type]

    @cached_property
    def external(self) -> Dataset | None:
        """The external test set, if a condition asks for it."""
        return prepare.external(self.config)

    @cached_property
    def synthetic(self) -> dict[str, Dataset]:
        """Synthetic data sets that may be learned from."""
        return prepare.synthetic_sets(self.config)

    def normaliser(self, level: str) -> Recolor:
        """What a level does to the colours of an image; each image's own stains are estimated."""
        return self._fitted(level) or unchanged

    def records(self) -> list[Record]:
        """List all images of the study; refuse conditions that have no images."""
        prepare.tested(self.config, self.parts)
        away = [] if self.external is None else self.external.records
        return [*(record for _, part in self.parts for record in part.records), *away]

    def sets(self) -> dict[str, Dataset]:
        """All parts, the external test set, and synthetic data sets."""
        found = {study_folder.DATA: data.joined([part for _, part in self.parts if len(part)])}
        if self.external is not None:
            found[study_folder.EXTERNAL] = self.external
        return found | self.synthetic

    def require(self, found: pd.DataFrame) -> None:
        """Check that all that is learned from can be read; test images that cannot are left out."""
        learned = [*self.parts.train.records, *self.parts.val.records]
        real = [(study_folder.DATA, record.name) for record in learned]
        drawn = [(name, r.name) for name, dataset in self.synthetic.items() for r in dataset.records]
        content.require_readable(found, {*real, *drawn})

    def space(self, todo: Sequence[Run]) -> int:
        """Estimate the bytes that runs will take on disk."""
        networks = {name: self._network(name) for name in {run.model for run in todo}}
        weights = {name: 4 * sum(p.numel() for p in net.parameters()) for name, net in networks.items()}
        tested = prepare.tested(self.config, self.parts).values()
        test_px = sum(math.prod(part[0].image.shape[:2]) * len(part) for part in tested)
        # Each run keeps its weights once; in training, a checkpoint and its successor hold them three times.
        lasting = sum(weights[run.model] + PREDICTION_BYTES * test_px + RUN_BYTES for run in todo)
        return int(lasting + 6 * max(weights.values(), default=0))

    def prepare(self, folder: Path) -> None:
        """Write the test images and their label maps once, so that a report needs no data set."""
        for dataset in prepare.tested(self.config, self.parts).values():
            for index, record in enumerate(dataset.records):
                image = folder / "truth" / "images" / f"{record.name}.jpg"
                labels = folder / "truth" / "labels" / f"{record.name}.png"
                if image.is_file() and labels.is_file():
                    continue
                sample = dataset[index]
                if sample.instances is None:
                    raise DataError(f"test image {record.name!r} has no label map to compare with")
                write_image(image, sample.image)
                write_labels(labels, sample.instances)

    def pace(self, todo: Sequence[Run]) -> dict[str, Pace]:
        """Measure each network on training images, and on one test image."""
        found = {}
        for name in dict.fromkeys(run.model for run in todo):
            model, few = self._network(name), range(min(2, len(self.parts.train)))
            samples = at_model(data.subset(self.parts.train, few), model.spec.mpp)
            found[name] = self.measure(model, samples, data.in_memory(data.subset(self.parts.test, [0])))
        return found

    def seconds(self, todo: Sequence[Run], pace: Mapping[str, Pace]) -> list[float]:
        """Seconds of each run: its steps, validations and tests."""
        settings = self.config.train
        tested = sum(map(len, prepare.tested(self.config, self.parts).values()))
        tested += -(-settings.steps // settings.evaluate_every) * len(self.parts.val)
        return [
            self.config.steps(run) * pace[run.model].step_seconds + tested * pace[run.model].image_seconds
            for run in todo
        ]

    def train_and_test(
        self, run: Run, folder: Path, tell: Tell, note: Callable[[Mapping[str, float]], None]
    ) -> pd.DataFrame:
        """Train, unless that was done before, and test under each condition."""
        seconds = _trained_seconds(folder)
        if not seconds:
            seconds = self._borrow(run, folder) or self._train(run, folder, tell)
            note(seconds)
        models.get(run.model)  # named by the study's file, which is asking for it: no card makes code run
        is_cpu = self.config.train.accelerator == "cpu"
        model = models.load(folder / "model", Segmenter).to(torch.device("cpu") if is_cpu else fastest())
        began = time.perf_counter()
        table = self._test(model, run, folder, tell)
        note(seconds | {"evaluate": round(time.perf_counter() - began, 2)})
        return table

    def describe(self, run: Run) -> dict[str, Any]:
        """Settings of a run, with those of its level."""
        settings = self.config.settings(run)
        about = super().describe(run) | {
            **{key: value for key, value in settings.items() if key != "arguments"},
            "model_arguments": settings["arguments"],
            "images": {name: [record.name for record in part.records] for name, part in self.parts},
        }
        if settings["normalizer"] != "none":
            about["reference"] = self.reference.name
            about["reference_rule"] = (
                "the training image whose mean tissue colour is nearest to the training part's median"
            )
        return about

    def _network(self, name: str, arguments: Mapping[str, Any] | None = None) -> models.Model:
        given = self.config.models.get(name, {}) if arguments is None else arguments
        return models.create_for(self.parts.train.info.classes, name, given)

    def _fitted(self, level: str) -> BaseNormalizer[Any] | None:
        """The normaliser of a level, for the folder of its model."""
        if level == "none":
            return None
        return stain.open(level, self.reference.image, origin=self.reference.name)

    def _samples(self, run: Run, model: models.Model) -> Learned:
        """Normalise training and validation samples, at a model's resolution; the last ones are kept."""
        settings = self.config.settings(run)
        seed = run.seed if settings["tiles"] or settings["synthetic"] else None
        key = (settings["normalizer"], settings["tiles"], settings["synthetic"], seed, model.spec)
        if self._ready is None or self._ready[0] != key:
            self._ready = None
            normalise = self.normaliser(settings["normalizer"])
            parts = in_classes_of(model, self.parts)
            samples = prepare.learned_from(self.config, run, parts, normalise, model)
            val = at_model(prepare.recolored(parts.val, normalise), model.spec.mpp)
            self._ready = key, (samples, val)
        return self._ready[1]

    def _borrow(self, run: Run, folder: Path) -> dict[str, float]:
        """Take the weights of a level that is trained in the same way, if they are there."""
        settings = self.config.settings(run)
        if not settings["same_training_as"]:
            return {}
        lender = self.config.folder / replace(run, level=settings["same_training_as"]).name
        if not (lender / study_folder.RESULT).is_file():
            return {}  # the same training with the same seed makes the same weights
        network = self._network(run.model, settings["arguments"])
        trained = models.open_model(lender / "model")
        network.load_state_dict(trained.network.state_dict())
        network.thresholds = trained.network.thresholds
        about = trained.card | {"trained_in": lender.name}
        provenance.copy(lender / "model", folder / "model")
        models.save(network, folder / "model", about, self._fitted(settings["normalizer"]))
        return _trained_seconds(lender)

    def _train(self, run: Run, folder: Path, tell: Tell) -> dict[str, float]:
        """Train until the end; give the seconds spent in preparing and in training."""
        config, settings = self.config, self.config.settings(run)
        began = time.perf_counter()
        torch.manual_seed(run.seed)
        model = self._network(run.model, settings["arguments"])
        samples, val = self._samples(run, model)
        begun = study_folder.weights_of(config.folder, needed) if (needed := config.needed(run)) else None
        if begun is not None:
            load_initial_weights(model, begun)
        sets = prepare.sets_learned_from(config, run, self.parts, model) | {"val": self.parts.val}
        training = config.training(run)
        recipe = Recipe(
            config=training,
            learned=sets,
            augment=augment.get(settings["augment"]),
            color=get_jitter(settings["jitter"]),
            balance=balance.get(settings["balance"]),
            normalizer=self._fitted(settings["normalizer"]),
            begun_from=(begun,),
            about={
                "study": config.study,
                "run": run.name,
                **({"begun from": needed.name} if needed else {}),
            },
        )
        prepared = time.perf_counter() - began

        on_step = steps_of(run.name, training.steps, tell)
        fitted = train_model(model, samples, val, recipe, folder, on_step=on_step)
        return {"prepare": round(prepared, 2), "train": round(fitted.seconds, 2)}

    def _test(self, model: Segmenter, run: Run, folder: Path, tell: Tell) -> pd.DataFrame:
        """Score under every condition, and keep predictions as label maps."""
        settings = self.config.settings(run)
        normalise = self.normaliser(settings["normalizer"])
        tested = prepare.tested(self.config, self.parts)
        total, done = sum(map(len, tested.values())), 0
        tables = []
        for condition, dataset in tested.items():
            # First the other laboratory, then what this one does about it.
            shown = prepare.recolored(dataset, restainer(condition), normalise)

            def keep(sample: Sample, nuclei: Nuclei, condition: Condition = condition) -> None:
                nonlocal done
                path = folder / "predictions" / condition.name / f"{sample.name}.png"
                write_labels(path, nuclei.instances)
                done += 1
                tell(Event(run.name, "test", done, total))

            table = train.evaluate(model, shown, on_image=keep, tta=settings["tta"])
            table.insert(0, "condition", condition.name)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)


def _trained_seconds(folder: Path) -> dict[str, float]:
    """Read the seconds that training took, if it is over; else nothing."""
    path = folder / study_folder.ENVIRONMENT
    if not path.is_file() or not (folder / "model" / "card.json").is_file():
        return {}
    seconds: dict[str, float] = json.loads(path.read_text(encoding="utf-8")).get("seconds", {})
    return seconds if "train" in seconds else {}
