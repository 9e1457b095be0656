"""Geometric augmentations: rotation, flips, zoom and elastic deformation, as one map for image and labels."""

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope.augment.params import AugmentConfig, AugmentParams
from histoscope.types import Image, Labels


def turn(pixels: NDArray[Any], params: AugmentParams) -> NDArray[Any]:
    """Rotate by quarter turns counter-clockwise, then flip left to right; a view."""
    turned = np.rot90(pixels, params.turns)
    return turned[:, ::-1] if params.flip else turned


def source_map(
    shape: tuple[int, int],
    out_shape: tuple[int, int],
    config: AugmentConfig,
    params: AugmentParams,
    mpp: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Source coordinates of each output pixel.

    Parameters
    ----------
    shape, out_shape : (int, int)
        Height and width of the source and of the output; their centres coincide.
    config : AugmentConfig
        Gives the amount and spacing of the elastic deformation.
    params : AugmentParams
        The draw.
    mpp : float
        Micrometres per pixel.

    Returns
    -------
    x, y : (out_height, out_width) float32
        Columns and rows of the source.
    """
    (a, b), (c, d) = _matrix(params)
    columns = np.arange(out_shape[1], dtype=np.float32) - (out_shape[1] - 1) / 2
    rows = np.arange(out_shape[0], dtype=np.float32)[:, None] - (out_shape[0] - 1) / 2
    x = (a * columns + (shape[1] - 1) / 2).astype(np.float32) + (b * rows).astype(np.float32)
    y = (c * columns + (shape[0] - 1) / 2).astype(np.float32) + (d * rows).astype(np.float32)
    if params.elastic_seed is not None:
        shift = _elastic(out_shape, config.elastic_spacing_um / mpp, params.elastic_seed)
        x += shift[0] * np.float32(config.elastic_um / mpp)
        y += shift[1] * np.float32(config.elastic_um / mpp)
    return x, y


def warp_image(image: Image, x: NDArray[np.float32], y: NDArray[np.float32]) -> Image:
    """Sample an image between its pixels; beyond its border it is mirrored."""
    warped: Image = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return warped


def warp_labels(labels: Labels, x: NDArray[np.float32], y: NDArray[np.float32]) -> Labels:
    """Take the nearest label; beyond the border labels are mirrored as the image is."""
    source = np.ascontiguousarray(labels, np.int32)
    warped: Labels = cv2.remap(source, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)
    return warped


def renumber(
    labels: Labels, classes: NDArray[np.uint8] | None, min_px: int
) -> tuple[Labels, NDArray[np.uint8] | None]:
    """Relabel nuclei from 1 without gaps after a crop or a warp.

    A nucleus in several pieces becomes several nuclei of its class; pieces below `min_px` become background.

    Examples
    --------
    >>> labels = np.array([[7, 0, 7], [7, 0, 7], [0, 0, 0], [0, 2, 0]], np.int32)
    >>> classes = np.array([0, 0, 5, 0, 0, 0, 0, 3], np.uint8)
    >>> renumber(labels, classes, 2)
    (array([[1, 0, 2], [1, 0, 2], [0, 0, 0], [0, 0, 0]], dtype=int32), array([0, 3, 3], dtype=uint8))
    """
    from skimage.measure import label

    pieces = label(labels, background=0, connectivity=2)
    kept = np.bincount(pieces.ravel()) >= max(min_px, 1)
    kept[0] = False
    number = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    if classes is None:
        return number[pieces], None
    id_of = np.zeros(len(kept), np.int32)
    id_of[pieces] = labels
    return number[pieces], classes[np.append(0, id_of[kept])]


def _matrix(params: AugmentParams) -> tuple[tuple[float, float], tuple[float, float]]:
    """Matrix from offsets in the output to offsets in the source: inverse of zoom, rotation, flip, turns."""
    angle = math.radians(params.angle_deg)
    cos, sin = math.cos(angle) / params.zoom, math.sin(angle) / params.zoom
    quarter = np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), params.turns)
    mirror = np.array([[-1 if params.flip else 1, 0], [0, 1]])
    (a, b), (c, d) = (quarter @ mirror @ np.array([[cos, -sin], [sin, cos]])).tolist()
    return (a, b), (c, d)


def _elastic(shape: tuple[int, int], spacing_px: float, seed: int) -> NDArray[np.float32]:
    """Smooth shifts in [-1, 1] along x and y, (2, H, W): a cubic B-spline over uniform control points."""
    down, across = _basis(shape[0], spacing_px), _basis(shape[1], spacing_px)
    rng = np.random.default_rng(seed)
    control = rng.uniform(-1.0, 1.0, (2, down.shape[1], across.shape[1])).astype(np.float32)
    shift: NDArray[np.float32] = down @ (control @ across.T)
    return shift


@lru_cache(maxsize=16)
def _basis(size: int, spacing_px: float) -> NDArray[np.float32]:
    """Weights of the control points in each pixel of a row, (size, n)."""
    place = np.arange(size) / spacing_px
    first = np.floor(place).astype(np.intp)
    t = place - first
    weights = (
        np.stack(((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * t**2 + 3 * t - 3 * t**3 + 1, t**3), axis=1) / 6
    )
    basis = np.zeros((size, int(first[-1]) + 4), np.float32)
    np.put_along_axis(basis, first[:, None] + np.arange(4), weights.astype(np.float32), axis=1)
    basis.flags.writeable = False
    return basis
