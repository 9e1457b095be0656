"""Stain normalisation, separation and jitter: uint8 images in, uint8 images out.

>>> import numpy as np
>>> from histoscope import stain
>>> image = stain.combine(np.random.default_rng(0).gamma(1.0, 0.4, (64, 64, 2)), stain.RUIFROK[:2])
>>> normalize = stain.open("macenko")
>>> slide = normalize.estimate(image)            # once a slide
>>> normalize(image, source=slide).shape         # then for each of its tiles
(64, 64, 3)
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from histoscope import plugins
from histoscope.errors import ConfigError
from histoscope.files import IMAGE_SUFFIXES, read_image
from histoscope.lazy import attach
from histoscope.stain import reference as saved
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
from histoscope.types import Image

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
    "open",
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
        If that name is not a normaliser, or cannot be imported.

    Examples
    --------
    >>> get("reinhard").__name__
    'Reinhard'
    """
    found = plugins.find("normaliser", name, NORMALIZERS, GROUP)
    ours = isinstance(found, type) and issubclass(found, BaseNormalizer)
    return found if ours else kind_of(name, found)


def open(  # noqa: A001  # reads as stain.open
    method: str | None = None,
    reference: str | Path | Image | Sequence[Image] | None = None,
    *,
    white: ArrayLike | None = None,
    origin: str = "",
) -> BaseNormalizer[Any]:
    """Open a normaliser, ready to be called on images.

    Parameters
    ----------
    method : str, optional
        As in `get`; if left out, the one that a saved reference is of, else Macenko's.
    reference : str, Path, (H, W, 3) uint8 or several, optional
        What to normalise to: a JSON file that ``save`` wrote, an image file, or the pixels of one or more
        images of one slide. ``default``, or nothing, is the reference that ships with Histoscope.
    white : (3,) array, optional
        White point of the images to come, levels from 1 to 255; without it, each image's own is estimated.
    origin : str
        Where the pixels come from, to be saved with them.

    Raises
    ------
    UnknownNameError
        If there is no such method, or the file does not hold it.
    ConfigError
        If the reference is neither of these, or the method takes no white point.
    StainError
        If the reference shows too little tissue.

    Examples
    --------
    >>> open("reinhard").name
    'reinhard'
    """
    kind = get(method or "macenko")
    if reference is None or (isinstance(reference, str) and reference == saved.DEFAULT):
        fitted = kind.default()
    elif not isinstance(reference, str | Path):
        fitted = kind.fit(reference, origin=origin)
    elif (path := Path(reference)).suffix.lower() == ".json":
        fitted = load(path, method)
    elif path.is_file() or path.suffix.lower() in IMAGE_SUFFIXES:
        fitted = kind.fit(read_image(path), origin=origin or path.name)
    else:
        raise ConfigError(
            f"reference {str(path)!r} is not a stain reference; expected {saved.DEFAULT!r}, a .json file or "
            "an image"
        )
    return fitted if white is None else replace(fitted, white=white)


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
    methods, about = saved.read(path)
    name, values = saved.choose(methods, method, str(path))
    if method is None and ":" in name and not plugins.is_trusted(name, NORMALIZERS, GROUP):
        raise ConfigError(
            f"{path} holds the normaliser {name!r}, which is not part of Histoscope, and Histoscope never "
            "runs code only because a file names it. Name it yourself, histoscope.stain.load(path, "
            f"{name!r}), or install a "
            f"package that offers it under {GROUP!r}"
        )
    return replace(get(name)._from_values(values), **about)


__getattr__, __dir__ = attach(__name__, {})
