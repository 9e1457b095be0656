"""Colour deconvolution: stain vectors and amounts.

References
----------
.. [1] Ruifrok and Johnston, Analytical and Quantitative Cytology and Histology 23(4), 2001.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.brief import brief
from histoscope.errors import ShapeError
from histoscope.stain import _kernels
from histoscope.stain.density import check, from_density, optical_density
from histoscope.stain.glass import WHITE
from histoscope.types import Image

RUIFROK: NDArray[np.float64] = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Published vectors of haematoxylin, eosin and DAB (rows; columns R, G, B), of about unit length [1]_."""
RUIFROK.setflags(write=False)

TYPICAL: NDArray[np.float64] = np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]])
"""Vectors of haematoxylin and eosin in common use since Macenko et al., for a stain that is missing."""
TYPICAL.setflags(write=False)

LEAST_AMOUNT = 0.05
"""Amounts below this count as no stain, and are not scaled."""
LEAST_ANGLE = np.deg2rad(15.0)
"""Least angle between the vectors: separating closer ones amplifies noise fourfold and more."""
_PIXELS = 1 << 14
NAMES = ("haematoxylin", "eosin")


@brief
@dataclass(frozen=True, eq=False, slots=True)
class StainEstimate:
    """Stain vectors and amounts of an image or slide.

    Parameters
    ----------
    stains : (2, 3) float64
        Optical density of one unit of haematoxylin (first row) and eosin in R, G, B; unit rows, none
        negative.
    amounts : (2,) float64
        99th percentile of each stain's amount over the tissue.
    white : (3,) float64
        White point: levels of bare glass, which have density 0.
    present : (bool, bool)
        Whether the image shows each stain. A missing one has a typical vector and is not scaled.
    notes : tuple of str
        Limitations of the estimate, in words.
    """

    stains: NDArray[np.float64]
    amounts: NDArray[np.float64]
    white: NDArray[np.float64] = field(default_factory=WHITE.copy)
    present: tuple[bool, bool] = (True, True)
    notes: tuple[str, ...] = ()


def unit_rows(stains: ArrayLike) -> NDArray[np.float64]:
    """Rows scaled to unit length."""
    rows = np.asarray(stains, np.float64)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def check_stains(stains: ArrayLike) -> NDArray[np.float64]:
    """Validated stain vectors, (2, 3) or (3, 3), as unit rows.

    Raises
    ------
    ShapeError
        If they are of another shape, not finite, negative or not independent.
    """
    rows = np.asarray(stains, np.float64)
    if rows.shape not in {(2, 3), (3, 3)}:
        raise ShapeError(
            f"stains have shape {rows.shape}, expected (2, 3): one row of R, G, B density per stain"
        )
    if not np.isfinite(rows).all() or (rows[:2] < 0).any():
        raise ShapeError(f"stains are {rows.tolist()}; densities must be finite and not negative")
    if np.linalg.matrix_rank(rows, tol=1e-3) < len(rows):
        raise ShapeError(
            f"stains {rows.tolist()} point the same way, so they cannot be told apart; give distinct ones"
        )
    return unit_rows(rows)


def with_residual(stains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two stains with the residual as third row, orthogonal to both."""
    if len(stains) == 3:
        return stains
    return np.vstack([stains, unit_rows(np.cross(stains[0], stains[1])[None])])


def separate(image: Image, stains: ArrayLike = RUIFROK) -> NDArray[np.float32]:
    """Separate an image into the amount of each stain (colour deconvolution).

    Parameters
    ----------
    image : (H, W, 3) uint8
    stains : (2, 3) or (3, 3) array
        Rows of R, G, B density; scaled to unit length. Two stains are fitted by least squares.

    Returns
    -------
    (H, W, n_stains) float32
        In units of optical density; noise may make it slightly negative.

    Raises
    ------
    ShapeError
        For a wrong image or wrong stains.

    Examples
    --------
    >>> purple = np.full((1, 1, 3), (120, 80, 170), np.uint8)
    >>> [round(float(amount), 2) for amount in separate(purple)[0, 0]]
    [1.09, 0.36, 0.06]
    """
    return optical_density(check(image)) @ np.linalg.pinv(check_stains(stains)).astype(np.float32)


def combine(amounts: NDArray[np.floating], stains: ArrayLike = RUIFROK) -> Image:
    """Image of given stain amounts; the inverse of `separate` for three stains.

    Parameters
    ----------
    amounts : (..., n_stains) array
    stains : (n_stains, 3) array

    Returns
    -------
    (..., 3) uint8

    Examples
    --------
    >>> image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> bool((combine(separate(image)) == image).all())
    True
    """
    return from_density(amounts @ check_stains(stains))


def high_amounts(density: NDArray[np.float32], stains: NDArray[np.float64]) -> NDArray[np.float64]:
    """99th percentile of the amount of each stain, (3, N) density: the robust maximum of Macenko et al."""
    amounts = np.linalg.pinv(stains).T.astype(np.float32) @ density
    rank = round(0.99 * (density.shape[1] - 1))
    return np.array([_kernels.ranked(row, rank) for row in amounts])


def in_order(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Two directions as stain vectors: not negative, unit rows, haematoxylin first.

    Haematoxylin has more density in red and less in green than eosin. Red alone, the usual rule, swaps them
    in faint sections with little eosin, where both have the same red, and nuclei come out pink. None if they
    are less than two degrees apart: the image shows one colour only.
    """
    stains = np.maximum(np.vstack([row * np.sign(row.sum()) for row in (first, second)]), 0.0)
    lengths = np.linalg.norm(stains, axis=1)
    if not np.isfinite(lengths).all() or lengths.min() < 1e-6:
        return None
    stains /= lengths[:, None]
    if stains[0] @ stains[1] > np.cos(np.deg2rad(2.0)):
        return None
    redness = stains[:, 0] - stains[:, 1]
    return stains if redness[0] >= redness[1] else np.ascontiguousarray(stains[::-1])


def shown(density: NDArray[np.float32]) -> tuple[bool, bool]:
    """Whether the (3, N) density of tissue pixels shows haematoxylin, and eosin.

    The ratio of red to green density is 0.6 to 1.2 in haematoxylin and 0.05 to 0.5 in eosin; the extreme
    pixels decide.
    """
    density = density[:, :: -(-density.shape[1] // _PIXELS)]
    # The palest fifth is left out, where ratios are noise.
    total = density.sum(axis=0)
    density = density[:, total >= min(0.75, np.percentile(total, 20))]
    ratio = np.ascontiguousarray(density[0] / np.maximum(density[1], np.float32(0.05)))
    low, high = (_kernels.ranked(ratio, round(share * (len(ratio) - 1))) for share in (0.01, 0.99))
    return high >= 0.45, low < 0.6


def apart(stains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two vectors spread to at least `LEAST_ANGLE`, in their plane and about their mean."""
    middle, across = stains[0] + stains[1], stains[0] - stains[1]
    half = np.arctan2(np.linalg.norm(across), np.linalg.norm(middle))
    if 2.0 * half >= LEAST_ANGLE:
        return stains
    middle, across = unit_rows(np.vstack([middle, across]))
    sine, cosine = np.sin(LEAST_ANGLE / 2.0), np.cos(LEAST_ANGLE / 2.0)
    return np.vstack([cosine * middle + sine * across, cosine * middle - sine * across])
