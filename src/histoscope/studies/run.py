"""One run: train one network under one level with one seed, test it, and leave a folder that says all."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import torch
import yaml

from histoscope import augment, balance, models, stain, train
from histoscope.data import Split
from histoscope.files import write_labels, write_text
from histoscope.models.base import Segmenter
from histoscope.models.device import fastest
from histoscope.models.patches.initial import load_initial_weights
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.studies import folder as study_folder
from histoscope.studies import prepare
from histoscope.studies.conditions import Recolor, restainer, unchanged
from histoscope.studies.config import StudyConfig
from histoscope.studies.events import Event, Tell
from histoscope.studies.machine import environment
from histoscope.studies.prepare import Reference
from histoscope.studies.study import Condition, Run
from histoscope.tables import write_table
from histoscope.train import provenance
from histoscope.train.choices import get_jitter
from histoscope.train.parts import at_model, in_classes_of
from histoscope.train.recipe import Recipe, train_model
from histoscope.types import Nuclei, Sample

Learned: TypeAlias = tuple[Sequence[Sample], list[Sample]]
"""Training and validation samples."""


class Images:
    """The images of a study; what runs share is made once.

    Parameters
    ----------
    config : StudyConfig
    """

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        self._ready: tuple[tuple[Any, ...], Learned] | None = None

    @cached_property
    def parts(self) -> Split:
        """Training, validation and test part."""
        return prepare.open_parts(self.config.data)

    @cached_property
    def reference(self) -> Reference:
        """The training image that normalisers are fitted on."""
        return prepare.choose_reference(self.parts.train)  # type: ignore[arg-type]

    def normaliser(self, level: str) -> Recolor:
        """What a level does to the colours of an image; each image's own stains are estimated."""
        return self.fitted(level) or unchanged

    def fitted(self, level: str) -> BaseNormalizer[Any] | None:
        """The normaliser of a level, for the folder of its model."""
        if level == "none":
            return None
        return stain.open(level, self.reference.image, origin=self.reference.name)

    def training(self, run: Run, model: models.Model) -> Learned:
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


def do_run(images: Images, run: Run, folder: Path, tell: Tell) -> None:
    """Train, test, and write the run's folder; ``per_image.csv`` comes last and means finished.

    Parameters
    ----------
    images : Images
    run : Run
    folder : Path
        The run's folder. Training that was cut short there goes on from its checkpoint; training that was
        finished is not repeated.
    tell : callable
        Given an `Event` at each step.
    """
    config, started = images.config, study_folder.now()
    (folder / study_folder.ERROR).unlink(missing_ok=True)
    settings = config.settings(run)
    tell(Event(run.name, "prepare"))
    write_text(
        folder / study_folder.CONFIG, yaml.safe_dump(_about(images, run), sort_keys=False, allow_unicode=True)
    )
    seconds = _trained_seconds(folder)
    if not seconds:
        seconds = _borrowed(images, run, folder) or _train(images, run, folder, tell)
        study_folder.write_json(
            folder / study_folder.ENVIRONMENT, environment(started=started, seconds=seconds)
        )
    models.get(run.model)  # named by the study's file, which is asking for it: no card makes code run
    model = models.load(folder / "model", Segmenter).to(_device(config))
    began = time.perf_counter()
    table = _test(images, model, settings, run, folder, tell)
    seconds["evaluate"] = round(time.perf_counter() - began, 2)
    study_folder.write_json(folder / study_folder.ENVIRONMENT, environment(started=started, seconds=seconds))
    write_table(folder / study_folder.RESULT, table)


def _borrowed(images: Images, run: Run, folder: Path) -> dict[str, float]:
    """Take the weights of a level that is trained in the same way, if they are there."""
    settings = images.config.settings(run)
    if not settings["same_training_as"]:
        return {}
    lender = images.config.folder / replace(run, level=settings["same_training_as"]).name
    if not (lender / study_folder.RESULT).is_file():
        return {}  # the same training with the same seed makes the same weights
    network = models.create_for(images.parts.train.info.classes, run.model, settings["arguments"])
    trained = models.open_model(lender / "model")
    network.load_state_dict(trained.network.state_dict())
    network.thresholds = trained.network.thresholds
    about = trained.card | {"trained_in": lender.name}
    provenance.copy(lender / "model", folder / "model")
    models.save(network, folder / "model", about, images.fitted(settings["normalizer"]))
    return _trained_seconds(lender)


