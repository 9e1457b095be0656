"""Linear maps of the three channels between two curves, as lookup tables of integers.

Any ``out = curve_out(matrix @ curve_in(pixel) + offset)`` on 8-bit pixels is three table lookups added up and
three more lookups: the loop over pixels has no logarithm, exponential or multiplication. The three sums are
packed into one 64-bit integer of three 21-bit fields.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.stain import _kernels
from histoscope.stain.density import DENSITY, check, density_below
from histoscope.stain.glass import WHITE
from histoscope.stain.pens import keep_strokes
from histoscope.threads import SMALLEST_BAND, over
from histoscope.types import Image

_PER_DENSITY = 2048.0  # steps a unit of density: each sum is off by at most 1.5 / 2048, a fifth of a level
_PER_LEVEL = 64.0  # steps a level, for maps of plain RGB
_FIELD = (1 << 21) - 1

_MOST_STEPS = int(6.5 * _PER_DENSITY)
_LEVEL_OF_LEVEL = np.rint(np.arange(255 * int(_PER_LEVEL) + 1) / _PER_LEVEL).astype(np.uint8)


@dataclass(frozen=True, eq=False, slots=True)
class PixelMap:
    """Tables that map 8-bit pixels; made by `of_density` or `of_levels`.

    Parameters
    ----------
    sums : (3, 256) uint64
        For each input channel and level, its packed share of the three sums.
    tables : (3, N) uint8
        For each output channel, the level of each sum.
    """

    sums: NDArray[np.uint64]
    tables: NDArray[np.uint8]

    def __call__(self, image: Image) -> Image:
        """Map a (H, W, 3) uint8 image."""
        image = check(image)
        out = np.empty_like(image)
        pixels = image.reshape(-1, 3)
        tables = self.sums, self.tables
        over(_kernels.map_pixels, len(pixels), SMALLEST_BAND, pixels, *tables, out.reshape(-1, 3))
        return out

    def on_tissue(self, image: Image, white: NDArray[np.floating]) -> Image:
        """Map the tissue of a (H, W, 3) uint8 image, see `map_tissue`."""
        return map_tissue(_kernels.map_tissue, image, white, self.sums, self.tables)


def map_tissue(kernel: Callable[..., None], image: Image, white: NDArray[np.floating], *tables: Any) -> Image:
    """Map the tissue of a (H, W, 3) uint8 image with a kernel; glass, ink and pen strokes stay as they are.

    The change fades in between a mean density of 0.05 and 0.15 below `white`, (3,) levels.
    """
    image = check(image)
    out = np.empty_like(image)
    pixels, below = image.reshape(-1, 3), density_below(white)
    over(kernel, len(pixels), SMALLEST_BAND, pixels, below, *tables, out.reshape(-1, 3))
    keep_strokes(out, image, image, below)
    return out


def of_density(
    matrix: NDArray[np.floating],
    offset: NDArray[np.floating] | None = None,
    *,
    white: NDArray[np.floating] = WHITE,
    new_white: NDArray[np.floating] | None = None,
) -> PixelMap:
    """Map of optical density: ``density_out = matrix @ density_in + offset``.

    Parameters
    ----------
    matrix : (3, 3) array
    offset : (3,) array, optional
    white : (3,) array
        White point of the input.
    new_white : (3,) array, optional
        White point of the output; by default `white`.

    Examples
    --------
    >>> image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> bool((of_density(np.eye(3))(image) == image).all())
    True
    """
    new_white = white if new_white is None else new_white
    curve_in = DENSITY.astype(np.float64) - np.log(255.0 / np.asarray(white, np.float64))[:, None]
    # In steps; glass is not the brightest level.
    brightest = -int(_PER_DENSITY * np.log(255.0 / np.min(new_white)))
    light = np.exp(-np.arange(brightest, _MOST_STEPS) / _PER_DENSITY)
    curve_out = np.rint(np.clip(np.asarray(new_white)[:, None] * light, 0.0, 255.0)).astype(np.uint8)
    return _build(matrix, offset, curve_in, curve_out, _PER_DENSITY, brightest)


def of_levels(matrix: NDArray[np.floating], offset: NDArray[np.floating] | None = None) -> PixelMap:
    """Map of the levels themselves: ``rgb_out = matrix @ rgb_in + offset``, clipped to 0..255.

    Examples
    --------
    >>> image = np.full((2, 2, 3), 250, np.uint8)
    >>> of_levels(np.eye(3), np.array([-10.0, 0.0, 10.0]))(image)[0, 0].tolist()
    [240, 250, 255]
    """
    curve_in, curve_out = (np.tile(curve, (3, 1)) for curve in (np.arange(256.0), _LEVEL_OF_LEVEL))
    return _build(matrix, offset, curve_in, curve_out, _PER_LEVEL)


def _build(
    matrix: NDArray[np.floating],
    offset: NDArray[np.floating] | None,
    curve_in: NDArray[np.float64],
    curve_out: NDArray[np.uint8],
    per_unit: float,
    first: int = 0,
) -> PixelMap:
    # A factor beyond 10 between densities is no stain; and the sums must fit in their fields.
    matrix = np.clip(np.asarray(matrix, np.float64), -10.0, 10.0)
    shares = np.rint(per_unit * matrix[:, :, None] * curve_in).astype(np.int64)
    lowest = shares.min(axis=2)
    shares -= lowest[:, :, None]
    base = lowest.sum(axis=1)
    if offset is not None:
        base = base + np.rint(per_unit * np.asarray(offset, np.float64)).astype(np.int64)
    size = int(shares.max(axis=2).sum(axis=1).max()) + 1
    if size > _FIELD:  # cannot happen with a clipped matrix
        raise OverflowError(f"sums up to {size} do not fit in 21 bits")
    places = np.clip(np.arange(size) + base[:, None] - first, 0, curve_out.shape[1] - 1)
    sums = (shares[0] + (shares[1] << 21) + (shares[2] << 42)).astype(np.uint64)
    return PixelMap(sums, np.take_along_axis(curve_out, places, axis=1))
