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

from histoscope import augment, balance, data, models, stain
from histoscope.data import Dataset, Split
from histoscope.errors import ConfigError, DataError
from histoscope.files import write_image, write_labels
from histoscope.models.base import Segmenter
from histoscope.models.patches.initial import load_initial_weights
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.studies import content, prepare
from histoscope.studies import folder as study_folder
from histoscope.studies.beginnings import IMAGENET
from histoscope.studies.conditions import Recolor, restainer, unchanged
from histoscope.studies.events import Event, Tell, steps_of
from histoscope.studies.factors import FACTORS
from histoscope.studies.study import Run
from histoscope.studies.task import RUN_BYTES, Pace, StudyTask
from histoscope.train import provenance
from histoscope.train.choices import get_jitter
from histoscope.train.parts import at_model, here_or_beside, in_classes_of
from histoscope.train.recipe import Recipe
from histoscope.train.tasks import Listener, task_of
from histoscope.train.training import TestSets, Training, score, train_and_test
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
        """Refuse networks that do not exist, and equal minutes of networks whose pace is not given."""
        study, known = self.config.declared, FACTORS[self.config.declared.factor].levels
        for name in study.models:
            models.get(name)
        timed = [level for level in study.levels if known[level].get("equal_minutes")]
        if timed and self.config.nuclei.step_seconds is None:
            raise ConfigError(
                f"level {timed[0]!r} trains for the same time as the others, so the speed of both networks "
                "must be given: add 'nuclei: {step_seconds: {encoder: 0.2, unet: 0.2}}' with the "
                "seconds "
                "per step that 'histoscope study plan' measures, or leave the level out"
            )

    def weights(self) -> Mapping[str, Any]:
        """Settings that may name files of weights."""
        return {**super().weights(), "nuclei.imagenet": self.config.nuclei.imagenet}

    @cached_property
    def parts(self) -> Split:
        """Training, validation and test part, as published."""
        return prepare.open_parts(self.config.data)

    @cached_property
    def reference(self) -> Sample:
        """The training image that normalisers are fitted on."""
        return prepare.choose_reference(self.parts.train)  # type: ignore[arg-type]

    @cached_property
    def external(self) -> dict[str, Dataset]:
        """The external test sets that conditions ask for."""
        return prepare.external_sets(self.config)

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
        parts = [*(part for _, part in self.parts), *self.external.values()]
        return [record for part in parts for record in part.records]

    def sets(self) -> dict[str, Dataset]:
        """All parts, the external test sets, and synthetic data sets."""
        own = data.joined([part for _, part in self.parts if len(part)])
        return {study_folder.DATA: own, **self.external, **self.synthetic}

    def require(self, found: pd.DataFrame) -> None:
        """Check that all that is learned from can be read; test images that cannot are left out."""
        learned = [*self.parts.train.records, *self.parts.val.records]
        real = [(study_folder.DATA, record.name) for record in learned]
        drawn = [(name, r.name) for name, dataset in self.synthetic.items() for r in dataset.records]
        content.require_readable(found, {*real, *drawn})

    def space(self, todo: Sequence[Run]) -> int:
        """Estimate the bytes that runs will take on disk."""
        networks = self._networks(todo)
        weights = {name: 4 * sum(p.numel() for p in net.parameters()) for name, net in networks.items()}
        tested = prepare.tested(self.config, self.parts).values()
        test_px = sum(math.prod(part[0].image.shape[:2]) * len(part) for part in tested)
        # Each run keeps its weights once; in training, a checkpoint and its successor hold them three times.
        lasting = sum(weights[self._kind(run)] + PREDICTION_BYTES * test_px + RUN_BYTES for run in todo)
        return int(lasting + 6 * max(weights.values(), default=0))

    def prepare(self, folder: Path) -> None:
        """Write the test images and their label maps once, so that a report needs no data set.

        Published weights are loaded once: what does not fit ends the study before anything is trained.
        """
        if (run := next(filter(self._published, self.config.runs()), None)) is not None:
            self._network(run.model, {**self.config.settings(run)["arguments"], **self._published(run)})
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
        for name, model in self._networks(todo).items():
            few = range(min(2, len(self.parts.train)))
            samples = at_model(data.subset(self.parts.train, few), model.spec.mpp)
            found[name] = self.measure(model, samples, data.in_memory(data.subset(self.parts.test, [0])))
        return found

    def seconds(self, todo: Sequence[Run], pace: Mapping[str, Pace]) -> list[float]:
        """Seconds of each run: its steps, validations and tests."""
        settings = self.config.train
        tested = sum(map(len, prepare.tested(self.config, self.parts).values()))
        tested += -(-settings.steps // settings.evaluate_every) * len(self.parts.val)
        return [
            self.config.steps(run) * one.step_seconds + tested * one.image_seconds
            for run, one in ((run, pace[self._kind(run)]) for run in todo)
        ]

    def train_and_test(
        self, run: Run, folder: Path, tell: Tell, note: Callable[[Mapping[str, float]], None]
    ) -> pd.DataFrame:
        """Train, unless that was done before, and test under each condition."""
        listener = _Kept(run, folder, tell, sum(map(len, prepare.tested(self.config, self.parts).values())))
        models.get(run.model)  # named by the study's file, which is asking for it: no card makes code run
        accelerator = self.config.train.accelerator
        if seconds := _trained_seconds(folder) or self._borrow(run, folder):
            note(seconds)
            model, began = models.load(folder / "model", Segmenter), time.perf_counter()
            tables = score(task_of(model), model, self._tests(run), listener.heard(), accelerator=accelerator)
            taken = time.perf_counter() - began
        else:
            settings, prepared = self._training(run)
            seconds = {"prepare": round(prepared, 2)}

            def trained(took: float) -> None:
                seconds["train"] = round(took, 2)
                note(seconds)

            steps = steps_of(run.name, settings.recipe.config.steps, tell)
            heard = replace(listener.heard(), step=steps, trained=trained)
            tested = train_and_test(task_of(settings.model), settings, folder, heard)
            tables, taken = tested.tables, tested.seconds["evaluate"]
        note(seconds | {"evaluate": round(taken, 2)})
        for name, table in tables.items():
            table.insert(0, "condition", name)
        return pd.concat(tables.values(), ignore_index=True)

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

    def _network(self, name: str, arguments: Mapping[str, Any]) -> models.Model:
        return models.create_for(self.parts.train.info.classes, name, arguments)

    def _kind(self, run: Run) -> str:
        """Network of a run, and its encoder, if levels differ in it: what is as large and as fast."""
        study = self.config.declared
        known = (self.config.settings(replace(run, level=level))["arguments"] for level in study.levels)
        encoders = {given.get("encoder") for given in known}
        mine = self.config.settings(run)["arguments"].get("encoder")
        return f"{run.model} on {mine}" if mine and len(encoders) > 1 else run.model

    def _networks(self, todo: Sequence[Run]) -> dict[str, models.Model]:
        """A network of each kind, with random weights."""
        first = {self._kind(run): run for run in reversed(todo)}
        return {
            kind: self._network(run.model, self.config.settings(run)["arguments"])
            for kind, run in sorted(first.items())
        }

    def _published(self, run: Run) -> dict[str, Any]:
        """Arguments of a network that begins with the published weights of its encoder; else none."""
        if self.config.settings(run)["initial_weights"] != IMAGENET:
            return {}
        if (path := self.config.nuclei.imagenet) is None:
            return {"pretrained": True}
        return {"weights": here_or_beside(path, self.config.data.root)}

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

    def _training(self, run: Run) -> tuple[Training, float]:
        """The network of a run with its samples and settings, and the seconds that this took."""
        config, settings = self.config, self.config.settings(run)
        began = time.perf_counter()
        torch.manual_seed(run.seed)
        published = self._published(run)
        model = self._network(run.model, {**settings["arguments"], **published})
        samples, val = self._samples(run, model)
        begun = study_folder.weights_of(config.folder, needed) if (needed := config.needed(run)) else None
        if begun is not None:
            load_initial_weights(model, begun)
        begins = needed.name if needed else str(model.loaded) if published else ""
        sets = prepare.sets_learned_from(config, run, self.parts, model) | {"val": self.parts.val}
        recipe = Recipe(
            config=config.training(run),
            learned=sets,
            augment=augment.get(settings["augment"]),
            color=get_jitter(settings["jitter"]),
            balance=balance.get(settings["balance"]),
            normalizer=self._fitted(settings["normalizer"]),
            begun_from=(begun, published.get("weights")),
            about={
                "study": config.study,
                "run": run.name,
                **({"begun from": begins} if begins else {}),
            },
        )
        training = Training(model=model, train=samples, val=val, recipe=recipe, test=self._tests(run))
        return training, time.perf_counter() - began

    def _tests(self, run: Run) -> TestSets:
        """Test images of every condition."""
        settings = self.config.settings(run)
        normalise = self.normaliser(settings["normalizer"])
        # First the other laboratory, then what this one does about it.
        sets = {
            condition.name: prepare.recolored(dataset, restainer(condition), normalise)
            for condition, dataset in prepare.tested(self.config, self.parts).items()
        }
        return TestSets(sets=sets, tta=settings["tta"])


class _Kept:
    """Keeps predictions as label maps, and tells how many images are done."""

    def __init__(self, run: Run, folder: Path, tell: Tell, total: int) -> None:
        self.run, self.folder, self.tell, self.total = run, folder, tell, total
        self.condition, self.done = "", 0

    def heard(self) -> Listener:
        """What is heard of testing."""
        return Listener(test=self.begin, sample=self.keep)

    def begin(self, condition: str) -> None:
        """Take the name of the condition that is tested next."""
        self.condition = condition

    def keep(self, sample: Sample, nuclei: Nuclei) -> None:
        """Write the predicted nuclei of an image."""
        write_labels(self.folder / "predictions" / self.condition / f"{sample.name}.png", nuclei.instances)
        self.done += 1
        self.tell(Event(self.run.name, "test", self.done, self.total))


def _trained_seconds(folder: Path) -> dict[str, float]:
    """Read the seconds that training took, if it is over; else nothing."""
    path = folder / study_folder.ENVIRONMENT
    if not path.is_file() or not (folder / "model" / "card.json").is_file():
        return {}
    seconds: dict[str, float] = json.loads(path.read_text(encoding="utf-8")).get("seconds", {})
    return seconds if "train" in seconds else {}
