"""Heat maps: classes of tiles overlaid on their image."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ShapeError
from histoscope.export.legend import legend, ramp, scale
from histoscope.export.overlay import colours
from histoscope.export.tilemap import TileMap
from histoscope.types import Image

LARGEST_PX = 2048
_FAINT, _STRONG = 0.06, 0.4  # opacity of a tile at chance, and at certainty
_LAID = 0.5  # opacity of a probability


def draw_heatmap(
    image: Image, tiles: TileMap, classes: Sequence[str], *, largest_px: int = LARGEST_PX
) -> Image:
    """Overlay each tile with the colour of its class, more opaque with confidence, and a legend below.

    Parameters
    ----------
    image : (H, W, 3) uint8
        The image, or a smaller version of it.
    tiles : TileMap
    classes : sequence of str
        Names of class 0, 1, ...
    largest_px : int
        Longest side of the output; larger images are downsampled.

    Raises
    ------
    ShapeError
        If image and tiles differ in aspect ratio.
    """
    height, width = tiles.shape
    if abs(image.shape[0] * width - image.shape[1] * height) > max(height, width) * 2:
        raise ShapeError(
            f"image is {image.shape[:2]}, but its tiles are of {tiles.shape}; give the image "
            "that they were predicted on"
        )
    by = min(largest_px / max(image.shape[:2]), 1.0)
    size = max(round(image.shape[1] * by), 1), max(round(image.shape[0] * by), 1)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.concatenate((_painted(small, tiles, classes), _legend(size[0], tiles, classes)))


def draw_probability(image: Image, tiles: TileMap, place: int, name: str) -> Image:
    """Overlay each tile of the grey image with the colour of one class's probability, and a scale below.

    Parameters
    ----------
    image : (H, W, 3) uint8
        The image, or a smaller version of it.
    tiles : TileMap
    place : int
        Of the class: 0, 1, ...
    name : str
        Of the class.
    """
    levels = np.rint(np.clip(tiles.probability[:, place], 0.0, 1.0) * 255).astype(np.intp)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    painted = _over(np.asarray(grey, np.uint8), tiles, ramp()[levels], np.full(len(tiles), _LAID))
    return np.concatenate((painted, scale(image.shape[1], f"probability of {name}")))


def confidence(tiles: TileMap) -> NDArray[np.float64]:
    """Largest probability of each tile, scaled from 0 at chance to 1."""
    chance = 1.0 / tiles.probability.shape[1]
    largest: NDArray[np.float64] = tiles.probability.max(axis=1).astype(np.float64)
    sure: NDArray[np.float64] = np.clip((largest - chance) / (1.0 - chance), 0.0, 1.0)
    return sure


def _painted(small: Image, tiles: TileMap, classes: Sequence[str]) -> Image:
    palette = np.array(colours(classes)[1:], np.float32)
    opacity = _FAINT + (_STRONG - _FAINT) * confidence(tiles)
    return _over(small, tiles, palette[tiles.predicted], opacity)


def _over(small: Image, tiles: TileMap, paint: NDArray[np.float32], opacity: NDArray[np.float64]) -> Image:
    """The image with a colour (N, 3) over each tile."""
    canvas = small.astype(np.float32)
    ratio = np.array([small.shape[1] / tiles.shape[1], small.shape[0] / tiles.shape[0]] * 2)
    edges = np.rint(tiles.box_px * ratio).astype(int)
    for (left, top, right, bottom), colour, alpha in zip(edges, paint, opacity, strict=True):
        tile = canvas[top:bottom, left:right]
        tile += alpha * (colour - tile)
    return np.rint(canvas).astype(np.uint8)


def _legend(width: int, tiles: TileMap, classes: Sequence[str]) -> Image:
    """Legend: colour and share of the tissue of each class."""
    area = np.bincount(tiles.predicted, tiles.tissue_mm2, minlength=len(classes))
    total = float(area.sum())
    words = [
        f"{name} {100 * part / total:.0f} %" if total else name
        for name, part in zip(classes, area, strict=True)
    ]
    if not total:
        words.append("(no tissue)")
    return legend(width, words, [*colours(classes)[1:], (255, 255, 255)])
