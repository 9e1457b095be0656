"""How a network is trained, and what its card says of that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from histoscope.augment import AugmentConfig, Augmenter
from histoscope.balance import BalanceConfig
from histoscope.data import Dataset
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.train import provenance
from histoscope.train.choices import Color
from histoscope.train.config import TrainConfig
from histoscope.train.mix import learned_from
from histoscope.train.run_folder import CHECKPOINT


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
