"""Augmentation, stain jitter and remedies for rare classes, by name or as objects."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from histoscope import augment, balance, plugins, stain
from histoscope.augment import AugmentConfig, Augmenter
from histoscope.balance import BalanceConfig
from histoscope.errors import ConfigError
from histoscope.stain.guests import Guest
from histoscope.types import Image

Color = Callable[[Image, np.random.Generator], Image]


def get_augment(chosen: AugmentConfig | Augmenter | str | None) -> AugmentConfig | Augmenter | None:
    """Augmentation by a name of `augment.get`, as settings, or as a function."""
    if chosen is None:
        return None
    return augment.get(chosen) if isinstance(chosen, str) else augment.checked(chosen)


def get_balance(chosen: BalanceConfig | str | None) -> BalanceConfig | None:
    """Remedies for rare classes by a name of `balance.get`, or as settings."""
    found = balance.get(chosen) if isinstance(chosen, str) else chosen
    if found is not None and not isinstance(found, BalanceConfig):
        raise ConfigError(f"balance is {found!r}, expected BalanceConfig or a name such as 'none'")
    return found


def get_jitter(chosen: Color | str | None) -> Color | None:
    """Stain jitter by a key of ``stain.JITTERS`` or of a plug-in, or as a function."""
    if chosen is None:
        return None
    if isinstance(chosen, str):
        chosen = plugins.find("jitter", chosen, {"none": None, **stain.JITTERS}, "histoscope.jitters")
    if chosen is not None and not callable(chosen):
        raise ConfigError(
            f"color is {chosen!r}, expected a function (image, rng) -> image or one of "
            f"{', '.join(stain.JITTERS)}"
        )
    found: Color | None = chosen
    return found


def check_normalizer(
    name: str, white: tuple[float, float, float] | None, reference: Path | None = None
) -> None:
    """Check the name of a normaliser, its white point, and that nothing is given that it does not use."""
    given = {"white": white, "reference": reference}
    unused = next((key for key, value in given.items() if value is not None), None)
    if name != "none":
        kind = stain.get(name)
        if reference is not None and issubclass(kind, Guest) and not kind.can_fit():
            raise ConfigError(f"normaliser {name!r} has no fit(), so it takes no 'reference'; leave it out")
        if white is not None and issubclass(kind, Guest):
            raise ConfigError(f"'white' is for normalisers of Histoscope, not for {name!r}; leave it out")
    elif unused is not None:
        raise ConfigError(
            f"{unused!r} is for a normaliser, but 'normalizer' is none; name one, or leave it out"
        )
    if white is not None:
        stain.check_white(white)
