"""Heat maps: classes of tiles over their image."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from histoscope.errors import ShapeError
from histoscope.export.overlay import colours
from histoscope.export.tilemap import TileMap
from histoscope.types import Image

LARGEST_PX = 2048
_FAINT, _STRONG = 0.06, 0.4  # opacity of a tile at chance, and at certainty
_INK = (31, 35, 40)


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
        raise ShapeError(f"image is {image.shape[:2]}, its tiles are of {tiles.shape}; give their image")
    scale = min(largest_px / max(image.shape[:2]), 1.0)
    size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.concatenate((_painted(small, tiles, classes), _legend(size[0], tiles, classes)))


def confidence(tiles: TileMap) -> NDArray[np.float64]:
    """Largest probability of each tile, scaled from 0 at chance to 1."""
    chance = 1.0 / tiles.probability.shape[1]
    largest: NDArray[np.float64] = tiles.probability.max(axis=1).astype(np.float64)
    sure: NDArray[np.float64] = np.clip((largest - chance) / (1.0 - chance), 0.0, 1.0)
    return sure


def _painted(small: Image, tiles: TileMap, classes: Sequence[str]) -> Image:
    canvas = small.astype(np.float32)
    palette = np.array(colours(classes)[1:], np.float32)
    ratio = np.array([small.shape[1] / tiles.shape[1], small.shape[0] / tiles.shape[0]] * 2)
    edges = np.rint(tiles.box_px * ratio).astype(int)
    opacity = _FAINT + (_STRONG - _FAINT) * confidence(tiles)
    for (left, top, right, bottom), place, alpha in zip(edges, tiles.predicted, opacity, strict=True):
        tile = canvas[top:bottom, left:right]
        tile += alpha * (palette[place] - tile)
    return np.rint(canvas).astype(np.uint8)


def _legend(width: int, tiles: TileMap, classes: Sequence[str]) -> Image:
    """Legend: colour and share of the tissue of each class."""
    unit = int(np.clip(width // 40, 12, 28))
    font = ImageFont.load_default(size=unit)
    area = np.bincount(tiles.predicted, tiles.tissue_mm2, minlength=len(classes))
    total = float(area.sum())
    words = [
        f"{name} {100 * part / total:.0f} %" if total else name
        for name, part in zip(classes, area, strict=True)
    ]
    if not total:
        words.append("(no tissue)")
    rows = _rows(words, font, unit, width)
    picture = Pillow.new("RGB", (width, round(unit * (1.8 * max(row for row, _ in rows) + 2.4))), "white")
    pen = ImageDraw.Draw(picture)
    palette = [*colours(classes)[1:], (255, 255, 255)]
    for (row, x), word, colour in zip(rows, words, palette, strict=False):
        y = round(unit * (0.7 + 1.8 * row))
        pen.rectangle((x, y, x + unit, y + unit), fill=colour)
        pen.text((x + round(1.4 * unit), y + unit / 2), word, fill=_INK, font=font, anchor="lm")
    return np.asarray(picture)


def _rows(
    words: Sequence[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, unit: int, width: int
) -> list[tuple[int, int]]:
    """Row and left edge of each word of the legend, in as many rows as it takes."""
    row, x, places = 0, unit // 2, []
    for word in words:
        long = round(1.4 * unit + font.getlength(word))
        if x + long > width and x > unit:
            row, x = row + 1, unit // 2
        places.append((row, x))
        x += long + unit
    return places
