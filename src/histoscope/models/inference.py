"""Segmentation of images of any size and resolution."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from histoscope.cores import a_core_each
from histoscope.errors import ShapeError
from histoscope.images.resolution import check_mpp
from histoscope.models import turns
from histoscope.models.backends.runner import ready
from histoscope.models.base import Heads, Segmenter, Tile, assembled, resampled_shape
from histoscope.models.precision import mixed
from histoscope.renamed import renamed
from histoscope.types import Image, Nuclei

TILE_PX = 1024


class Window(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of an image; the last two not included."""

    top: int
    left: int
    bottom: int
    right: int


@renamed(turned="tta")
def predict(image: Image, model: Segmenter, mpp: float, *, tta: bool = False) -> Nuclei:
    """Find the nuclei of an image; `histoscope.predict.predict` also opens files and models, and normalises.

    The image is resampled to the model's resolution, padded by reflection, and passed through the network, in
    tiles if it is large. The nuclei are decoded on the image's own grid. Where the hardware multiplies
    bfloat16, convolutions take it: scores of real tiles change by less than 0.001.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    model : Segmenter
    mpp : float
        Micrometres per pixel of `image`.
    tta : bool
        Test-time augmentation: all eight rotations and flips of each tile, merged; slower, mostly better.

    Returns
    -------
    Nuclei
        ``instances`` has the image's height and width.
    """
    if isinstance(image, Segmenter):
        warnings.warn(
            "histoscope.models.predict takes the image first, then the model; the old order will be "
            "removed in the next version",
            DeprecationWarning,
            stacklevel=2,
        )
        image, model = model, image
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ShapeError(
            f"image is {image.shape} {image.dtype}, expected (H, W, 3) uint8 RGB with at least one pixel"
        )
    check_mpp(mpp, "mpp")
    tiles = tiles_of(model, rescaled(image, mpp / model.spec.mpp), tta=tta)
    return model.decode_tiles(tiles, image.shape[:2], mpp)


@renamed(turned="tta")
def heads_of(model: Segmenter, image: Image, *, tta: bool = False) -> Heads:
    """Heads of an image at the model's own resolution, each (1, C, H / grid, W / grid), on the CPU."""
    return assembled(tiles_of(model, image, tta=tta))


@renamed(turned="tta")
def tiles_of(
    model: Segmenter,
    image: Image,
    *,
    tta: bool = False,
    inner: Window | None = None,
    tile_px: int | None = None,
    is_bare: Callable[[Window], bool] | None = None,
    at_once: int = 1,
) -> Iterator[Tile]:
    """Heads of an image at the model's own resolution, tile by tile; without seams between tiles.

    Parameters
    ----------
    model : Segmenter
    image : (H, W, 3) uint8
    tta : bool
        Test-time augmentation.
    inner : Window, optional
        Part whose heads are needed; the rest is context. It begins on multiples of the model's
        divisor.
    tile_px : int, optional
        Largest side of a tile, if not `TILE_PX`; larger tiles need less context and more memory.
    is_bare : callable, optional
        Whether a tile shows nothing of interest; it then has the heads of bare glass, and takes no time.
    at_once : int
        Tiles processed at the same time on a CPU: faster than one after the other, but takes more memory.
    """
    n_threads = torch.get_num_threads()
    at_once = min(at_once, n_threads) if model.mean.device.type == "cpu" else 1
    each = n_threads // at_once
    network = ready(model, at_once=at_once, threads=each)
    wanted = Window(0, 0, *image.shape[:2]) if inner is None else inner
    divisor = model.spec.divisible_by
    rows, columns = (
        _spans(first, last, tile_px or TILE_PX, divisor)
        for first, last in ((wanted.top, wanted.bottom), (wanted.left, wanted.right))
    )
    windows = [Window(top, left, bottom, right) for top, bottom in rows for left, right in columns]
    glass = None if is_bare is None else _of_glass(network)

    def seen(core: Window) -> Tile:
        if glass is not None and is_bare is not None and is_bare(core):
            return _tile_of_glass(glass, wanted, core, model.spec.grid)
        return _tile(network, image, wanted, core, tta=tta)

    if at_once == 1:
        yield from map(seen, windows)
        return
    with closing(
        a_core_each(seen, windows, cores=at_once, ahead=at_once - 1, name="tile", threads=each)
    ) as every:
        yield from every


