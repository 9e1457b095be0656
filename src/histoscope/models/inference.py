"""Nuclei of an image of any size and resolution."""

import math

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from histoscope.errors import ShapeError
from histoscope.models.base import Heads, Segmenter
from histoscope.types import Image, Nuclei

TILE_PX = 1024
HALO_PX = 128
"""Context around a tile; wide enough that what a tile's core sees does not depend on where tiles begin."""


def predict(model: Segmenter, image: Image, mpp: float) -> Nuclei:
    """Find the nuclei of an image.

    The image is resampled to the model's resolution, padded by reflection, passed through the network (in
    tiles if it is large), and the heads are brought back to the image's own grid before they are decoded.

    Parameters
    ----------
    model : Segmenter
    image : (H, W, 3) uint8
        RGB.
    mpp : float
        Micrometres per pixel of `image`.

    Returns
    -------
    Nuclei
        ``instances`` has the image's height and width.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ShapeError(
            f"image is {image.shape} {image.dtype}, expected (H, W, 3) uint8 RGB with at least one pixel"
        )
    if not mpp > 0:
        raise ShapeError(f"mpp is {mpp}, expected micrometres per pixel above 0; set it with mpp= or --mpp")
    height, width = image.shape[:2]
    heads = heads_of(model, _rescaled(image, mpp / model.spec.mpp))
    if heads["regions"].shape[2:] != (height, width):
        heads = {
            name: functional.interpolate(head.float(), (height, width), mode="bilinear", align_corners=False)
            for name, head in heads.items()
        }
    return model.decode(heads, mpp)


@torch.inference_mode()
def heads_of(model: Segmenter, image: Image) -> Heads:
    """Heads of an image at the model's own resolution, each (1, C, H, W), on the CPU."""
    training = model.training
    model.eval()
    try:
        device = next(model.parameters()).device
        # A copy, for torch takes no read-only arrays, which images from files are.
        pixels = torch.from_numpy(np.array(image, order="C")).permute(2, 0, 1)[None]
        height, width = image.shape[:2]
        out: Heads = {}
        for top in range(0, height, TILE_PX):
            for left in range(0, width, TILE_PX):
                _fill_tile(model, pixels, top, left, out, device)
        return out
    finally:
        model.train(training)


def _fill_tile(
    model: Segmenter, pixels: Tensor, top: int, left: int, out: Heads, device: torch.device
) -> None:
    """Run one tile with its halo and write its core into `out`."""
    height, width = pixels.shape[2:]
    divisor = model.spec.divisible_by
    # Tiles begin on multiples of the divisor, so pooling grids of neighbouring tiles coincide.
    halo = math.ceil(HALO_PX / divisor) * divisor
    y0, x0 = max(top - halo, 0), max(left - halo, 0)
    y1, x1 = min(top + TILE_PX + halo, height), min(left + TILE_PX + halo, width)
    tile = pad_to_multiple(pixels[:, :, y0:y1, x0:x1], divisor)
    heads = model(tile.to(device))
    bottom, right = min(top + TILE_PX, height), min(left + TILE_PX, width)
    for name, head in heads.items():
        if name not in out:
            out[name] = torch.empty((1, head.shape[1], height, width), dtype=torch.float32)
        out[name][:, :, top:bottom, left:right] = head[:, :, top - y0 : bottom - y0, left - x0 : right - x0]


def pad_to_multiple(image: Tensor, divisor: int) -> Tensor:
    """Pad (B, 3, H, W) at the bottom and right to multiples of `divisor` by reflection."""
    height, width = image.shape[2:]
    rows = _reflected(height, math.ceil(height / divisor) * divisor)
    columns = _reflected(width, math.ceil(width / divisor) * divisor)
    return image[:, :, rows][:, :, :, columns]


def _reflected(size: int, padded: int) -> Tensor:
    """Indices 0..size-1, then back and forth; works for images of a single pixel too."""
    period = max(2 * size - 2, 1)
    index = torch.arange(padded) % period
    return torch.where(index < size, index, period - index)


def _rescaled(image: Image, scale: float) -> Image:
    height, width = image.shape[:2]
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    if size == (width, height):
        return image
    resized: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return resized
