"""One run of the study of transfer: train from one beginning under each split, test, and leave a folder."""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import yaml

from histoscope import augment, data, explain, metrics, models
from histoscope.class_names import names_in_order
from histoscope.classify import classification
from histoscope.classify.baselines import predict_baseline
from histoscope.classify.features import extract
from histoscope.classify.probe import fit_probe
from histoscope.data import Dataset, Split
from histoscope.errors import HistoscopeError
from histoscope.files import write_image, write_text
from histoscope.models.patches.classifier import Classifier
from histoscope.studies import folder as study_folder
from histoscope.studies.config import StudyConfig
from histoscope.studies.events import Event, Tell
from histoscope.studies.machine import environment
from histoscope.studies.study import Run
from histoscope.studies.transfer import begin
from histoscope.studies.transfer.names import (
    BASELINES,
    MISTAKES,
    PRETRAINED,
    PROBE,
    SPENT,
    TABLE,
    TUNED,
    begins,
    begun_from,
)
from histoscope.studies.transfer.parts import Cell, parts
from histoscope.tables import read_table, write_table
from histoscope.train import provenance
from histoscope.train.log import RunLog
from histoscope.train.recipe import Recipe, card_of, train_model

SHOWN = 4
"""Surest mistakes kept as pictures, of each split."""


def do_run(config: StudyConfig, dataset: Dataset, run: Run, folder: Path, tell: Tell) -> None:
    """Train and test under every split; ``per_image.csv`` comes last and means finished.

    A split that was finished before a stop is not done again; half-trained, it goes on from its checkpoint.
    """
    (folder / study_folder.ERROR).unlink(missing_ok=True)
    started, kinds = study_folder.now(), [condition.name for condition in config.declared.conditions]
    tell(Event(run.name, "prepare"))
    write_text(
        folder / study_folder.CONFIG,
        yaml.safe_dump(_about(config, dataset, run), sort_keys=False, allow_unicode=True),
    )
    tables = [_under(config, dataset, run, kind, folder, tell) for kind in kinds]
    study_folder.write_json(
        folder / study_folder.ENVIRONMENT,
        environment(started=started, seconds=_seconds(folder, kinds)),
    )
    write_table(folder / study_folder.RESULT, pd.concat(tables, ignore_index=True))


def _under(
    config: StudyConfig, dataset: Dataset, run: Run, kind: str, folder: Path, tell: Tell
) -> pd.DataFrame:
    """Train and test under one split; the table of its test patches."""
    out = folder / kind
    if (out / TABLE).is_file():
        return read_table(out / TABLE)
    cell = parts(dataset, config, Cell(kind, run.model, run.seed))
    classification.check_seen(cell.train, cell.test)
    table, seconds = _trained(config, dataset, cell, run, kind, out, tell)
    tell(Event(run.name, "test", 1, 1))
    table = _scored(table, cell, config.data.val_by)
    table.insert(0, "condition", kind)
    _keep_mistakes(table, cell, out / MISTAKES)
    study_folder.write_json(out / SPENT, seconds | {"images": float(len(cell.train))})
    write_table(out / TABLE, table)
    return read_table(out / TABLE)


