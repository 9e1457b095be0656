"""Reading what can be read of a slide with broken tiles."""

import numpy as np

from histoscope.errors import CorruptDataError
from histoscope.slides.resampling import GLASS
from histoscope.slides.slide import Box, Slide
from histoscope.types import Image


def read_salvaged(
    slide: Slide, box: Box, mpp: float, *, least_px: int = 64
) -> tuple[Image, list[tuple[Box, str]]]:
    """As `Slide.read_at`, but what cannot be read is white, and named.

    A box that cannot be read is cut in four, and these again, so that little more is lost than is broken.

    Parameters
    ----------
    slide : Slide
    box : Box
        In pixels of the resolution.
    mpp : float
        Micrometres per pixel.
    least_px : int
        Side from which a box is not cut any more.

    Returns
    -------
    (height, width, 3) uint8
    problems : list of (Box, str)
        What could not be read, and why.
    """
    try:
        return slide.read_at(box, mpp), []
    except CorruptDataError as error:
        out = np.full((box.height, box.width, 3), GLASS, np.uint8)
        if max(box.width, box.height) <= least_px:
            return out, [(box, str(error))]
    problems = []
    for top, height in _halves(box.height, least_px):
        for left, width in _halves(box.width, least_px):
            piece = Box(box.x + left, box.y + top, width, height)
            pixels, broken = read_salvaged(slide, piece, mpp, least_px=least_px)
            out[top : top + height, left : left + width] = pixels
            problems += broken
    return out, problems


def _halves(size: int, least_px: int) -> list[tuple[int, int]]:
    """Begin and length of the two halves of a side, or of the side if it is short."""
    half = (size + 1) // 2
    return [(0, size)] if size <= least_px else [(0, half), (half, size - half)]
