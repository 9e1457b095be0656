"""Tissue detection: the stained pixels of an image, and the sample that stain estimates are made from."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import StainError
from histoscope.stain import _kernels
from histoscope.stain.density import by_table, check, density_below
from histoscope.stain.glass import WINDOWS, assumed_white, check_white, thumbnail, white_point
from histoscope.stain.pens import keep_strokes, strokes
from histoscope.threads import SMALLEST_BAND, over
from histoscope.types import Image, Mask

LEAST_DENSITY = 0.15
"""Mean optical density over R, G and B from which a pixel counts as tissue (the beta of Macenko et al.)."""
SAMPLE_PIXELS = 1 << 16
"""Pixels of each image that an estimate samples."""
LEAST_SHARE = 0.01
"""Share of an image that must be tissue for an estimate."""
ONE_COLOUR = 0.012
"""Standard deviation of density between channels up to which tissue counts as one colour only."""

TOO_FEW = "less than 1 % of the pixels are stained"
PEN = "marks of a pen"


@dataclass(frozen=True, eq=False, slots=True)
class Tissue:
    """Tissue pixels of an image or slide.

    Parameters
    ----------
    pixels : (N, 3) uint8
        An even sample.
    white : (3,) float64
        The white point.
    notes : tuple of str
        What an estimate from them would lack.
    """

    pixels: Image
    white: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    def density(self) -> NDArray[np.float32]:
        """Optical density below the white point, (3, N)."""
        return by_table(self.pixels, density_below(self.white))


def tissue_mask(
    image: Image, *, least_density: float = LEAST_DENSITY, white: ArrayLike | None = None
) -> Mask:
    """Mask of stained tissue: dense enough, coloured, and not ink.

    Densities are below the white point. Excluded are grey pixels (shaded glass, dust), those that absorb
    clearly more red than green (blue and green pens), near black ones without colour (black pens, the slide's
    frame) and glaring red ones. The last rule may exclude intense red blood cells, which does not harm
    estimates. Dull blue ink has the colour of a bluish haematoxylin, and half-transparent ink over tissue may
    have any colour: these are excluded where `histoscope.stain.pens` detects strokes.

    Parameters
    ----------
    image : (H, W, 3) uint8
    least_density : float
        Least mean optical density of tissue.
    white : (3,) array, optional
        Levels of bare glass; detected by default.

    Returns
    -------
    (H, W) bool

    Raises
    ------
    ShapeError
        For anything that is not (H, W, 3) uint8.
    StainError
        If `white` is not three levels from 1 to 255.

    Examples
    --------
    >>> row = np.array([[[255, 255, 255], [180, 90, 160], [20, 60, 200]]], np.uint8)  # glass, tissue, ink
    >>> tissue_mask(row).tolist()
    [[False, True, False]]
    """
    image = check(image)
    if white is None:
        if not image.size:
            return np.zeros(image.shape[:2], np.bool_)
        white = white_point(thumbnail(image))
        white = assumed_white([image]) if white is None else white
    white = check_white(white)
    table = density_below(white)
    mask = _marked(image, table, least_density)
    keep_strokes(mask, np.zeros_like(mask), image, table)
    return mask


def tissue_of(images: Image | Sequence[Image], white: ArrayLike | None = None) -> Tissue:
    """Tissue sample and white point of an image, or of several of one slide.

    Raises
    ------
    StainError
        If there is too little tissue for an estimate: less than a hundredth of the image, one colour only, or
        pen marks.
    ShapeError
        For an image that is not (H, W, 3) uint8.
    """
    images = [images] if isinstance(images, np.ndarray) else images
    images = [image for image in map(check, images) if image.size]
    if not images:
        raise StainError(too_little(TOO_FEW))
    small = [thumbnail(image) for image in images]
    found = white_point(small) if white is None else check_white(white)
    level = assumed_white(images) if found is None else found
    table = density_below(level)
    inks = _check(images, small, table)
    ink = np.concatenate([part.ravel() for part in inks]).mean()
    if ink >= 0.002:
        images = [_away_from(part, image) for part, image in zip(inks, images, strict=True)]
    pixels, share = sample(images, table)
    notes = {
        "no bare glass (white point assumed)": found is None,
        "little tissue (less than 5 % of the image)": share < 0.05,
        "pen marks (left unchanged)": ink >= 0.02,
    }
    return Tissue(pixels, level, tuple(note for note, holds in notes.items() if holds))


def sample(images: Sequence[Image], table: NDArray[np.float32]) -> tuple[Image, float]:
    """Even, repeatable sample of the tissue pixels of each image, pooled, and their share.

    `table` is of `density_below`. Of an image `SAMPLE_PIXELS` are visited, or all where fewer than an eighth
    of those are tissue; less than a hundredth, or fewer than 64, is a `StainError`.
    """
    found, seen = [], 0
    for image in images:
        pixels = image.reshape(-1, 3)
        strata = min(len(pixels), SAMPLE_PIXELS)
        tissue = _sample(pixels, strata, table)
        if len(tissue) < SAMPLE_PIXELS // 8 and strata < len(pixels):
            strata = len(pixels)
            tissue = _sample(pixels, strata, table)
        seen += strata
        found.append(tissue)
    total = sum(map(len, found))
    if total < 64 or total < LEAST_SHARE * seen:
        raise StainError(too_little(TOO_FEW))
    return np.concatenate(found), total / seen


def too_little(why: str) -> str:
    """Message of the error where nothing can be estimated."""
    return f"too little tissue to estimate stains from ({why}); give an image with clearly stained tissue"


def _check(images: Sequence[Image], small: Sequence[Image], table: NDArray[np.float32]) -> list[Mask]:
    """Ink masks of thumbnails, which are nearly free of noise; an error where they show no tissue."""
    density = np.concatenate([by_table(part, table).reshape(3, -1) for part in small], axis=1)
    inks = [_inked(part, table) for part in small]
    ink = np.concatenate([part.ravel() for part in inks])
    tissue = np.concatenate([_marked(part, table, LEAST_DENSITY).ravel() for part in small]) & ~ink
    if tissue.mean() < LEAST_SHARE:
        raise StainError(too_little(PEN if ink.mean() >= LEAST_SHARE else TOO_FEW))
    # The blurred rim of a mark may have the colours of tissue, but is next to ink, or near it and smooth.
    beside, near = (_share_within(inks, tissue, steps) for steps in (1, 4))
    smooth = near > 0.5 and _roughness(small, table) < 0.08
    if beside > 0.7 or (smooth and _roughness([_rows(image) for image in images], table) < 0.03):
        raise StainError(too_little(PEN))
    mean = density[:, tissue].mean(axis=1)  # shaded glass is grey on average, without noise
    if not _kernels.is_tissue(*mean, LEAST_DENSITY):
        raise StainError(too_little("only grey"))
    if (density - density.mean(axis=0))[:, tissue].std(axis=1).max() < ONE_COLOUR:
        raise StainError(too_little("one colour only"))
    return inks


def _inked(image: Image, table: NDArray[np.float32]) -> Mask:
    """Mask of dense windows with colours of ink, and of pen strokes."""
    density = by_table(image, table)
    coloured = (np.ptp(density, axis=0) > 1.2) | (density.min(axis=0) > 1.5)
    dense = density.mean(axis=0) >= LEAST_DENSITY
    of_ink = dense & coloured & ~_marked(image, table, LEAST_DENSITY)
    return np.asarray(of_ink | strokes(image, table))


def _share_within(inks: Sequence[Mask], tissue: Mask, steps: int) -> float:
    """Share of tissue windows within so many windows of ink."""
    reach = np.ones((2 * steps + 1, 2 * steps + 1))
    around = [cv2.dilate(ink.astype(np.uint8), reach).ravel() for ink in inks]
    return float(np.concatenate(around)[tissue].mean())


def _away_from(ink: Mask, image: Image) -> Image:
    """The image with white around ink, as the rim of a mark would bias the estimate."""
    near = cv2.dilate(ink.astype(np.uint8), np.ones((5, 5)))
    near = cv2.resize(near, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.where(near[..., None] > 0, np.uint8(255), image)


def _rows(image: Image) -> Image:
    return np.asarray(image[:: -(-len(image) // WINDOWS)])


def _roughness(images: Sequence[Image], table: NDArray[np.float32]) -> float:
    """Relative difference of neighbours' densities; 0.11 to 0.6 in windows of tissue."""
    parts = [
        np.where(_marked(part, table, LEAST_DENSITY), by_table(part, table).mean(axis=0), 0.0)
        for part in images
    ]
    both = [np.stack([part[:, 1:], part[:, :-1]]).reshape(2, -1) for part in parts]
    pairs = np.concatenate(both, axis=1)
    pairs = pairs[:, pairs.min(axis=0) > 0.0]
    return float(np.median(np.abs(pairs[0] - pairs[1])) / pairs.mean()) if pairs.size else 0.0


def _marked(image: Image, table: NDArray[np.float32], least: float) -> Mask:
    mask = np.empty(image.shape[:2], np.bool_)
    pixels = image.reshape(-1, 3)
    over(_kernels.tissue, len(pixels), SMALLEST_BAND, pixels, table, least, mask.reshape(-1))
    return mask


def _sample(pixels: Image, strata: int, table: NDArray[np.float32]) -> Image:
    out = np.empty((strata, 3), np.uint8)
    return out[: _kernels.sample_tissue(pixels, strata, table, LEAST_DENSITY, out)]
