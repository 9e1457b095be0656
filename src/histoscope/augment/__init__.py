"""Augmentation of labelled images: one draw of parameters for the image, its instances and its classes.

>>> import numpy as np
>>> from histoscope.augment import augment, get
>>> from histoscope.types import Sample
>>> sample = Sample(np.full((96, 96, 3), 200, np.uint8), mpp=0.5, instances=np.zeros((96, 96), np.int32))
>>> augment(sample, get("default"), 0, size_px=64).image.shape
(64, 64, 3)
"""

from typing import Any

from histoscope import plugins
from histoscope.augment.byclass import RARE_WARP, lifted, rarest
from histoscope.augment.compose import apply, augment
from histoscope.augment.guests import Augmenter, augmented, from_albumentations
from histoscope.augment.params import AugmentConfig, AugmentParams, margin_px, sample_params
from histoscope.errors import ConfigError
from histoscope.lazy import attach

AUGMENTATIONS: dict[str, AugmentConfig] = {
    "none": AugmentConfig(),
    "basic": AugmentConfig(dihedral_chance=1.0),
    "light": AugmentConfig(dihedral_chance=1.0, color_chance=1.0, brightness=0.1, contrast=0.1),
    "default": AugmentConfig(
        dihedral_chance=1.0,
        affine_chance=0.75,
        rotation_deg=45.0,  # with the eight dihedral positions this reaches every angle
        scale=0.2,
        elastic_chance=0.3,
        elastic_um=3.0,
        color_chance=0.75,
        brightness=0.1,
        contrast=0.1,
        saturation=0.15,
        hue_deg=5.0,
        blur_chance=0.2,
        blur_um=0.3,
        noise_chance=0.2,
        noise_levels=5.0,
    ),
    "strong": AugmentConfig(
        dihedral_chance=1.0,
        affine_chance=0.9,
        rotation_deg=45.0,
        scale=0.4,
        elastic_chance=0.6,
        elastic_um=6.0,
        color_chance=0.9,
        brightness=0.25,
        contrast=0.25,
        saturation=0.4,
        hue_deg=20.0,
        blur_chance=0.4,
        blur_um=0.6,
        noise_chance=0.4,
        noise_levels=12.0,
    ),
}
"""The settings that ship, by name."""
GROUP = "histoscope.augmentations"
"""Entry points of those of others."""


def get(name: str) -> AugmentConfig | Augmenter:
    """Look up an augmentation: a preset of `AUGMENTATIONS`, or settings or an `Augmenter` of a plug-in.

    Parameters
    ----------
    name : str
        A key of `AUGMENTATIONS`, of an installed plug-in (``histoscope.augmentations``), or
        ``package.module:Name``.

    Raises
    ------
    UnknownNameError
        If there is none of that name; the message offers the nearest.
    ConfigError
        If what has that name is neither settings nor callable, or cannot be imported.
    """
    return checked(plugins.find("augmentation", name, AUGMENTATIONS, GROUP))


def checked(chosen: Any) -> AugmentConfig | Augmenter:
    """Settings or an augmenter as they are; anything else is refused."""
    if isinstance(chosen, AugmentConfig) or (callable(chosen) and not isinstance(chosen, type)):
        return chosen
    raise ConfigError(
        f"augment is {chosen!r}, expected AugmentConfig, a function (sample, rng) -> sample, or a name such "
        "as 'default'"
    )


__all__ = [
    "AUGMENTATIONS",
    "RARE_WARP",
    "AugmentConfig",
    "AugmentParams",
    "Augmenter",
    "apply",
    "augment",
    "augmented",
    "checked",
    "from_albumentations",
    "get",
    "lifted",
    "margin_px",
    "rarest",
    "sample_params",
]


__getattr__, __dir__ = attach(__name__, {})
