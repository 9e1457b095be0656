"""How a network is trained or probed, and on what: one way for `train`, studies and pretraining."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from histoscope import models
from histoscope.augment import AugmentConfig, Augmenter
from histoscope.balance import BalanceConfig
from histoscope.classify import classification
from histoscope.classify.batches import OnSkip
from histoscope.classify.features import extract
from histoscope.classify.probe import ProbeConfig, Probed, fit_probe
from histoscope.data import Dataset, Split
from histoscope.data.base import Progress
from histoscope.models.base import Model
from histoscope.models.patches.classifier import Classifier
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.train import provenance
from histoscope.train.checks import check_fit
from histoscope.train.choices import Color
from histoscope.train.config import TrainConfig
from histoscope.train.log import RunLog
from histoscope.train.loop import Fitted, fit
from histoscope.train.mix import learned_from
from histoscope.train.run_folder import CHECKPOINT
from histoscope.train.steps import OnStep
from histoscope.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    config, augment, color, balance, normalizer, keep_checkpoint
        As of `histoscope.train.fit`.
    learned : mapping of str to Dataset
        Images of the parts ``train``, ``val`` and ``synthetic``, neither normalised nor resampled; they are
        listed beside the model.
    begun_from : tuple of path
        Models whose weights the network begins from.
    about : mapping
        Further lines of the model's card.
    """

    config: TrainConfig
    learned: Mapping[str, Dataset] = field(default_factory=dict)
    augment: AugmentConfig | Augmenter | str | None = None
    color: Color | str | None = None
    balance: BalanceConfig | str | None = None
    normalizer: BaseNormalizer[Any] | None = None
    begun_from: tuple[str | Path | None, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    keep_checkpoint: bool = False


def card_of(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """List beside a model what it learns from, and give the card's lines on data, licence and list."""
    sheets = [each.info for part, each in recipe.learned.items() if part != "val"]
    listed = provenance.write(
        folder / "model",
        recipe.learned,
        *recipe.begun_from,
        normalizer=recipe.normalizer,
        goes_on=(folder / CHECKPOINT).is_file(),
    )
    return {**learned_from(sheets), **recipe.about, **listed}


def train_model(
    model: Model,
    train: Sequence[Sample],
    val: Sequence[Sample],
    recipe: Recipe,
    folder: Path,
    *,
    on_start: Callable[[], None] | None = None,
    on_step: OnStep | None = None,
) -> Fitted:
    """Train a network as a recipe says, as `histoscope.train.fit` does; its card names what it learned from.

    Parameters
    ----------
    model, train, val
        As of `histoscope.train.fit`, and so are the errors.
    recipe : Recipe
    folder : Path
        Run folder; it goes on from the checkpoint in it.
    on_start : callable, optional
        Called when everything has been checked, before the first step.
    on_step : callable, optional
        Called with step and losses after each step.
    """
    check_fit(model, train, val, recipe.config)
    card = card_of(recipe, folder)
    if on_start is not None:
        on_start()
    return fit(
        model,
        train,
        val,
        recipe.config,
        out=folder,
        augment=recipe.augment,
        color=recipe.color,
        balance=recipe.balance,
        on_step=on_step,
        card=card,
        normalizer=recipe.normalizer,
        keep_checkpoint=recipe.keep_checkpoint,
    )


class ProbedModel(NamedTuple):
    """Classes of the test part, the probe, patches with features, those not in the cache, and seconds."""

    table: pd.DataFrame
    probed: Probed
    n: int
    computed: int
    feature_seconds: float
    seconds: float


def probe_model(
    model: Classifier,
    parts: Split,
    recipe: Recipe,
    folder: Path,
    *,
    probe: ProbeConfig | None = None,
    spent: float = 0.0,
    progress: Progress | None = None,
    on_skip: OnSkip | None = None,
) -> ProbedModel:
    """Fit the head alone, on features of the frozen backbone, save the model, and classify the test part.

    Parameters
    ----------
    model : Classifier
    parts : Split
        Training, validation and test part, normalised.
    recipe : Recipe
    folder : Path
        Run folder.
    probe : ProbeConfig, optional
    spent : float
        Seconds that features in the cache have taken before, to be counted in.
    progress, on_skip : callable, optional
        As of `histoscope.classify.extract`.
    """
    probe = probe or ProbeConfig()
    with RunLog(folder, tensorboard=recipe.config.tensorboard, seconds=spent) as log:
        train, val, test = (
            extract(model, part, cache=probe.cache, progress=progress, on_skip=on_skip) for _, part in parts
        )
        ready = log.seconds
        probed = fit_probe(model, train, val, l2=probe.l2)
        scores = classification.scores(classification.classify_features(model, val, parts.val))
        log.write(1, {"loss": scores["nll"], "l2": probed.l2})
        log.write(1, scores, part="val")
        seconds = log.seconds
    computed = sum(features.computed for features in (train, val, test))
    about = {
        "probe": probed.to_dict(),
        "features": {"computed": computed, "seconds": round(ready, 2)},
        "validation": scores,
    }
    models.save(model, folder / "model", {**card_of(recipe, folder), **about}, recipe.normalizer)
    table = classification.classify_features(model, test, parts.test)
    return ProbedModel(table, probed, len(train) + len(val) + len(test), computed, ready, seconds)
