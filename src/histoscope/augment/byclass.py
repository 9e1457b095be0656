"""Stronger warps for patches that hold rare classes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from histoscope.augment.params import AugmentConfig
from histoscope.errors import ConfigError
from histoscope.types import Sample

RARE_WARP = AugmentConfig(
    dihedral_chance=1.0,
    affine_chance=1.0,
    rotation_deg=45.0,
    scale=0.3,
    elastic_chance=0.8,
    elastic_um=5.0,
)
"""How far the rarest class is warped, unless a run's own configuration goes farther."""

_LIFTED = ("dihedral_chance", "affine_chance", "rotation_deg", "scale", "elastic_chance", "elastic_um")


def lifted(config: AugmentConfig, share: float) -> AugmentConfig:
    """Move the warps of a configuration towards `RARE_WARP`; colour, blur and noise stay.

    A repeated nucleus should not look the same each time. Turns, flips, rotation, zoom and elastic
    deformation are raised, never lowered.

    Parameters
    ----------
    config : AugmentConfig
        Where to start.
    share : float in [0, 1]
        0 changes nothing, 1 goes all the way.

    Examples
    --------
    >>> lifted(AugmentConfig(rotation_deg=15.0), 0.5).rotation_deg
    30.0
    """
    if share == 0:
        return config
    raised = {}
    for name in _LIFTED:
        start = getattr(config, name)
        raised[name] = start + share * max(getattr(RARE_WARP, name) - start, 0.0)
    # Control points too near to each other for the larger shift would fold the image.
    spacing_um = max(config.elastic_spacing_um, RARE_WARP.elastic_spacing_um)
    return replace(config, elastic_spacing_um=spacing_um, **raised)


def rarest(
    sample: Sample, rarity: Sequence[float] | NDArray[np.float64], *, size_px: int | None = None
) -> float:
    """Largest rarity of the classes that have a pixel in a sample, or in the square in its middle.

    Parameters
    ----------
    sample : Sample
        With or without nuclei; those without a class are of class 0.
    rarity : (C + 1,) floats in [0, 1]
        Of classes 0 to C, such as ``Balance.rarity``; the first entry should be 0.
    size_px : int, optional
        Side of the square.

    Returns
    -------
    float in [0, 1]
        0 where there are no nuclei.

    Raises
    ------
    ConfigError
        If a class has no rarity.

    Examples
    --------
    >>> labels = np.array([[1, 0, 2, 2]], np.int32)
    >>> sample = Sample(np.zeros((1, 4, 3), np.uint8), 0.5, labels, np.array([0, 1, 2], np.uint8))
    >>> rarest(sample, [0.0, 1.0, 0.5]), rarest(sample, [0.0, 1.0, 0.5], size_px=2)
    (1.0, 0.5)
    """
    if sample.instances is None or sample.classes is None:
        return 0.0
    labels = sample.instances
    if size_px is not None:
        top, left = (max(length - size_px, 0) // 2 for length in labels.shape)
        labels = labels[top : top + size_px, left : left + size_px]
    if sample.classes.max(initial=0) >= len(rarity):
        raise ConfigError(
            f"rarity has {len(rarity)} entries, but sample {sample.name!r} holds class {sample.classes.max()}"
            "; expected one for each class and one, the first, for nuclei without a class"
        )
    of_id = np.asarray(rarity, np.float64)[sample.classes]
    of_id[0] = 0.0
    return float(of_id[labels].max(initial=0.0))
