"""Initial weights of classifiers: random, of synthetic tissue, of unlabelled tiles, or of ImageNet."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from histoscope import augment, synth
from histoscope.class_names import names_in_order
from histoscope.classify.classification import in_memory, set_input_mpp
from histoscope.classify.features import extract
from histoscope.data import Dataset, Datasheet
from histoscope.errors import TrainingError
from histoscope.models.patches.classifier import Classifier
from histoscope.stain import JITTERS
from histoscope.studies import folder as study_folder
from histoscope.studies.config import StudyConfig
from histoscope.studies.events import Event, Tell, steps_of
from histoscope.studies.machine import environment
from histoscope.studies.study import Run
from histoscope.studies.task import skip
from histoscope.studies.transfer.names import (
    PRETRAINED,
    PROBE,
    SELF_SUPERVISED,
    SYNTHETIC,
    TUNED,
    pretraining_of,
)
from histoscope.studies.transfer.parts import split
from histoscope.synth import STAINS, TissueSpec
from histoscope.train import provenance
from histoscope.train.mix import learned_from
from histoscope.train.parts import here_or_beside
from histoscope.train.recipe import Recipe
from histoscope.train.selfsup import PretrainBackbone
from histoscope.train.tasks import Listener, task_of
from histoscope.train.training import Training, train_and_test
from histoscope.types import Sample

TISSUES: dict[str, TissueSpec] = {
    "glands": TissueSpec(gland_fraction=0.65, lumen_fraction=0.9, cluster_fraction=0.05),
    "nests": TissueSpec(
        gland_fraction=0.7,
        lumen_fraction=0.05,
        cluster_fraction=0.05,
        nucleus_scale=1.3,
        pleomorphism=0.35,
        vesicular=0.9,
    ),
    "inflamed": TissueSpec(gland_fraction=0.1, cluster_fraction=0.7),
    "stroma": TissueSpec(gland_fraction=0.05, cluster_fraction=0.02),
}
"""Kinds of synthetic tissue that a network learns to tell apart before it sees a real tile."""


def is_made(folder: Path, run: Run) -> bool:
    """Whether a pretraining is finished; its seconds are written last."""
    return (folder / PRETRAINED / run.name / study_folder.ENVIRONMENT).is_file()


def make(config: StudyConfig, dataset: Dataset, run: Run, folder: Path, tell: Tell) -> None:
    """Pretrain a network, or compute features, in a folder."""
    (folder / study_folder.ERROR).unlink(missing_ok=True)
    started = study_folder.now()
    tell(Event(run.name, "prepare"))
    making = {SYNTHETIC: _synthetic, SELF_SUPERVISED: _self_supervised, PROBE: _features}[run.level]
    began = time.perf_counter()
    n = making(config, dataset, run, folder, tell)
    seconds = {"train": round(time.perf_counter() - began, 2), "images": float(n)}
    study_folder.write_json(folder / study_folder.ENVIRONMENT, environment(started=started, seconds=seconds))


def classifier(
    config: StudyConfig, dataset: Dataset, *, seed: int, weights: Path | None, classes: bool = True
) -> Classifier:
    """The one network of the study, from a file or folder, or fresh."""
    torch.manual_seed(seed)
    given = dict(config.patches.backbone)
    names = list(names_in_order(dataset.info.classes, first=0)) if classes else []
    model = Classifier(**given, classes=names, weights=weights)
    set_input_mpp(model, dataset, mpp_given="mpp" in given)
    return model


def imagenet(config: StudyConfig, dataset: Dataset, *, seed: int) -> Classifier:
    """The network with ImageNet's weights: of a file, or from the hub."""
    path = config.patches.imagenet
    if path is not None:
        return classifier(config, dataset, seed=seed, weights=here_or_beside(path, config.data.root))
    published = config.patches.model_copy(
        update={"backbone": {**config.patches.backbone, "pretrained": True}}
    )
    return classifier(config.model_copy(update={"patches": published}), dataset, seed=seed, weights=None)


