"""A whole training experiment from one YAML file: data, split, normaliser, model, training, test."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import Field

from histoscope import augment, balance, config, data, models, stain
from histoscope.data import Dataset, Split
from histoscope.errors import ConfigError, UnknownNameError
from histoscope.files import read_image, whole, write_text
from histoscope.models.checkpoint import read_card
from histoscope.train.config import TrainConfig
from histoscope.train.evaluation import OnImage, evaluate
from histoscope.train.loop import Color, OnStep, fit
from histoscope.types import Sample

STAIN_REFERENCE = "stain_reference.json"


class DataConfig(config.Config):
    """Which images, and how they are parted.

    Parameters
    ----------
    name : str
        A key of ``data.DATASETS``.
    root : Path
        Folder of the data set.
    mpp : float, optional
        Micrometres per pixel, for formats that do not say.
    split_by : str
        ``published`` uses the publisher's train and test parts and cuts validation out of train by patient;
        any other word names what must never stand on two sides: ``patient``, ``source``, or a column of the
        index.
    val, test : float
        Shares of the groups; `test` counts only where the split is not the published one.
    val_by : str
        What must not be in training and validation, where the split is the published one.
    licence, citation : str, optional
        Terms and paper, for copies that do not say.
    """

    name: str = "folder"
    root: Path
    mpp: float | None = Field(default=None, gt=0)
    split_by: str = "patient"
    val: float = Field(default=0.15, gt=0, lt=1)
    val_by: str = "patient"
    licence: str = ""
    citation: str = ""
    test: float = Field(default=0.15, gt=0, lt=1)


class ModelConfig(config.Config):
    """A model's name, and its arguments beside it."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Experiment(config.Config):
    """What ``histoscope train`` reads.

    Parameters
    ----------
    data : DataConfig
    more : list of DataConfig, optional
        Further data sets; each is parted by itself, then the parts are joined.
    model : ModelConfig
    normalizer : str
        ``none`` or a key of ``stain.NORMALIZERS``; it goes into the model's card, and evaluation applies it.
    reference : Path, optional
        Image or saved reference that the normaliser brings stains to; the bundled one if left out.
    augment : str
        A key of ``augment.AUGMENTATIONS``.
    jitter : str
        ``none`` or a key of ``stain.JITTERS``: colours changed at random while training.
    balance : str
        A key of ``balance.BALANCES``: remedies for rare classes.
    train : TrainConfig
    out : Path
        Run folder.
    """

    data: DataConfig
    more: tuple[DataConfig, ...] = ()
    model: ModelConfig
    normalizer: str = "none"
    reference: Path | None = None
    augment: str = "default"
    jitter: str = "none"
    balance: str = "none"
    train: TrainConfig = TrainConfig()
    out: Path = Path("runs/train")


def run(
    experiment: Experiment, *, on_step: OnStep | None = None, on_image: OnImage | None = None
) -> pd.DataFrame:
    """Train, test on the part that was kept away, and write the run folder.

    Returns
    -------
    DataFrame
        Scores on the test part, one row an image; also in ``per_image.csv``. A finished run is not run again.

    Raises
    ------
    ConfigError
        If the run folder belongs to an experiment with other settings.
    """
    out = experiment.out
    text = config.dump(experiment)
    settled = out / "config.yaml"
    if settled.is_file() and settled.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{out} holds a run with other settings; choose another folder with --set out=...")
    finished = out / "per_image.csv"
    if finished.is_file():
        return pd.read_csv(finished)
    torch.manual_seed(experiment.train.seed)
    parts = join_parts([open_parts(chosen) for chosen in (experiment.data, *experiment.more)])
    model = models.create_for(parts.train.info.classes, experiment.model.name, experiment.model.arguments)
    write_text(settled, text)
    normalizer = get_normalizer(experiment.normalizer, experiment.reference)
    train, val = (at_model(normalised(part, normalizer), model.spec.mpp) for part in (parts.train, parts.val))
    fitted = fit(
        model,
        train,
        val,
        experiment.train,
        out=out,
        augment=augment.get(experiment.augment),
        color=get_jitter(experiment.jitter),
        balance=balance.get(experiment.balance),
        on_step=on_step,
    )
    table = evaluate(fitted.model, normalised(parts.test, normalizer), on_image=on_image)
    _finish_card(experiment, parts, table, normalizer)
    with whole(finished) as temporary:
        table.to_csv(temporary, index=False)
    return table


def open_parts(chosen: DataConfig) -> Split:
    """Training, validation and test part; no pixel is read."""
    given = {"mpp": chosen.mpp, "licence": chosen.licence, "citation": chosen.citation}
    dataset = data.open(chosen.name, chosen.root, **{key: value for key, value in given.items() if value})
    if chosen.split_by == "published":
        return data.split_published(dataset, val=chosen.val, by=chosen.val_by)
    share = 1.0 - chosen.val - chosen.test
    return data.split_by(dataset, chosen.split_by, train=share, val=chosen.val, test=chosen.test, seed=0)


def join_parts(splits: Sequence[Split]) -> Split:
    """One training, validation and test part from several data sets."""
    return Split(
        *(data.joined([part for _, part in column]) for column in zip(*map(list, splits), strict=True))
    )


def get_normalizer(name: str, reference: Path | None) -> stain.Normalizer | None:
    """Fitted normaliser, or None for ``none``."""
    if name == "none":
        return None
    kind = stain.get(name)
    if reference is None:
        return kind.default()
    if reference.suffix == ".json":
        return stain.load(reference, name)
    return kind.fit(read_image(reference))


def get_jitter(name: str) -> Color | None:
    """Random change of colour, or None for ``none``."""
    if name == "none":
        return None
    if name not in stain.JITTERS:
        raise UnknownNameError("jitter", name, ["none", *stain.JITTERS])
    return stain.JITTERS[name]


def normalizer_of(model_folder: Path) -> stain.Normalizer | None:
    """The normaliser that a trained model's images must go through, or None."""
    saved = model_folder / STAIN_REFERENCE
    return stain.load(saved) if saved.is_file() else None


def normalised(dataset: Dataset, normalizer: stain.Normalizer | None) -> Dataset:
    """The data set with each image normalised when it is read."""
    if normalizer is None:
        return dataset

    def change(sample: Sample) -> Sample:
        return replace(sample, image=normalizer(sample.image))

    return data.mapped(dataset, change)


def at_model(dataset: Dataset, mpp: float) -> list[Sample]:
    """All samples in memory, at a model's resolution."""
    return [data.resample(sample, mpp) for sample in dataset]


def _finish_card(
    experiment: Experiment, parts: Split, table: pd.DataFrame, normalizer: stain.Normalizer | None
) -> None:
    """Write on the model's card what it was trained on and how it did."""
    folder = experiment.out / "model"
    sheet = parts.train.info
    scores = {name: round(float(table[name].mean()), 4) for name in ("dice", "aji", "pq", "f1_50")}
    about = {
        "stain normaliser": experiment.normalizer,
        "training data": {"name": sheet.name, "licence": sheet.licence, "citation": sheet.citation},
        "weights licence": sheet.licence or "as the training data",
        "split": {name: [record.name for record in part.records] for name, part in parts},
        "test": {"images": len(table), **scores},
    }
    if normalizer is not None:
        normalizer.save(folder / STAIN_REFERENCE)
    card = read_card(folder) | about
    write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")
    write_text(folder / "config.yaml", config.dump(experiment))
