"""A slide as a normaliser shows it, with the stains of the whole slide, so that its tiles fit together."""

from collections.abc import Callable, Sequence
from functools import partial

from histoscope import stain
from histoscope.errors import ConfigError, StainError
from histoscope.predict.slides.stains import Sample
from histoscope.slides import Box, Slide
from histoscope.slides.tissue import find_tissue
from histoscope.types import Image

_SMALL_PX = 1 << 22
"""Images up to this are measured whole, as `histoscope normalize` does."""
_MPP = 0.5
"""Of the tiles that a slide is measured by."""


def recolouring(slide: Slide, method: str) -> Callable[[Image], Image]:
    """What brings the colours of a slide to the reference that ships with Histoscope.

    Parameters
    ----------
    slide : Slide
    method : str
        A key of `histoscope.stain.NORMALIZERS`.

    Raises
    ------
    ConfigError
        If it shows too little tissue for an estimate, or does not say its resolution.
    """
    normalise = stain.open(method)
    try:
        source = normalise.measure(_pixels(slide))
    except StainError as error:
        raise ConfigError(f"{slide.path.name} cannot be normalised: {error}") from error
    return partial(normalise, source=source)


def _pixels(slide: Slide) -> Image | Sequence[Image]:
    """The whole of a small image, or tiles of the tissue of a slide, the same as prediction takes."""
    width, height = slide.size
    if width * height <= _SMALL_PX:
        whole: Image = slide.read(Box(0, 0, width, height), 0)
        return whole
    tiles = Sample.of(slide, find_tissue(slide)[0], _MPP).tiles
    if not tiles:
        raise ConfigError(f"{slide.path.name} shows no tissue from which to measure its stains")
    return tiles
