"""Self-supervised pretraining of a backbone by VICReg: two views of one tile get the same features.

It needs neither negatives nor large batches nor a second network, so it fits on two cores.

References
----------
.. [1] Bardes, Ponce and LeCun, ICLR 2022, arXiv:2105.04906
"""

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from histoscope import config, models
from histoscope.augment import AugmentConfig, Augmenter
from histoscope.data import resample
from histoscope.locks import alone_in
from histoscope.models.patches.classifier import Classifier
from histoscope.train import provenance, run_folder
from histoscope.train.checks import check_machine, check_resolution
from histoscope.train.choices import get_augment, get_jitter
from histoscope.train.config import TrainConfig, check_unlabelled
from histoscope.train.loader import Batch, Color, PatchDataset, PatchLoader
from histoscope.train.loop import Fitted, content_of
from histoscope.train.parts import SplitDataConfig, join_parts, open_parts
from histoscope.train.patches import PatchSampler, crop
from histoscope.train.recipe import Recipe
from histoscope.train.steps import Learner, OnStep, Steps
from histoscope.train.tasks import Listener
from histoscope.train.tasks.patches import ClassifyPatches
from histoscope.train.training import Training, train_and_test
from histoscope.types import Image, Sample

INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0
"""Weights of the three terms, as in the paper."""
EXPANDED = 512
"""Width of the expander between features and loss, which is not kept."""


class Pretraining(config.Config):
    """What ``histoscope pretrain`` reads.

    Parameters
    ----------
    data : SplitDataConfig
        Its training part is used; labels, if there are any, are ignored.
    more : list of SplitDataConfig, optional
        Further data sets.
    backbone : dict
        Arguments of the classifier without classes, such as ``{backbone: resnet18, patch_px: 128}``.
    augment, jitter : str
        As for ``histoscope train``; they decide which differences the features ignore.
    train : TrainConfig
        Steps, batch size (64 or more), learning rate, machine and seed. Settings that need labels are
        refused.
    out : Path
        Folder of the backbone.
    """

    data: SplitDataConfig
    more: tuple[SplitDataConfig, ...] = ()
    backbone: dict[str, Any] = Field(default_factory=dict)
    augment: str = "strong"
    jitter: str = "stain"
    train: TrainConfig = TrainConfig(batch_size=64)
    out: Path = Path("runs/pretrained")


def run(chosen: Pretraining, *, on_step: OnStep | None = None) -> Path:
    """Pretrain a backbone on the training part of data sets.

    Returns
    -------
    Path
        The model folder; give it as ``weights`` to a classifier. One that is finished is not made again.

    Raises
    ------
    ConfigError
        If the folder holds a backbone that was made with other settings, or another call writes it.
    """
    check_unlabelled(chosen.train)
    augmentation, color = get_augment(chosen.augment) or AugmentConfig(), get_jitter(chosen.jitter)
    with alone_in(chosen.out):
        return _run(chosen, augmentation, color, on_step)


def _run(
    chosen: Pretraining, augment: AugmentConfig | Augmenter, color: Color | None, on_step: OnStep | None
) -> Path:
    """Pretrain in a folder that is held."""
    out = chosen.out
    standing = run_folder.stand(chosen, out)
    if (out / run_folder.CARD).is_file() and not (out / run_folder.CHECKPOINT).is_file():
        return out / "model"
    check_machine(chosen.train)
    torch.manual_seed(chosen.train.seed)
    parts = provenance.watched(join_parts([open_parts(each) for each in (chosen.data, *chosen.more)]))
    model = Classifier(**chosen.backbone)
    if math.isnan(model.spec.mpp) and len(parts.train):
        model.show_at(parts.train.info.mpp or parts.train[0].mpp)
    recipe = Recipe(
        config=chosen.train,
        learned={"train": parts.train},
        augment=augment,
        color=color,
        begun_from=(chosen.backbone.get("weights"),),
    )
    tiles = [resample(sample, model.input_mpp) for sample in parts.train]
    listener = Listener.of(start=lambda: run_folder.begin(chosen, out, standing), step=on_step)
    train_and_test(PretrainBackbone(), Training(model=model, train=tiles, recipe=recipe), out, listener)
    return out / "model"


class PretrainBackbone(ClassifyPatches):
    """Self-supervised pretraining of a classifier's backbone; labels are not needed."""

    def check_training(self, settings: Training) -> None:
        """Check as `pretrain` does."""
        check_pretraining(settings.model, settings.train, settings.recipe.config)  # type: ignore[arg-type]

    def train(self, settings: Training, folder: Path, card: dict[str, Any], listener: Listener) -> Fitted:
        """Train on pairs of views, as `pretrain` does."""
        recipe, tiles, began = settings.recipe, settings.train, time.perf_counter()
        how = {"how": "VICReg, without labels", "tiles": len(tiles), "train": asdict(recipe.config)}
        pretrain(
            settings.model,  # type: ignore[arg-type]
            tiles,
            recipe.config,
            out=folder,
            augment=get_augment(recipe.augment) or AugmentConfig(),
            color=get_jitter(recipe.color),
            on_step=listener.step,
            card={**card, "pretrained": how},
        )
        return Fitted(settings.model, recipe.config.steps, math.nan, time.perf_counter() - began)


