"""Out-of-focus tissue: from tiles of 64 um at 0.5 um per pixel, one in each square of 256 um."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope.slides.salvage import read_salvaged
from histoscope.slides.slide import Box, Slide
from histoscope.threads import in_order
from histoscope.types import Image, Mask

LEAST_FOCUS = 0.2
"""Sharpness below which tissue is out of focus: that of a blur of 1.5 um, which hides nuclei."""
COARSEST_MPP = 0.6
"""Coarsest resolution of slides that are measured; coarser ones do not show the required detail."""
_MPP, _TILE_PX = 0.5, 128
_SQUARE = 32  # cells of 8 um along a side of a square
_AROUND = 4  # cells from the middle of a tile to its sides
_LEAST_TISSUE = 0.3
_SIGMAS_PX = 1.0, 2.0, 4.0
_NOISE = 0.5  # variance that noise of two to three grey levels leaves in the fine band
_FLAT = 3.0  # standard deviation in grey levels


def sharpness(image: Image) -> float:
    """Detail of 0.5 to 1 um relative to detail of 1 to 2 um, in an image at 0.5 um per pixel.

    It is the ratio of variances of two differences of Gaussians. Stain and type of tissue hardly change it,
    since they change both. Sharp tissue has 0.4 to 1.2; blurred by a Gaussian of 1, 1.5, 2 um it has about
    0.24, 0.16, 0.13.

    Parameters
    ----------
    image : (h, w, 3) uint8

    Returns
    -------
    float
        NaN if nothing is visible that could be sharp, such as in mucus.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sharp = cv2.resize(rng.integers(99, 200, (32, 32, 3), np.uint8), (128, 128))
    >>> soft = cv2.GaussianBlur(sharp, (0, 0), 4)
    >>> sharpness(sharp) > LEAST_FOCUS > sharpness(soft), sharpness(np.full_like(sharp, 200))
    (True, nan)
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine, middle, coarse = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in _SIGMAS_PX)
    if coarse.std() < _FLAT and (fine - middle).var() < 2 * _NOISE:
        return float("nan")
    return float(max((fine - middle).var() - _NOISE, 0.0) / max((middle - coarse).var(), 1.0))


def out_of_focus(
    slide: Slide, tissue: Mask, white: NDArray[np.float64], least: float, *, cell_um: float
) -> Mask:
    """Cells of squares without sharp tissue in them or in neighbouring squares.

    Parameters
    ----------
    slide : Slide
    tissue : (h, w) bool
        Cells of `cell_um`.
    white : (3,) float64
        Levels of bare glass.
    least : float
        Sharpness that one tile must have.
    cell_um : float

    Returns
    -------
    (h, w) bool
        All False for a slide coarser than `COARSEST_MPP`.
    """
    height, width = tissue.shape
    if least <= 0 or max(slide.known_mpp()) > COARSEST_MPP:
        return np.zeros(tissue.shape, bool)
    squares = list(_places(tissue, cell_um / _MPP))
    known = np.full((-(-height // _SQUARE), -(-width // _SQUARE)), -1.0, np.float32)

    def judged(square: tuple[int, int, Box]) -> float:
        pixels, broken = read_salvaged(slide, square[2], _MPP)
        if broken:
            return -1.0
        found = sharpness(pixels)
        if np.isnan(found):
            return 0.0 if _is_ink(pixels, white) else -1.0
        return found

    for (row, column, _), found in zip(
        squares, in_order(judged, squares, workers=2, ahead=4, name="focus"), strict=True
    ):
        known[row, column] = found
    best = cv2.dilate(known, np.ones((3, 3)))
    is_blurred = np.kron((best >= 0) & (best < least), np.ones((_SQUARE, _SQUARE), bool))
    return np.asarray(is_blurred[:height, :width] & tissue, np.bool_)


def _places(tissue: Mask, cell_px: float) -> Iterator[tuple[int, int, Box]]:
    """Row and column of each square with tissue, and the most central tile in it with enough tissue."""
    side = 2 * _AROUND + 1
    share = cv2.blur(tissue.astype(np.float32), (side, side), borderType=cv2.BORDER_CONSTANT)
    for row in range(0, tissue.shape[0], _SQUARE):
        for column in range(0, tissue.shape[1], _SQUARE):
            here = np.s_[row : row + _SQUARE, column : column + _SQUARE]
            cells = np.argwhere(tissue[here])
            if len(cells):
                lacks = np.maximum(_LEAST_TISSUE - share[here][tuple(cells.T)], 0.0)
                far = ((cells - _SQUARE // 2) ** 2).sum(axis=1)
                nearest = cells[np.lexsort([far, lacks])[0]]
                middle = (nearest + (row, column) + 0.5)[::-1] * cell_px
                x, y = (int(at) - _TILE_PX // 2 for at in middle)
                yield row // _SQUARE, column // _SQUARE, Box(x, y, _TILE_PX, _TILE_PX)


def _is_ink(pixels: Image, white: NDArray[np.float64]) -> bool:
    """Whether a uniform colour is from a pen: too dense for mucus, or neither haematoxylin nor eosin."""
    level = np.maximum(pixels.reshape(-1, 3).mean(axis=0), 1.0)
    red, green, blue = np.log(white / level)
    return bool((red + green + blue) / 3 > 0.8 or max(red, blue) > 0.85 * green)
