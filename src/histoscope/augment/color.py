"""Pixel-wise augmentations: brightness, contrast, colour, blur, noise."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope.augment.params import AugmentParams
from histoscope.types import Image

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def color_matrix(params: AugmentParams, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Saturation, hue, brightness and contrast, in this order, as one matrix.

    Parameters
    ----------
    params : AugmentParams
        The draw.
    mean : (3,) float64
        Mean colour of the image, which contrast leaves where it is.

    Returns
    -------
    (3, 4) float64
        Three columns that multiply R, G, B, and one that is added.

    Examples
    --------
    >>> color_matrix(AugmentParams(brightness=1.5), np.zeros(3))
    array([[1.5, 0. , 0. , 0. ],
           [0. , 1.5, 0. , 0. ],
           [0. , 0. , 1.5, 0. ]])
    """
    grey = np.tile(_LUMA, (3, 1))
    saturate = params.saturation * np.eye(3) + (1.0 - params.saturation) * grey
    linear = params.brightness * _about_grey(params.hue_deg) @ saturate
    offset = (1.0 - params.contrast) * (linear @ mean)
    return np.column_stack((params.contrast * linear, offset))


def recolor(image: Image, params: AugmentParams) -> Image:
    """Apply the colour matrix of a draw."""
    mean = np.array(cv2.mean(image)[:3])
    recolored: Image = cv2.transform(image, color_matrix(params, mean))
    return recolored


def blur(image: Image, sigma_px: float) -> Image:
    """Gaussian blur, mirrored at the border."""
    size = 2 * math.ceil(3 * sigma_px) + 1
    blurred: Image = cv2.GaussianBlur(image, (size, size), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return blurred


def add_noise(image: Image, levels: float, seed: int) -> Image:
    """Add Gaussian noise of standard deviation `levels` to each pixel and channel."""
    rng = np.random.Generator(np.random.SFC64(seed))  # the fastest of NumPy's generators
    noise = rng.standard_normal(image.shape, np.float32)
    noise *= np.float32(levels)
    noisy: Image = cv2.add(image, noise, dtype=cv2.CV_8U)
    return noisy


def _about_grey(angle_deg: float) -> NDArray[np.float64]:
    """Rotation of RGB around the grey axis (Rodrigues); grey stays grey."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    cross = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    return cos * np.eye(3) + (1 - cos) / 3 + sin * cross