def pretrain(
    model: Classifier,
    tiles: Sequence[Sample],
    config: TrainConfig,
    *,
    out: str | Path,
    augment: AugmentConfig | Augmenter,
    color: Color | None = None,
    on_step: OnStep | None = None,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Train a backbone on pairs of views of unlabelled tiles, and keep the last weights.

    Run it again after a stop and it continues from the last checkpoint, as `histoscope.train.fit` does.

    Parameters
    ----------
    model : Classifier
        Its backbone is trained in place.
    tiles : sequence of Sample
        In memory, at the model's resolution, of any size.
    config : TrainConfig
        Without what is only for training with labels (`histoscope.train.config.NOT_WITHOUT_LABELS`).
    out, color, on_step, card
        As of `histoscope.train.fit`.
    augment : AugmentConfig or Augmenter
        Of each view.

    Raises
    ------
    ConfigError, DataError
        Before the first step, if settings, machine and tiles do not fit each other.
    TrainingError
        If the loss stops being a number.
    """
    check_pretraining(model, tiles, config)
    steps = Steps(_Learner(model, config), Path(out), samples=content_of(tiles))
    loader = PatchLoader(
        _Pairs(tiles, model.spec.patch_px, augment, color, config.seed),
        batch_size=config.batch_size,
        steps=config.steps,
        start_step=steps.step,
        workers=config.workers,
    )
    with steps.logged():
        deque(steps.through(loader, on_step), maxlen=0)
    models.save(model.to("cpu").eval(), Path(out) / "model", card)
    steps.finish()


def check_pretraining(model: Classifier, tiles: Sequence[Sample], config: TrainConfig) -> None:
    """Check settings, machine and tiles of pretraining before its first step.

    Raises
    ------
    ConfigError
        If a batch holds fewer than two tiles, or this machine lacks the requested device or precision.
    DataError
        If there are no tiles, or they have another resolution than the network.
    """
    check_unlabelled(config)
    check_machine(config)
    check_resolution(model, tiles)


def vicreg(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """VICReg loss of two views: invariance, variance and covariance terms.

    Parameters
    ----------
    first, second : (B, D)
        Embeddings of two views; B at least 2.

    Returns
    -------
    dict of Tensor
        ``invariance``, ``variance`` and ``covariance``, each weighted, and their sum ``total``.

    Examples
    --------
    >>> same = torch.eye(4).repeat(2, 1)
    >>> float(vicreg(same, same)["invariance"])
    0.0
    """
    n, width = first.shape
    invariance = functional.mse_loss(first, second)
    variance, covariance = invariance.new_zeros(()), invariance.new_zeros(())
    for view in (first, second):
        centred = view - view.mean(dim=0)
        variance = variance + functional.relu(1 - torch.sqrt(centred.var(dim=0) + 1e-4)).mean() / 2
        product = centred.T @ centred / (n - 1)
        covariance = covariance + (product.pow(2).sum() - product.diagonal().pow(2).sum()) / width
    terms = {
        "invariance": INVARIANCE * invariance,
        "variance": VARIANCE * variance,
        "covariance": COVARIANCE * covariance,
    }
    return {**terms, "total": torch.stack(list(terms.values())).sum()}


class _Pairs(PatchDataset):
    """Number k is two views of one tile, cut and augmented independently."""

    def __init__(
        self,
        tiles: Sequence[Sample],
        size_px: int,
        augmentation: AugmentConfig | Augmenter,
        color: Color | None,
        seed: int,
    ) -> None:
        super().__init__(PatchSampler(tiles, size_px), _no_targets, augmentation, color, seed)
        self.tiles = tuple(tiles)

    def __getitem__(self, k: int) -> tuple[Image, Mapping[str, NDArray[Any]]]:
        rng = np.random.default_rng([self.seed, k])
        tile = self.tiles[int(rng.integers(len(self.tiles)))]
        return self._view(tile, rng), {"other": self._view(tile, rng)}

    def _view(self, tile: Sample, rng: np.random.Generator) -> Image:
        size, margin = self.sampler.size_px, self.margin_px
        top, left = (int(rng.integers(max(n - size, 0) + 1)) for n in tile.image.shape[:2])
        cut = crop(tile, top - margin, left - margin, size + 2 * margin)
        image = self._augmented(cut, rng).image
        return image if self.color is None else self.color(image, rng)


def _no_targets(_: Sample) -> Mapping[str, NDArray[Any]]:
    return {}


class _Learner(Learner):
    """A backbone with the expander of VICReg, which is not kept."""

    def __init__(self, model: Classifier, config: TrainConfig) -> None:
        whole = _Expanded(model)
        optimizer = torch.optim.AdamW(whole.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        super().__init__(whole, config, optimizer)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """VICReg, of both views in one batch."""
        both = torch.cat([batch.image, batch.target["other"].permute(0, 3, 1, 2)])
        first, second = self.net(both.to(self.fabric.device)).chunk(2)
        return vicreg(first.float(), second.float())


class _Expanded(nn.Module):
    """A backbone and the expander behind it."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model
        layers: list[nn.Module] = []
        for wide in (model.n_features, EXPANDED):
            layers += [nn.Linear(wide, EXPANDED, bias=False), nn.BatchNorm1d(EXPANDED), nn.ReLU(inplace=True)]
        self.expander = nn.Sequential(*layers, nn.Linear(EXPANDED, EXPANDED, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        """(B, EXPANDED) of images (B, 3, H, W) uint8."""
        embedded: Tensor = self.expander(self.model.features(self.model.normalised(images)))
        return embedded