def _train(images: Images, run: Run, folder: Path, tell: Tell) -> dict[str, float]:
    """Train until the end; give the seconds spent in preparing and in training."""
    config, settings = images.config, images.config.settings(run)
    began = time.perf_counter()
    torch.manual_seed(run.seed)
    model = models.create_for(images.parts.train.info.classes, run.model, settings["arguments"])
    samples, val = images.training(run, model)
    begun = study_folder.weights_of(config.folder, needed) if (needed := config.needed(run)) else None
    if begun is not None:
        load_initial_weights(model, begun)
    sets = prepare.sets_learned_from(config, run, images.parts, model) | {"val": images.parts.val}
    training = config.training(run)
    recipe = Recipe(
        config=training,
        learned=sets,
        augment=augment.get(settings["augment"]),
        color=get_jitter(settings["jitter"]),
        balance=balance.get(settings["balance"]),
        normalizer=images.fitted(settings["normalizer"]),
        begun_from=(begun,),
        about={
            "study": config.study,
            "run": run.name,
            **({"begun from": needed.name} if needed else {}),
        },
    )
    prepared = time.perf_counter() - began

    def on_step(step: int, losses: dict[str, float]) -> None:
        del losses
        tell(Event(run.name, "train", step, training.steps))

    fitted = train_model(model, samples, val, recipe, folder, on_step=on_step)
    return {"prepare": round(prepared, 2), "train": round(fitted.seconds, 2)}


def _test(
    images: Images, model: Segmenter, settings: dict[str, Any], run: Run, folder: Path, tell: Tell
) -> pd.DataFrame:
    """Score under every condition, and keep predictions as label maps."""
    normalise = images.normaliser(settings["normalizer"])
    tested = prepare.tested(images.config, images.parts)
    total, done = sum(map(len, tested.values())), 0
    tables = []
    for condition, dataset in tested.items():
        # First the other laboratory, then what this one does about it.
        shown = prepare.recolored(dataset, restainer(condition), normalise)

        def keep(sample: Sample, nuclei: Nuclei, condition: Condition = condition) -> None:
            nonlocal done
            write_labels(folder / "predictions" / condition.name / f"{sample.name}.png", nuclei.instances)
            done += 1
            tell(Event(run.name, "test", done, total))

        table = train.evaluate(model, shown, on_image=keep, tta=settings["tta"])
        table.insert(0, "condition", condition.name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _about(images: Images, run: Run) -> dict[str, Any]:
    """Write down what ``config.yaml`` of a run holds."""
    config, study = images.config, images.config.declared
    settings = config.settings(run)
    about: dict[str, Any] = {
        "format": study_folder.FORMAT,
        "study": study.name,
        "run": run.name,
        "factor": study.factor,
        "level": run.level,
        **{key: value for key, value in settings.items() if key != "arguments"},
        "model": run.model,
        "seed": run.seed,
        "model_arguments": settings["arguments"],
        "train": asdict(config.training(run)),
        "data": config.data.model_dump(mode="json"),
        "images": {name: [record.name for record in part.records] for name, part in images.parts},
        "conditions": [condition.name for condition in study.conditions],
    }
    if settings["normalizer"] != "none":
        about["reference"] = images.reference.name
        about["reference_rule"] = (
            "the training image whose mean tissue colour is nearest to the training part's median"
        )
    return about


def _trained_seconds(folder: Path) -> dict[str, float]:
    """Read the seconds that training took, if it is over; else nothing."""
    path = folder / study_folder.ENVIRONMENT
    if not path.is_file() or not (folder / "model" / "card.json").is_file():
        return {}
    seconds: dict[str, float] = json.loads(path.read_text(encoding="utf-8")).get("seconds", {})
    return seconds if "train" in seconds else {}


def _device(config: StudyConfig) -> torch.device:
    return torch.device("cpu") if config.train.accelerator == "cpu" else fastest()
