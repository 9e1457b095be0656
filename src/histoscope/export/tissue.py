"""Tissue area of an image."""

import cv2
import numpy as np

from histoscope import stain
from histoscope.types import Image

TISSUE_UM = 4.0
"""Pixel size of tissue detection, coarse enough to include gaps between fibres and cells."""


def tissue_share(image: Image, mpp: float) -> float:
    """Share of an image that is tissue, from 0 to 1.

    Examples
    --------
    >>> half = np.full((64, 64, 3), 255, np.uint8)
    >>> half[:32] = 180, 90, 160
    >>> tissue_share(half, 0.5)
    0.5
    """
    height, width = image.shape[:2]
    scale = min(mpp / TISSUE_UM, 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return float(np.count_nonzero(stain.tissue_mask(small)) / (size[0] * size[1]))


def tissue_area_mm2(image: Image, mpp: float) -> float:
    """Area of the tissue."""
    height, width = image.shape[:2]
    return float(tissue_share(image, mpp) * height * width * mpp**2 / 1e6)