def _spans(first: int, last: int, most: int, divisor: int) -> list[tuple[int, int]]:
    """Cut a range in as few spans of about the same length as `most` allows, on multiples of the divisor.

    Examples
    --------
    >>> _spans(0, 100, 60, 16)
    [(0, 64), (64, 100)]
    """
    count = math.ceil((last - first) / most)
    side = math.ceil((last - first) / count / divisor) * divisor
    return [(at, min(at + side, last)) for at in range(first, last, side)]


@torch.inference_mode()
def _of_glass(model: Segmenter) -> Heads:
    """Heads of a point of bare glass, each (1, C, 1, 1)."""
    divisor = model.spec.divisible_by
    around = math.ceil(model.spec.context_px / divisor) * divisor
    side = 2 * around + divisor
    heads = _heads(model, torch.full((1, 3, side, side), 255, dtype=torch.uint8), tta=False)
    middle = side // 2 // model.spec.grid
    return {name: head[:, :, middle : middle + 1, middle : middle + 1] for name, head in heads.items()}


def _tile_of_glass(glass: Heads, wanted: Window, core: Window, grid: int) -> Tile:
    """A tile that shows bare glass."""
    shape = -(-(core.bottom - core.top) // grid), -(-(core.right - core.left) // grid)
    heads = {name: head.expand(-1, -1, *shape) for name, head in glass.items()}
    return Tile(heads, *_place(wanted, core, grid))


def _place(wanted: Window, core: Window, grid: int) -> tuple[int, int, tuple[int, int]]:
    """Row and column of a tile among the heads that are wanted, and the size of these."""
    size = -(-(wanted.bottom - wanted.top) // grid), -(-(wanted.right - wanted.left) // grid)
    return (core.top - wanted.top) // grid, (core.left - wanted.left) // grid, size


@torch.inference_mode()
def _tile(model: Segmenter, image: Image, wanted: Window, core: Window, *, tta: bool) -> Tile:
    """Heads of one tile, from its core and a halo."""
    height, width = image.shape[:2]
    divisor, grid = model.spec.divisible_by, model.spec.grid
    # Tiles begin on multiples of the divisor, so pooling grids of neighbouring tiles coincide.
    halo = math.ceil(model.spec.context_px / divisor) * divisor
    y0, x0 = max(core.top - halo, 0), max(core.left - halo, 0)
    y1, x1 = min(core.bottom + halo, height), min(core.right + halo, width)
    # A copy, for torch takes no read-only arrays, which images from files are.
    pixels = torch.from_numpy(np.array(image[y0:y1, x0:x1], order="C")).permute(2, 0, 1)[None]
    heads = _heads(model, pad_to_multiple(pixels, divisor), tta=tta)
    rows = slice((core.top - y0) // grid, -(-(core.bottom - y0) // grid))
    columns = slice((core.left - x0) // grid, -(-(core.right - x0) // grid))
    kept = {name: head[:, :, rows, columns] for name, head in heads.items()}
    return Tile(kept, *_place(wanted, core, grid))


def _heads(model: Segmenter, tile: Tensor, *, tta: bool) -> Heads:
    """Heads of a padded tile in float32, with or without test-time augmentation."""
    tile = tile.to(next(model.parameters()).device)
    if not tta:
        return _forward(model, tile)
    return model.merged(
        [model.turned_back(_forward(model, turns.turn(tile, k)), k) for k in range(turns.N_TURNS)]
    )


def _forward(model: Segmenter, tile: Tensor) -> Heads:
    with mixed(tile.device):
        heads: Heads = model(tile)
    return {name: head.float() for name, head in heads.items()}


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


def rescaled(image: Image, scale: float) -> Image:
    """Bring an image to another resolution: `scale` times as many pixels a side, at least one."""
    size = resampled_shape((image.shape[0], image.shape[1]), scale)
    if size == image.shape[:2]:
        return image
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized: Image = cv2.resize(image, size[::-1], interpolation=way)
    return resized
