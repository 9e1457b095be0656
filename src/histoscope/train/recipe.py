"""How a network is trained, and what it learns from: one way for `train`, studies and pretraining."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from histoscope.augment import AugmentConfig, Augmenter
from histoscope.balance import BalanceConfig
from histoscope.data import Dataset
from histoscope.models.base import Model
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.train import provenance
from histoscope.train.checks import check_fit
from histoscope.train.choices import Color
from histoscope.train.config import TrainConfig
from histoscope.train.loop import Fitted, OnStep, fit
from histoscope.train.mix import learned_from
from histoscope.train.run_folder import CHECKPOINT
from histoscope.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    config : TrainConfig
    learned : mapping of str to Dataset
        Images of the parts ``train``, ``val`` and ``synthetic``, neither normalised nor resampled; the list
        of what was learned from is of them.
    augment : AugmentConfig, callable or str, optional
    color : callable or str, optional
        Stain jitter.
    balance : BalanceConfig or str, optional
        Remedies for rare classes.
    normalizer : Normalizer, optional
        What the samples went through.
    begun_from : tuple of path
        Models whose weights the network begins from.
    about : mapping
        Further lines of the model's card.
    keep_checkpoint : bool
        Keep the last checkpoint, to train longer later.
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
    """Train a network as a recipe says; its folder tells from the first save what it learned from.

    Parameters
    ----------
    model : Model
    train, val : sequences of Sample
        In memory, normalised and at the model's resolution.
    recipe : Recipe
    folder : Path
        Run folder; it goes on from the checkpoint in it.
    on_start : callable, optional
        Called when everything has been checked, before the first step.
    on_step : callable, optional
        Called with step and losses after each step.

    Raises
    ------
    ConfigError, DataError, TrainingError
        As `histoscope.train.fit`.
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
