"""Stain normalisation, separation and jitter: uint8 images in, uint8 images out.

>>> import numpy as np
>>> from histoscope import stain
>>> image = stain.combine(np.random.default_rng(0).gamma(1.0, 0.4, (64, 64, 2)), stain.RUIFROK[:2])
>>> normalize = stain.get("macenko").default()
>>> slide = normalize.estimate(image)            # once a slide
>>> normalize(image, source=slide).shape         # then for each of its tiles
(64, 64, 3)
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from histoscope.errors import UnknownNameError
from histoscope.stain import reference
from histoscope.stain.deconvolution import RUIFROK, StainEstimate, combine, separate
from histoscope.stain.density import from_density, optical_density
from histoscope.stain.glass import check_white, thumbnail, white_point
from histoscope.stain.jitter import BrightnessHue, HedJitter, StainJitter
from histoscope.stain.macenko import Macenko
from histoscope.stain.normalizer import BaseNormalizer, StainNormalizer
from histoscope.stain.reinhard import ColourEstimate, Reinhard, lab
from histoscope.stain.restain import restain
from histoscope.stain.ruifrok import Ruifrok
from histoscope.stain.tissue import tissue_mask
from histoscope.stain.vahadane import Vahadane

Normalizer: TypeAlias = BaseNormalizer[Any]
"""A fitted normaliser of any method."""

NORMALIZERS: dict[str, type[Normalizer]] = {
    "reinhard": Reinhard,
    "macenko": Macenko,
    "vahadane": Vahadane,
    "ruifrok": Ruifrok,
}

JITTERS: dict[str, HedJitter | StainJitter | BrightnessHue] = {
    "brightness_hue": BrightnessHue(),
    "hed_light": HedJitter(0.05, 0.05),
    "hed_strong": HedJitter(0.2, 0.2),
    "stain": StainJitter(),
}
"""Random changes of colour for training, by name."""

__all__ = [
    "JITTERS",
    "NORMALIZERS",
    "RUIFROK",
    "BrightnessHue",
    "ColourEstimate",
    "HedJitter",
    "Macenko",
    "Normalizer",
    "Reinhard",
    "Ruifrok",
    "StainEstimate",
    "StainJitter",
    "StainNormalizer",
    "Vahadane",
    "check_white",
    "combine",
    "from_density",
    "get",
    "lab",
    "load",
    "optical_density",
    "restain",
    "separate",
    "thumbnail",
    "tissue_mask",
    "white_point",
]


def get(name: str) -> type[Normalizer]:
    """Look a normaliser up by its name.

    Raises
    ------
    UnknownNameError
        If there is none of that name.

    Examples
    --------
    >>> get("reinhard").__name__
    'Reinhard'
    """
    if name not in NORMALIZERS:
        raise UnknownNameError("normaliser", name, NORMALIZERS)
    return NORMALIZERS[name]


def load(path: str | Path, method: str | None = None) -> Normalizer:
    """Read a normaliser that ``save`` wrote.

    Parameters
    ----------
    path : str or Path
        The JSON file.
    method : str, optional
        Which, if the file holds several.

    Raises
    ------
    DatasetNotFoundError, FormatVersionError, DataError
        If there is no such file, it is of another version, or it is something else.
    UnknownNameError
        If it does not hold `method`.
    """
    methods, about = reference.read(path)
    name, values = reference.choose(methods, method, str(path))
    return replace(get(name)._from_values(values), **about)
