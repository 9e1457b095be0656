"""The white point of an image: the light that reaches the camera through bare glass.

Optical density is measured from it. With a fixed 255, glass under a dim or warm lamp would have a density,
and a normaliser would stain it. So glass is detected: it is the brightest part of the image, and under any
lamp it is not pink. Haematoxylin and eosin absorb green more than the mean of red and blue; no lamp does.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import StainError
from histoscope.stain import _kernels
from histoscope.types import Image

WHITE: NDArray[np.float64] = np.full(3, 255.0)
"""White point of references saved without one."""
WHITE.setflags(write=False)

USUAL = 240.0
"""Level of bare glass that is assumed where none is visible, as in Macenko's own program."""

WINDOW_PX = 4
"""Side of the windows that are averaged; the noise of their means is a quarter of that of a pixel."""
WINDOWS = 64
"""Most windows along each side of an image."""

# All in units of optical density.
_PINK, _GREEN = 0.04, -0.12  # of green, beyond the mean of red and blue
_DIMMEST = 0.75  # level 120
_PLAIN = 0.13  # glass brighter than 224 needs no further evidence
_BAND = 0.05
_LEAST_SHARE = 0.005


def thumbnail(image: Image) -> Image:
    """Thumbnail of an image: means of small windows, at most `WINDOWS` along each side, spread evenly.

    Examples
    --------
    >>> thumbnail(np.full((100, 1000, 3), 200, np.uint8)).shape
    (25, 64, 3)
    """
    (height, rows), (width, columns) = (_places(length) for length in image.shape[:2])
    out = np.empty((len(rows), len(columns), 3), np.uint8)
    _kernels.window_means(image, rows, columns, height, width, out)
    return out


def white_point(thumbnails: Image | Iterable[Image]) -> NDArray[np.float64] | None:
    """Detect the white point: the colour of bare glass.

    Parameters
    ----------
    thumbnails : (h, w, 3) uint8, or several
        From `thumbnail`; several are tiles of one slide.

    Returns
    -------
    (3,) float64 or None
        Levels of R, G and B; None if no bare glass is visible.

    Examples
    --------
    >>> dim = np.full((64, 64, 3), (181, 176, 170), np.uint8)
    >>> dim[:40] = 140, 80, 130
    >>> white_point(dim).round().tolist()
    [181.0, 176.0, 170.0]
    >>> white_point(dim[:40]) is None
    True
    """
    parts = [thumbnails] if isinstance(thumbnails, np.ndarray) else list(thumbnails)
    levels = np.concatenate([part.reshape(-1, 3) for part in parts]) if parts else np.empty((0, 3))
    density = np.log(255.0 / np.maximum(levels, 1.0))
    red, green, blue = density.T
    depth, pink = density.mean(axis=1), green - (red + blue) / 2.0
    colourless = (pink < _PINK) & (pink > _GREEN) & (np.abs(blue - red) < 0.45) & (depth < _DIMMEST)
    depths = np.sort(depth[colourless])
    if len(depths) < max(1.0, _LEAST_SHARE * len(depth)):
        return None
    first = _brightest_crowd(depths)
    glass = colourless & (depth >= first) & (depth <= first + _BAND)
    white = np.median(density[glass], axis=0)
    if np.mean(depth < white.mean() - _BAND) > 0.05:  # something else is brighter
        return None
    if white.mean() > _PLAIN:
        # Pale tissue under a bright lamp resembles glass under a dim one, but is pinkish and fades gradually;
        # a little of it is of several colours.
        darker = np.count_nonzero(colourless & (depth > first + _BAND) & (depth <= first + 2.0 * _BAND))
        shades = darker > 2 * np.count_nonzero(glass)
        uneven = (density[glass] - depth[glass, None]).std(axis=0).max() > 0.02
        little = len(depths) < 0.01 * len(depth) and (density[glass] - white).std(axis=0).max() > 0.012
        if little or ((shades or uneven) and np.median(pink[glass]) > 0.5 * _PINK):
            return None
    return np.asarray(255.0 * np.exp(-white))


def assumed_white(images: Sequence[Image]) -> NDArray[np.float64]:
    """White point of images without bare glass: `USUAL`, or their brightest channel if brighter."""
    brightest = [image[:: -(-len(image) // WINDOWS)].max(axis=2).ravel() for image in images]
    return np.full(3, max(USUAL, float(np.percentile(np.concatenate(brightest), 99.5))))


def check_white(white: ArrayLike) -> NDArray[np.float64]:
    """Validated white point.

    Raises
    ------
    StainError
        If it is not three levels from 1 to 255.

    Examples
    --------
    >>> check_white([230, 228, 226]).tolist()
    [230.0, 228.0, 226.0]
    """
    try:
        levels = np.asarray(white, np.float64)
    except (TypeError, ValueError):
        levels = np.empty(0)
    if levels.shape != (3,) or not np.isfinite(levels).all() or levels.min() < 1 or levels.max() > 255:
        raise StainError(
            f"white is {white!r}, expected the levels of R, G and B of bare glass, each from 1 to 255"
        )
    return levels


def _brightest_crowd(depths: NDArray[np.float64]) -> float:
    """Start of the brightest band with a fair share of the sorted densities, or of the fullest band."""
    within = np.searchsorted(depths, depths + _BAND, side="right") - np.arange(len(depths))
    crowded = within >= 0.15 * len(depths)
    return float(depths[int(np.argmax(crowded if crowded.any() else within))])


def _places(length: int) -> tuple[int, NDArray[np.int64]]:
    """Pixels of a window along a side, and starts of the windows."""
    size = min(WINDOW_PX, length)
    count = min(WINDOWS, -(-length // WINDOW_PX))
    return size, np.asarray(np.arange(count) * (length - size) // max(count - 1, 1), np.int64)
