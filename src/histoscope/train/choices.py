"""Augmentation, jitter, normaliser and remedies for rare classes, by name or as they are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from histoscope import augment, balance, stain
from histoscope.augment import AugmentConfig
from histoscope.balance import BalanceConfig
from histoscope.errors import ConfigError, UnknownNameError
from histoscope.files import read_image
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.types import Image

Color = Callable[[Image, np.random.Generator], Image]
T = TypeVar("T")


def get_augment(chosen: AugmentConfig | str | None) -> AugmentConfig | None:
    """What may happen to a patch: a key of ``augment.AUGMENTATIONS``, settings of one's own, or nothing."""
    found = augment.get(chosen) if isinstance(chosen, str) else chosen
    return _checked(found, AugmentConfig, "augment", "default")


def get_balance(chosen: BalanceConfig | str | None) -> BalanceConfig | None:
    """Remedies for rare classes: a key of ``balance.BALANCES``, settings of one's own, or none."""
    found = balance.get(chosen) if isinstance(chosen, str) else chosen
    return _checked(found, BalanceConfig, "balance", "none")


def get_jitter(chosen: Color | str | None) -> Color | None:
    """Random change of colour: a key of ``stain.JITTERS``, a function of one's own, or none."""
    if chosen is None or chosen == "none":
        return None
    if isinstance(chosen, str):
        if chosen not in stain.JITTERS:
            raise UnknownNameError("jitter", chosen, ["none", *stain.JITTERS])
        return stain.JITTERS[chosen]
    if not callable(chosen):
        raise ConfigError(
            f"color is {chosen!r}, expected a function (image, rng) -> image or one of "
            f"{', '.join(stain.JITTERS)}"
        )
    return chosen


def check_normalizer(
    name: str, white: tuple[float, float, float] | None, reference: Path | None = None
) -> None:
    """Refuse a name that no normaliser has, a white point that is none, and what nothing would use."""
    given = {"white": white, "reference": reference}
    unused = next((key for key, value in given.items() if value is not None), None)
    if name != "none":
        stain.get(name)
    elif unused is not None:
        raise ConfigError(
            f"{unused!r} is for a normaliser, but 'normalizer' is none; name one, or leave it out"
        )
    if white is not None:
        stain.check_white(white)


def check_fitted(given: stain.Normalizer | None) -> None:
    """Refuse what is no fitted normaliser, such as its name."""
    if given is not None and not isinstance(given, BaseNormalizer):
        raise ConfigError(
            f"normalizer is {given!r}, expected a fitted one, such as "
            "histoscope.stain.get('macenko').default(), that the samples went through already"
        )


def get_normalizer(
    name: str, reference: Path | None, white: tuple[float, float, float] | None = None
) -> stain.Normalizer | None:
    """Fitted normaliser, or None for ``none``; `white` is the white point of the images to come."""
    if name == "none":
        return None
    kind = stain.get(name)
    if reference is None:
        fitted = kind.default()
    elif reference.suffix == ".json":
        fitted = stain.load(reference, name)
    else:
        fitted = kind.fit(read_image(reference), origin=reference.name)
    return fitted if white is None else replace(fitted, white=white)


def _checked(found: T | None, kind: type[T], what: str, example: str) -> T | None:
    if found is not None and not isinstance(found, kind):
        raise ConfigError(f"{what} is {found!r}, expected {kind.__name__} or a name such as {example!r}")
    return found
