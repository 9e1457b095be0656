"""Dyes of an image, on one scale for all laboratories, and images of dyes in any stain.

A generator of amounts of dye need not learn colours, and any stain can be applied to its output exactly.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope.errors import StainError
from histoscope.stain import Macenko, optical_density
from histoscope.stain.deconvolution import with_residual
from histoscope.synth.spec import StainSpec
from histoscope.types import Image

USUAL_AMOUNTS = (1.9, 1.0)
"""99th percentiles of density over tissue that count as amount 1 of haematoxylin and eosin."""
CANONICAL = StainSpec(glass_rgb=(255.0, 255.0, 255.0))
"""The stain that tiles of all laboratories are normalised to."""


def stain_of(image: Image) -> StainSpec:
    """Stain vectors and amounts of a tile, by Macenko's method; the canonical stain for too little tissue.

    Parameters
    ----------
    image : (H, W, 3) uint8

    Examples
    --------
    >>> stain_of(np.full((32, 32, 3), 255, np.uint8)) == CANONICAL
    True
    """
    try:
        found = Macenko.estimate(image)
    except StainError:
        return CANONICAL
    hematoxylin, eosin = (_triple(row) for row in found.stains)
    h_amount, e_amount = (
        float(np.clip(amount / usual, 0.2, 5.0))
        for amount, usual in zip(found.amounts, USUAL_AMOUNTS, strict=True)
    )
    return StainSpec(hematoxylin, eosin, h_amount, e_amount, _triple(found.white))


def dyes_of(image: Image, stain: StainSpec) -> NDArray[np.float32]:
    """Haematoxylin, eosin and the residual at each pixel, (H, W, 3).

    `pictured` with the same stain gives the image back; with another, the tissue in that stain.

    Examples
    --------
    >>> image = np.random.default_rng(0).integers(1, 255, (4, 4, 3), dtype=np.uint8)
    >>> bool((pictured(dyes_of(image, CANONICAL), CANONICAL) == image).all())
    True
    """
    return np.asarray((optical_density(image) - _glass(stain)) @ np.linalg.inv(_vectors(stain)), np.float32)


def pictured(dyes: NDArray[np.floating], stain: StainSpec) -> Image:
    """Light through dyes (H, W, 3), as 8-bit RGB."""
    # As `from_density` of a product, in a fifth of the time: each pixel is touched but once a step.
    darker = -np.vstack([_vectors(stain), _glass(stain)]).T
    light = cv2.transform(np.ascontiguousarray(dyes, np.float32), darker)
    return np.asarray(cv2.convertScaleAbs(np.exp(light, out=light), alpha=255.0), np.uint8)


def _triple(row: NDArray[np.float64]) -> tuple[float, float, float]:
    r, g, b = (round(float(value), 4) for value in row)
    return r, g, b


def _vectors(stain: StainSpec) -> NDArray[np.float32]:
    """Density of one unit of each dye, (3, 3), and of the rest, at right angles to both."""
    both = stain.vectors().astype(np.float64)
    return np.vstack([both, with_residual(both)[2:]]).astype(np.float32)


def _glass(stain: StainSpec) -> NDArray[np.float32]:
    return -np.log(np.asarray(stain.glass_rgb, np.float32) / 255)
