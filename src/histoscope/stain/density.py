"""Optical density, the scale on which stains add up, and the pixels that are tissue.

Beer-Lambert: light through a cut falls off exponentially with the amount of stain, so the optical density
``-ln(I / 255)`` is a sum of amounts times stain vectors [1]_.

References
----------
.. [1] Ruifrok and Johnston, Analytical and Quantitative Cytology and Histology 23(4), 2001.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ShapeError
from histoscope.stain import _kernels
from histoscope.threads import SMALLEST_BAND, over
from histoscope.types import Image, Mask

LEAST_DENSITY = 0.15
"""Mean optical density over R, G and B from which a pixel counts as tissue (the beta of Macenko et al.)."""
SAMPLE_PIXELS = 1 << 16
"""Pixels that an estimate looks at in each image."""

# Level 0 counts as 0.4 of a level, so that every one of the 256 levels comes back from its density.
DENSITY: NDArray[np.float32] = np.log(255.0 / np.maximum(np.arange(256), 0.4)).astype(np.float32)
DENSITY.setflags(write=False)


def optical_density(image: Image) -> NDArray[np.float32]:
    """Optical density of each channel.

    Parameters
    ----------
    image : uint8 of any shape

    Returns
    -------
    float32 of the same shape, in [0, 6.46]; white is 0.

    Examples
    --------
    >>> [round(float(density), 3) for density in optical_density(np.array([255, 94, 0], np.uint8))]
    [0.0, 0.998, 6.458]
    """
    return DENSITY.take(image)  # twice as fast as indexing


def from_density(density: NDArray[np.floating]) -> Image:
    """Levels whose optical density is given; the inverse of `optical_density`.

    Examples
    --------
    >>> levels = np.arange(256, dtype=np.uint8)
    >>> bool((from_density(optical_density(levels)) == levels).all())
    True
    """
    return np.asarray(np.rint(np.clip(255.0 * np.exp(-density), 0.0, 255.0)), np.uint8)


def check(image: object) -> Image:
    """Give `image` as a contiguous (H, W, 3) uint8 array, or say what to do with it.

    Raises
    ------
    ShapeError
        For anything that is not (H, W, 3) uint8.
    """
    if not isinstance(image, np.ndarray):
        raise ShapeError(
            f"image is a {type(image).__name__}, expected a NumPy array; use numpy.asarray(image)"
        )
    got = f"image is {image.shape} {image.dtype}, expected (H, W, 3) uint8 RGB; "
    if image.ndim == 2:
        raise ShapeError(got + "a grey image shows no stains, and no method here can colour it")
    if image.ndim == 4:
        raise ShapeError(got + "normalise the images of a batch one by one")
    if image.ndim == 3 and image.shape[2] == 4:
        raise ShapeError(got + "drop the alpha channel: image[..., :3]")
    if image.ndim == 3 and image.shape[2] == 1:
        raise ShapeError(got + "a grey image shows no stains, and no method here can colour it")
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        raise ShapeError(got + "put the channels last: numpy.moveaxis(image, 0, 2)")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ShapeError(got + "give one colour image")
    if image.dtype != np.uint8:
        raise ShapeError(got + _advice(image))
    return np.ascontiguousarray(image)


def tissue_mask(image: Image, *, least_density: float = LEAST_DENSITY) -> Mask:
    """Pixels that hold stain: dense enough, and not ink.

    A pixel is ink if it is clearly greener than red (blue, green pens), near black without colour (black
    pens, the slide's frame) or glaring red. Strong red blood cells may fall to the last rule, which does
    estimates no harm.

    Parameters
    ----------
    image : (H, W, 3) uint8
    least_density : float
        Mean optical density from which a pixel counts.

    Returns
    -------
    (H, W) bool

    Raises
    ------
    ShapeError
        For anything that is not (H, W, 3) uint8.

    Examples
    --------
    >>> row = np.array([[[255, 255, 255], [180, 90, 160], [20, 60, 200]]], np.uint8)  # glass, tissue, ink
    >>> tissue_mask(row).tolist()
    [[False, True, False]]
    """
    image = check(image)
    mask = np.empty(image.shape[:2], np.bool_)
    pixels = image.reshape(-1, 3)
    over(_kernels.tissue, len(pixels), SMALLEST_BAND, pixels, DENSITY, least_density, mask.reshape(-1))
    return mask


def sample_tissue(images: Image | Sequence[Image], *, at_most: int = SAMPLE_PIXELS) -> Image | None:
    """Tissue pixels drawn evenly over each image, the same ones every time.

    Parameters
    ----------
    images : (H, W, 3) uint8, or a sequence of them
        Several images (tiles of a slide) are pooled.
    at_most : int
        Pixels to look at in each image; where fewer than an eighth of them are tissue, all are looked at.

    Returns
    -------
    (N, 3) uint8, or None
        None if less than a hundredth of the pixels, or fewer than 64, are tissue: too little to estimate
        from.
    """
    found, seen = [], 0
    for image in [images] if isinstance(images, np.ndarray) else images:
        pixels = check(image).reshape(-1, 3)
        strata = min(len(pixels), at_most)
        tissue = _sample(pixels, strata)
        if len(tissue) < at_most // 8 and strata < len(pixels):
            strata = len(pixels)
            tissue = _sample(pixels, strata)
        seen += strata
        found.append(tissue)
    total = sum(map(len, found))
    if total < 64 or total < 0.01 * seen:
        return None
    return np.concatenate(found)


def _sample(pixels: Image, strata: int) -> Image:
    out = np.empty((strata, 3), np.uint8)
    return out[: _kernels.sample_tissue(pixels, strata, DENSITY, LEAST_DENSITY, out)]


def _advice(image: NDArray[np.generic]) -> str:
    if not np.issubdtype(image.dtype, np.floating):
        return "scale it to 0..255 and convert it: image.astype(numpy.uint8)"
    if not np.isfinite(image).all():
        return "it holds NaN or infinite values: replace them, then convert it to uint8"
    if image.size and image.max() <= 1.0:
        return "it seems to be in 0..1: (image * 255).round().astype(numpy.uint8)"
    return "it seems to be in 0..255: image.round().clip(0, 255).astype(numpy.uint8)"
