"""The images of a study: split by patient, re-stained by condition, normalised by level."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from histoscope import data, stain
from histoscope.data import Dataset, Split
from histoscope.data.split import part_of
from histoscope.errors import DataError, StainError
from histoscope.models.base import Model
from histoscope.studies import content
from histoscope.studies.conditions import Recolor
from histoscope.studies.config import StudyConfig, condition_of
from histoscope.studies.study import Condition, Run
from histoscope.train.mix import open_synthetic
from histoscope.train.mixture import Mixture
from histoscope.train.parts import DataConfig, at_model, open_data, published_parts
from histoscope.types import Sample

MIN_TISSUE, LEAST_TISSUE = 0.05, 0.01
"""Shares of tissue that a reference should have, and must have: less says nothing of an image's colour."""


def open_parts(config: DataConfig) -> Split:
    """Open training, validation and test part of a study's data set; no pixel is read.

    The test part is the published one. Validation is the published one, or is cut from the training part by
    patient, always in the same way: the seeds of a study change networks, not data.

    Raises
    ------
    DataError
        If the data set has no test part, or a part is empty.
    LeakError
        If the published parts share a patient.
    """
    parts = published_parts(open_data(config), config)
    for name, part in parts:
        if not len(part) and not (name == "val" and config.val == 0):
            raise DataError(
                f"data set {config.name!r} in {config.root} has no {name} part, which a study needs; "
                "give its index a column 'split' with train and test"
            )
    return parts


def tested(config: StudyConfig, parts: Split) -> dict[Condition, Dataset]:
    """Choose the test images of every condition, before any change of colour.

    Those that could not be read when the study began are left out, of every run alike.

    Raises
    ------
    DataError
        If a condition has none.
    """
    found, away = {}, external_sets(config)
    for condition in config.declared.conditions:
        chosen = away.get(condition.name) or tested_on(parts.test, condition)
        found[condition] = content.readable(chosen, config.folder)
        if not len(found[condition]):
            raise DataError(
                f"none of the {len(chosen)} test images of condition {condition.name!r} can be read; run "
                "'histoscope data verify' on them"
            )
    return found


def external_sets(config: StudyConfig) -> dict[str, Dataset]:
    """Name of a condition -> its external test set: the test part, or all of it; no pixel is read."""
    asked = {condition.name for condition in config.declared.conditions if condition.external}
    found = {}
    for name, given in (config.external or {}).items():
        if condition_of(name) not in asked:
            continue
        dataset = open_data(given)
        tests = [index for index, record in enumerate(dataset.records) if part_of(record) == "test"]
        is_part = given.part == "test" and tests
        found[condition_of(name)] = data.subset(dataset, tests) if is_part else dataset
    return found


def learned_from(
    config: StudyConfig, run: Run, parts: Split, normalise: Recolor, model: Model
) -> Sequence[Sample]:
    """Read what a run learns from: real tiles, a synthetic data set, or both in a share.

    Which real tiles, if not all, follows from the run's seed alone: every level with one seed and one number
    has the same.
    """
    mpp, sets = model.spec.mpp, sets_learned_from(config, run, parts, model)
    real = at_model(recolored(sets["train"], normalise), mpp) if "train" in sets else list[Sample]()
    if "synthetic" not in sets:
        return real
    drawn = sets["synthetic"]
    samples = at_model(recolored(drawn, normalise), mpp)
    share = config.synthetic[config.settings(run)["synthetic"]].share if real else 1.0
    return Mixture(real, samples, share)


def sets_learned_from(config: StudyConfig, run: Run, parts: Split, model: Model) -> dict[str, Dataset]:
    """Choose what a run learns from: ``train``, ``synthetic``, or both; no pixel is read."""
    settings, sets = config.settings(run), dict[str, Dataset]()
    if settings["tiles"] != 0:
        sets["train"] = data.tile_subset(parts.train, settings["tiles"], seed=run.seed)
    if source := settings["synthetic"]:
        chosen = config.synthetic[source].of_seed(run.seed)
        sets["synthetic"] = open_synthetic(chosen, model.spec.classes, seed=run.seed)
    return sets


def synthetic_sets(config: StudyConfig) -> dict[str, Dataset]:
    """Open each synthetic data set that may be learned from."""
    found = {}
    for name, each in config.synthetic.items():
        for seed in config.declared.seeds:
            own = each.of_seed(seed)
            key = name if own == each else f"{name} seed{seed}"
            found[key] = open_synthetic(own.model_copy(update={"tiles": None}))
    return found


def choose_reference(train: Sequence[Sample]) -> Sample:
    """Choose the training image whose mean tissue colour is nearest to the median of the training part.

    The rule can be repeated, and takes no outlier.

    Raises
    ------
    StainError
        If no image shows tissue.
    """
    shares, colors = list[float](), list[NDArray[np.float64]]()
    for sample in train:
        tissue = stain.tissue_mask(sample.image)
        shares.append(float(tissue.mean()))
        colors.append(sample.image[tissue].mean(axis=0, dtype=np.float64) if tissue.any() else np.zeros(3))
    enough = MIN_TISSUE if max(shares, default=0.0) >= MIN_TISSUE else LEAST_TISSUE
    names = [index for index, share in enumerate(shares) if share >= enough]
    if not names:
        raise StainError(
            f"none of the {len(train)} training images shows tissue on {LEAST_TISSUE:.0%} of its area; "
            "check that they are H&E images in RGB"
        )
    known = np.array(colors)[names]
    distance = np.linalg.norm(known - np.median(known, axis=0), axis=1)
    return train[names[int(distance.argmin())]]


def recolored(dataset: Dataset, *steps: Recolor) -> Dataset:
    """Do `steps` in order to each image of a data set when it is read."""

    def change(sample: Sample) -> Sample:
        image = sample.image
        for step in steps:
            image = step(image)
        return replace(sample, image=image)

    return data.mapped(dataset, change)


def tested_on(test: Dataset, condition: Condition) -> Dataset:
    """Choose the test images of a condition, before any change of colour.

    Raises
    ------
    DataError
        If there are no images of the condition.
    """
    if condition.only is None:
        return test
    key, value = condition.only
    chosen = [index for index, record in enumerate(test.records) if record.group(key) == value]
    if not chosen:
        raise DataError(
            f"condition {condition.name!r} needs test images with {key} = {value}, but there are none; add a "
            f"column {key!r} to the index, or leave the condition out"
        )
    return data.subset(test, chosen)
