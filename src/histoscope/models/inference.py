"""Nuclei of an image of any size and resolution."""

import math

import cv2
import numpy as np
import torch
from torch import Tensor

from histoscope.errors import ShapeError
from histoscope.models import turns
from histoscope.models.base import Heads, Segmenter
from histoscope.types import Image, Nuclei

TILE_PX = 1024


def predict(model: Segmenter, image: Image, mpp: float, *, turned: bool = False) -> Nuclei:
    """Find the nuclei of an image.

    The image is resampled to the model's resolution, padded by reflection, and passed through the network, in
    tiles if it is large. The nuclei are decoded on the image's own grid.

    Parameters
    ----------
    model : Segmenter
    image : (H, W, 3) uint8
        RGB.
    mpp : float
        Micrometres per pixel of `image`.
    turned : bool
        Look at each tile in all eight turns and flips and merge what is seen: slower, and mostly better.

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
    heads = heads_of(model, _rescaled(image, mpp / model.spec.mpp), turned=turned)
    return model.decode(heads, image.shape[:2], mpp)


@torch.inference_mode()
def heads_of(model: Segmenter, image: Image, *, turned: bool = False) -> Heads:
    """Heads of an image at the model's own resolution, each (1, C, H / grid, W / grid), on the CPU."""
    training = model.training
    model.eval()
    try:
        # A copy, for torch takes no read-only arrays, which images from files are.
        pixels = torch.from_numpy(np.array(image, order="C")).permute(2, 0, 1)[None]
        height, width = image.shape[:2]
        out: Heads = {}
        for top in range(0, height, TILE_PX):
            for left in range(0, width, TILE_PX):
                _fill_tile(model, pixels, top, left, out, turned=turned)
        return out
    finally:
        model.train(training)


def _fill_tile(model: Segmenter, pixels: Tensor, top: int, left: int, out: Heads, *, turned: bool) -> None:
    """Run one tile with its halo and write its core into `out`."""
    height, width = pixels.shape[2:]
    divisor, grid = model.spec.divisible_by, model.spec.grid
    # Tiles begin on multiples of the divisor, so pooling grids of neighbouring tiles coincide.
    halo = math.ceil(model.spec.context_px / divisor) * divisor
    y0, x0 = max(top - halo, 0), max(left - halo, 0)
    y1, x1 = min(top + TILE_PX + halo, height), min(left + TILE_PX + halo, width)
    heads = _seen(model, pad_to_multiple(pixels[:, :, y0:y1, x0:x1], divisor), turned=turned)
    bottom, right = min(top + TILE_PX, height), min(left + TILE_PX, width)
    rows, columns = slice(top // grid, -(-bottom // grid)), slice(left // grid, -(-right // grid))
    for name, head in heads.items():
        if name not in out:
            size = (1, head.shape[1], -(-height // grid), -(-width // grid))
            out[name] = torch.empty(size, dtype=torch.float32)
        core = head[:, :, rows.start - y0 // grid : rows.stop - y0 // grid]
        out[name][:, :, rows, columns] = core[..., columns.start - x0 // grid : columns.stop - x0 // grid]


def _seen(model: Segmenter, tile: Tensor, *, turned: bool) -> Heads:
    """Heads of a padded tile, seen once or in all turns."""
    tile = tile.to(next(model.parameters()).device)
    if not turned:
        heads: Heads = model(tile)
        return heads
    return model.merged([model.turned_back(model(turns.turn(tile, k)), k) for k in range(turns.N_TURNS)])


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