def initial_network(config: StudyConfig, dataset: Dataset, run: Run, kind: str) -> Classifier:
    """The network of a run, with its initial weights.

    Raises
    ------
    TrainingError
        If its pretraining failed.
    """
    if run.level in {PROBE, TUNED}:
        return imagenet(config, dataset, seed=run.seed)
    origin = pretraining_of(run, kind)
    if origin is None:
        return classifier(config, dataset, seed=run.seed, weights=None)
    if not is_made(config.folder, origin):
        where = config.folder / PRETRAINED / origin.name / study_folder.ERROR
        raise TrainingError(f"the pretraining of this run, {origin.name}, failed: see {where}")
    made = config.folder / PRETRAINED / origin.name / "model"
    return classifier(config, dataset, seed=run.seed, weights=made)


def synthetic_tiles(n: int, side_px: int, mpp: float, *, seed: int) -> list[Sample]:
    """Draw tissue of each kind in turn, in stains that have nothing to do with the kind.

    Examples
    --------
    >>> [tile.label for tile in synthetic_tiles(5, 32, 1.0, seed=0)]
    [0, 1, 2, 3, 0]
    """
    kinds, stains = list(TISSUES.values()), list(STAINS.values())
    tiles = []
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        stain = stains[int(rng.integers(len(stains)))]
        drawn = synth.generate(
            (side_px, side_px),
            mpp=mpp,
            stain=stain,
            tissue=kinds[k % len(kinds)],
            rng=rng,
            name=f"drawn{k:05d}",
        )
        tiles.append(replace(drawn, instances=None, classes=None, label=k % len(kinds)))
    return tiles


def _synthetic(config: StudyConfig, dataset: Dataset, run: Run, folder: Path, tell: Tell) -> int:
    """Train the network to tell kinds of synthetic tissue apart."""
    chosen = config.patches.synthetic
    shown = classifier(config, dataset, seed=run.seed, weights=None)
    tiles = synthetic_tiles(config.patches.drawn, shown.spec.patch_px, shown.spec.mpp, seed=run.seed)
    torch.manual_seed(run.seed)
    arguments = {**config.patches.backbone, "mpp": shown.spec.mpp}
    model = Classifier(**arguments, classes=list(TISSUES))
    cut = max(len(TISSUES), len(tiles) // 8)
    sheet = Datasheet("synthetic tissue", licence="made by Histoscope: use it as you like")
    recipe = Recipe(
        config=replace(chosen, seed=run.seed), augment=augment.get("default"), about=learned_from([sheet])
    )
    settings = Training(model=model, train=tiles[cut:], val=tiles[:cut], recipe=recipe)
    listener = Listener(step=steps_of(run.name, chosen.steps, tell))
    train_and_test(task_of(model), settings, folder, listener)
    return len(tiles)


def _self_supervised(config: StudyConfig, dataset: Dataset, run: Run, folder: Path, tell: Tell) -> int:
    """Train the network on pairs of views of the training part's tiles; without their classes."""
    chosen = config.patches.self_supervised
    part = provenance.Watched(split(dataset, config, run.model, run.seed).train)
    model = classifier(config, dataset, seed=run.seed, weights=None, classes=False)
    tiles = in_memory(model, part, skip)
    recipe = Recipe(
        config=replace(chosen, seed=run.seed),
        learned={"train": part},
        augment=augment.get("default"),
        color=JITTERS["stain"],
    )
    settings = Training(model=model, train=tiles, recipe=recipe)
    listener = Listener(step=steps_of(run.name, chosen.steps, tell))
    train_and_test(PretrainBackbone(), settings, folder, listener)
    return len(tiles)


def _features(config: StudyConfig, dataset: Dataset, run: Run, folder: Path, tell: Tell) -> int:
    """Compute ImageNet features of every patch, for all probes."""
    model = imagenet(config, dataset, seed=0)

    def progress(done: int, of: int) -> None:
        tell(Event(run.name, "train", done, of))

    return len(extract(model, dataset, cache=folder, progress=progress, on_skip=skip))
