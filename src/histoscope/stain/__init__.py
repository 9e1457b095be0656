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
from typing import Any

from histoscope import plugins
from histoscope.errors import ConfigError
from histoscope.lazy import attach
from histoscope.stain import reference
from histoscope.stain.deconvolution import RUIFROK, StainEstimate, combine, separate
from histoscope.stain.density import from_density, optical_density
from histoscope.stain.glass import check_white, thumbnail, white_point
from histoscope.stain.guests import GROUP, Normalizer, adopted, kind_of
from histoscope.stain.jitter import BrightnessHue, HedJitter, StainJitter
from histoscope.stain.macenko import Macenko
from histoscope.stain.normalizer import BaseNormalizer, StainNormalizer
from histoscope.stain.reinhard import ColourEstimate, Reinhard, lab
from histoscope.stain.restain import restain
from histoscope.stain.ruifrok import Ruifrok
from histoscope.stain.tissue import tissue_mask
from histoscope.stain.vahadane import Vahadane

NORMALIZERS: dict[str, type[BaseNormalizer[Any]]] = {
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
    "adopted",
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


def get(name: str) -> type[BaseNormalizer[Any]]:
    """Look a normaliser up by its name.

    Parameters
    ----------
    name : str
        A key of `NORMALIZERS`, of an installed plug-in (``histoscope.normalizers``), or
        ``package.module:Name``: a class or function as `Normalizer` says.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    ConfigError
        If what has that name is no normaliser, or cannot be imported.

    Examples
    --------
    >>> get("reinhard").__name__
    'Reinhard'
    """
    found = plugins.find("normaliser", name, NORMALIZERS, GROUP)
    ours = isinstance(found, type) and issubclass(found, BaseNormalizer)
    return found if ours else kind_of(name, found)


def load(path: str | Path, method: str | None = None) -> BaseNormalizer[Any]:
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
    ConfigError
        If it names a normaliser of somebody else that is not installed as a plug-in, and `method` does not.
    """
    methods, about = reference.read(path)
    name, values = reference.choose(methods, method, str(path))
    if method is None and ":" in name and not plugins.is_trusted(name, NORMALIZERS, GROUP):
        raise ConfigError(
            f"{path} holds the normaliser {name!r}, which is not part of Histoscope, and no code is run "
            f"because a file names it. Name it yourself, histoscope.stain.load(path, {name!r}), or install a "
            f"package that offers it under {GROUP!r}"
        )
    return replace(get(name)._from_values(values), **about)


__getattr__, __dir__ = attach(__name__, {})
