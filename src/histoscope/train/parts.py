"""Training, validation and test part of a training run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from histoscope import config, data, stain
from histoscope.data import Dataset, Split
from histoscope.data.split import part_of
from histoscope.images.resolution import LEAST_MPP, MOST_MPP
from histoscope.models import Model
from histoscope.train.tasks import task_of
from histoscope.types import Sample


class DataConfig(config.Config):
    """Images with labels.

    Parameters
    ----------
    name : str
        A key of ``data.DATASETS``, or the name of a plug-in (docs/plugins.md).
    root : Path
        Folder of the data set.
    mpp : float, optional
        Micrometres per pixel, if the files do not contain it.
    val : float
        Share of the groups used for validation; unused if a validation part is published. In a study, 0 is
        allowed: there is no validation, and the last weights are kept.
    val_by : str
        What must not be in both training and validation, if the published split is used: ``patient``,
        ``name`` if patients are not known, or a column of the index, such as the hospital.
    licence, citation : str, optional
        Licence and paper, if the data set does not name them.
    """

    name: str = "folder"
    root: Path
    mpp: float | None = Field(default=None, ge=LEAST_MPP, le=MOST_MPP)
    val: float = Field(default=0.15, ge=0, lt=1)
    val_by: str = "patient"
    licence: str = ""
    citation: str = ""


class SplitDataConfig(DataConfig):
    """Images with labels, and how they are split.

    Parameters
    ----------
    split_by : str
        ``published`` uses the publisher's train and test parts and cuts validation out of train by patient.
        Any other word names what must not be in two parts: ``patient``, ``source``, or a column of the
        index.
    test : float
        Share of the groups used for testing, if the split is not the published one.
    index : Path, optional
        Another index for ``class_folder``, such as the groups that ``histoscope data audit --groups`` writes.
    split : Path, optional
        CSV of names and parts, as written by ``histoscope data split --out``; used like published parts.
    tiles : int, optional
        Use only this many tiles of the training part. ``train.seed`` chooses them; with the same seed, a
        smaller choice is part of a larger one.
    """

    split_by: str = "patient"
    val: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, gt=0, lt=1)
    index: Path | None = None
    split: Path | None = None
    tiles: int | None = Field(default=None, ge=1)


def open_data(chosen: Any) -> Dataset:
    """Open a data set of any configuration that has ``name`` and ``root``; no pixel is read.

    Options that the configuration has and leaves at nothing are not given to the reader.
    """
    given = {key: getattr(chosen, key, None) or None for key in ("mpp", "licence", "citation", "index")}
    return data.open(chosen.name, chosen.root, **given)


def here_or_beside(path: Path, root: Path) -> Path:
    """A path that starts here, or else from the folder of the data set."""
    return root / path if not path.exists() and (root / path).exists() else path


def open_parts(chosen: SplitDataConfig, *, seed: int = 0) -> Split:
    """Training, validation and test part; no pixel is read. The seed chooses tiles, if not all are taken."""
    dataset = open_data(chosen)
    stratify = "label" if any(record.label is not None for record in dataset.records) else None
    if chosen.split is not None:
        dataset = data.with_parts(dataset, chosen.split)
    if chosen.split_by == "published" or chosen.split is not None:
        parts = published_parts(dataset, chosen, stratify=stratify)
    else:
        shares = {"train": 1.0 - chosen.val - chosen.test, "val": chosen.val, "test": chosen.test}
        parts = data.split_by(dataset, chosen.split_by, **shares, stratify=stratify, seed=0)
    return replace(parts, train=data.tile_subset(parts.train, chosen.tiles, seed=seed))


def published_parts(dataset: Dataset, chosen: DataConfig, *, stratify: str | None = None) -> Split:
    """The publisher's parts; validation is cut out of the training part where none is published."""
    has_val = any(part_of(record) == "val" for record in dataset.records)
    return data.split_published(
        dataset, val=0.0 if has_val else chosen.val, by=chosen.val_by, stratify=stratify
    )


def join_parts(splits: Sequence[Split]) -> Split:
    """One training, validation and test part from several data sets."""
    return Split(
        *(data.joined([part for _, part in column]) for column in zip(*map(list, splits), strict=True))
    )


def in_classes_of(model: Model, parts: Split) -> Split:
    """The parts with classes numbered as a model numbers them, matched by name.

    Raises
    ------
    DataError
        If the data set has a class that the model does not know, or classes without names.
    """
    wanted = numbers_of(model)
    return parts if not wanted else Split(*(data.renumbered(part, wanted) for _, part in parts))


def numbers_of(model: Model) -> dict[int, str]:
    """Number and name of each class of a model: of patches from 0, of nuclei from 1."""
    return dict(enumerate(model.spec.classes, start=task_of(model).first_class if model.task else 1))


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