def _trained(
    config: StudyConfig, dataset: Dataset, cell: Split, run: Run, kind: str, out: Path, tell: Tell
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Train from the run's beginning; predictions of the test part, and the seconds of both."""
    if run.level in BASELINES:
        began = time.perf_counter()
        names = list(names_in_order(dataset.info.classes, first=0))
        table = predict_baseline(
            BASELINES[run.level], _read(cell.train).samples, _read(cell.test).samples, names
        )
        return table, {"train": round(time.perf_counter() - began, 2), "evaluate": 0.0}
    model = begin.beginning(config, dataset, run, kind)
    if run.level == PROBE:
        return _probed(config, model, cell, run, kind, out)
    ready, cell = time.perf_counter(), provenance.watched(cell)
    known, val = (classification.in_memory(model, part, _skip) for part in (cell.train, cell.val))
    ready = time.perf_counter() - ready
    rates = config.patches.tuned if run.level == TUNED else config.train.transfer
    lr = config.patches.tuned_lr if run.level == TUNED else config.train.lr
    training = replace(config.train, seed=run.seed, transfer=rates, lr=lr)
    recipe = replace(_recipe(config, cell, run, kind), config=training, augment=augment.get(config.augment))

    def on_step(step: int, losses: dict[str, float]) -> None:
        del losses
        tell(Event(run.name, "train", step, config.train.steps))

    fitted = train_model(model, known, val, recipe, out, on_step=on_step)
    began = time.perf_counter()
    table = classification.predict_classes(cast("Classifier", fitted.model), cell.test, on_skip=_skip)
    evaluated = time.perf_counter() - began
    return table, {
        "prepare": round(ready, 2),
        "train": round(fitted.seconds, 2),
        "evaluate": round(evaluated, 2),
    }


def _recipe(config: StudyConfig, cell: Split, run: Run, kind: str) -> Recipe:
    """What a model learns from and begins from."""
    origin = begun_from(run, kind)
    begun = None if origin is None else config.folder / PRETRAINED / origin.name / "model"
    split = {name: [record.name for record in part.records] for name, part in cell}
    return Recipe(
        config=config.train,
        learned={"train": cell.train, "val": cell.val},
        begun_from=(begun,),
        about={"run": run.name, "split": split},
    )


def _probed(
    config: StudyConfig, model: Classifier, cell: Split, run: Run, kind: str, out: Path
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Fit the head on features that are there; what computing them took is counted as if it were now."""
    made = begins([Run(PROBE, "", 0)], [])[0]
    place = config.folder / PRETRAINED / made.name
    features = {name: extract(model, part, cache=place, on_skip=_skip) for name, part in cell}
    spent = study_folder.read_json(place / study_folder.ENVIRONMENT).get("seconds", {})
    each = float(spent.get("train", 0.0)) / max(float(spent.get("images", 0.0)), 1.0)
    before = each * (len(features["train"]) + len(features["val"]))
    with RunLog(out, tensorboard=False, seconds=before) as log:
        probed = fit_probe(model, features["train"], features["val"])
        scores = classification.scores(classification.classify_features(model, features["val"], cell.val))
        log.write(1, {"loss": scores["nll"]})
        log.write(1, scores, part="val")
        seconds = log.seconds
    about = {
        **card_of(_recipe(config, cell, run, kind), out),
        "probe": probed.to_dict(),
        "validation": scores,
    }
    models.save(model, out / "model", about)
    table = classification.classify_features(model, features["test"], cell.test)
    evaluated = each * len(features["test"])
    return table, {"train": round(seconds, 2), "features": round(before, 2), "evaluate": round(evaluated, 2)}


def _read(part: Dataset) -> data.InMemory:
    """The patches that can be read, read once."""
    samples = []
    for index in range(len(part)):
        try:
            samples.append(part[index])
        except (HistoscopeError, OSError) as error:
            _skip(part.records[index].name, str(error))
    return data.InMemory.of(samples, part.info)


def _skip(name: str, why: str) -> None:
    """A patch that cannot be read is left out of every level alike."""


def _scored(table: pd.DataFrame, cell: Split, by: str) -> pd.DataFrame:
    """A row a patch, with its group, and whether it is right; groups are what is resampled."""
    group = {record.name: record.group(by) for record in cell.test.records}
    column = "patient" if by == "patient" else "source"
    scored = metrics.per_patch(table).rename(columns={"correct": "accuracy"})
    known = scored["name"].map(group)
    return scored.assign(patient="", source="").assign(**{column: known, "group": known})


def _keep_mistakes(table: pd.DataFrame, cell: Split, folder: Path) -> None:
    """Write the patches that were surest and wrong as pictures, so that a report needs no data set."""
    place = {record.name: index for index, record in enumerate(cell.test.records)}
    for name in explain.mistakes(table, SHOWN)["name"]:
        write_image(folder / f"{name}.jpg", cell.test[place[name]].image)


def _seconds(folder: Path, kinds: list[str]) -> dict[str, float]:
    """Sum of the seconds of all splits, and of each of them in training."""
    spent = {kind: study_folder.read_json(folder / kind / SPENT) for kind in kinds}
    total = {
        name: round(sum(each.get(name, 0.0) for each in spent.values()), 2)
        for name in ("prepare", "train", "evaluate")
    }
    return total | {f"train_{kind}": each["train"] for kind, each in spent.items()}


def _about(config: StudyConfig, dataset: Dataset, run: Run) -> dict[str, Any]:
    """Write down what ``config.yaml`` of a run holds."""
    study = config.declared
    cells = {
        condition.name: parts(dataset, config, Cell(condition.name, run.model, run.seed))
        for condition in study.conditions
    }
    named = {
        kind: {name: [record.name for record in part.records] for name, part in cell}
        for kind, cell in cells.items()
    }
    return {
        "format": study_folder.FORMAT,
        "study": study.name,
        "run": run.name,
        "factor": study.factor,
        "level": run.level,
        "model": run.model,
        "seed": run.seed,
        "augment": config.augment,
        "patches": config.patches.model_dump(mode="json"),
        "train": asdict(replace(config.train, seed=run.seed)),
        "data": config.data.model_dump(mode="json"),
        "images": named[study.primary_condition],
        "images_by_split": named,
        "conditions": list(named),
    }
