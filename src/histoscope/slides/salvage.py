"""Reading as much as possible of a slide with broken tiles."""

from typing import NamedTuple

import numpy as np

from histoscope.errors import CorruptDataError
from histoscope.places import without_folders
from histoscope.slides.patience import told_if_slow
from histoscope.slides.resampling import GLASS
from histoscope.slides.slide import Box, Slide
from histoscope.types import Image


class Broken(NamedTuple):
    """A place that cannot be read properly.

    Parameters
    ----------
    box : Box
        In pixels of the requested resolution.
    why : str
    is_lost : bool
        Whether it is white; otherwise it was made from a finer level.
    """

    box: Box
    why: str
    is_lost: bool = True


def read_salvaged(slide: Slide, box: Box, mpp: float, *, least_px: int = 64) -> tuple[Image, list[Broken]]:
    """Like `Slide.read_at`, but unreadable places are made from a finer level, or white, and are returned.

    A box that cannot be read is divided into four, and these again, so that little more than the broken tiles
    is lost.

    Parameters
    ----------
    slide : Slide
    box : Box
        In pixels of the resolution.
    mpp : float
        Micrometres per pixel.
    least_px : int
        Side below which a box is not divided further.

    Returns
    -------
    (height, width, 3) uint8
    broken : list of Broken
        Lost places, and one box around everything that was made from a finer level.
    """
    with told_if_slow(slide.path):
        out, broken = _pieces(slide, box, mpp, least_px)
    lost, replaced = ([one for one in broken if one.is_lost is kind] for kind in (True, False))
    if replaced:
        left, top = min(one.box.x for one in replaced), min(one.box.y for one in replaced)
        right = max(one.box.x + one.box.width for one in replaced)
        bottom = max(one.box.y + one.box.height for one in replaced)
        why = f"made from a finer level of the slide, nothing is lost: {replaced[0].why}"
        lost.append(Broken(Box(left, top, right - left, bottom - top), why, is_lost=False))
    return out, lost


def _pieces(slide: Slide, box: Box, mpp: float, least_px: int) -> tuple[Image, list[Broken]]:
    try:
        return slide.read_at(box, mpp), []
    except CorruptDataError as error:
        if max(box.width, box.height) <= least_px:
            why = without_folders(str(error), [slide.path, *slide.reader.files])
            return _from_finer(slide, box, mpp, why)
    out = np.full((box.height, box.width, 3), GLASS, np.uint8)
    broken = []
    for top, height in _halves(box.height, least_px):
        for left, width in _halves(box.width, least_px):
            piece = Box(box.x + left, box.y + top, width, height)
            pixels, more = _pieces(slide, piece, mpp, least_px)
            out[top : top + height, left : left + width] = pixels
            broken += more
    return out, broken


def _from_finer(slide: Slide, box: Box, mpp: float, why: str) -> tuple[Image, list[Broken]]:
    for level in reversed(range(slide.level_for(slide.scale_at(mpp)))):
        try:
            return slide.read_at(box, mpp, level=level), [Broken(box, why, is_lost=False)]
        except CorruptDataError:
            continue
    return np.full((box.height, box.width, 3), GLASS, np.uint8), [Broken(box, why)]


def _halves(size: int, least_px: int) -> list[tuple[int, int]]:
    """Start and length of the two halves of a side, or of the whole side if it is short."""
    half = (size + 1) // 2
    return [(0, size)] if size <= least_px else [(0, half), (half, size - half)]
