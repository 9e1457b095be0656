"""Legends below pictures: colours with words, and a scale from 0 to 1."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from histoscope.types import Image

_INK = (31, 35, 40)
_STOPS = ((33, 102, 172), (247, 247, 247), (178, 24, 43))


def legend(width: int, words: Sequence[str], palette: Sequence[tuple[int, int, int]]) -> Image:
    """Swatches with words, in as many rows as needed.

    Parameters
    ----------
    width : int
        Of the picture, in pixels.
    words : sequence of str
    palette : sequence of (int, int, int)
        A colour for each.

    Examples
    --------
    >>> legend(400, ["stroma 40 %", "tumour 60 %"], [(255, 255, 0), (0, 51, 204)]).shape
    (29, 400, 3)
    """
    unit = _unit(width)
    font = ImageFont.load_default(size=unit)
    rows = _rows(words, font, unit, width)
    picture = Pillow.new("RGB", (width, round(unit * (1.8 * max(row for row, _ in rows) + 2.4))), "white")
    pen = ImageDraw.Draw(picture)
    for (row, x), word, colour in zip(rows, words, palette, strict=False):
        y = round(unit * (0.7 + 1.8 * row))
        pen.rectangle((x, y, x + unit, y + unit), fill=colour)
        pen.text((x + round(1.4 * unit), y + unit / 2), word, fill=_INK, font=font, anchor="lm")
    return np.asarray(picture)


@lru_cache(maxsize=1)
def ramp() -> NDArray[np.float32]:
    """(256, 3) colours from blue through white to red."""
    places, stops = np.linspace(0, 2, 256), np.array(_STOPS, float)
    return np.stack([np.interp(places, range(3), stops[:, k]) for k in range(3)], axis=1).astype(np.float32)


def scale(width: int, words: str) -> Image:
    """The ramp from 0 to 1, and what it shows."""
    unit = _unit(width)
    font = ImageFont.load_default(size=unit)
    long, left, middle = 8 * unit, round(1.5 * unit), round(1.2 * unit)
    picture = Pillow.new("RGB", (width, 2 * middle), "white")
    pen = ImageDraw.Draw(picture)
    bar = np.tile(ramp()[np.linspace(0, 255, long).astype(int)], (unit, 1, 1))
    picture.paste(Pillow.fromarray(bar.astype(np.uint8)), (left, middle - unit // 2))
    for x, word in ((unit // 2, "0"), (left + long + unit // 2, f"1   {words}")):
        pen.text((x, middle), word, fill=_INK, font=font, anchor="lm")
    return np.asarray(picture)


def _unit(width: int) -> int:
    """Height of a line, in pixels."""
    return int(np.clip(width // 40, 12, 28))


def _rows(
    words: Sequence[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, unit: int, width: int
) -> list[tuple[int, int]]:
    """Row and left edge of each word of the legend, in as many rows as needed."""
    row, x, places = 0, unit // 2, []
    for word in words:
        long = round(1.4 * unit + font.getlength(word))
        if x + long > width and x > unit:
            row, x = row + 1, unit // 2
        places.append((row, x))
        x += long + unit
    return places
