"""A picture of a slide: where tissue was found, and where the nuclei are."""

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

from histoscope.export.cells_geojson import kinds_of
from histoscope.export.legend import legend
from histoscope.export.overlay import colours, colours_by_name
from histoscope.predict.slides.work import Found
from histoscope.slides import Box, Slide
from histoscope.slides.salvage import read_salvaged
from histoscope.slides.tissue import CELL_UM
from histoscope.types import Image

VIEW_PX = 1600
"""Longer side of each half of the picture."""
_DOT_UM, _FINEST_UM = 2.5, 0.5
_PALE = 0.35
_HATCH_PX = 12


def overview_picture(slide: Slide, found: Found, classes: Sequence[str]) -> Image:
    """The slide with the tissue outline, and beside it a paler copy with a dot for each nucleus and a legend.

    Parameters
    ----------
    slide : Slide
    found : Found
    classes : sequence of str
        Names of class 1, 2, ..., and `unsure`; dots have their colours.

    Returns
    -------
    (h, w, 3) uint8
        Each half is at most 1600 px long; the legend is below, if there are classes.
    """
    picture, outlined = slide_picture(slide, found)
    right = (255 - _PALE * (255.0 - picture)).astype(np.uint8)
    mpp = mpp_of_view(slide)
    counts = _draw_dots(right, found, classes, slide.scale_at(mpp), radius=round(_DOT_UM / mpp))
    if classes:
        words = [f"{name} {counts[name]:,}" for name in classes]
        right = np.concatenate([right, legend(right.shape[1], words, colours(classes)[1:])])
    return beside(outlined, right)


def beside(left: Image, right: Image) -> Image:
    """Two pictures side by side; the shorter one is padded with white."""
    height = max(len(left), len(right))
    both = [
        np.pad(each, ((0, height - len(each)), (0, 0), (0, 0)), constant_values=255) for each in (left, right)
    ]
    return np.concatenate(both, axis=1)


def slide_picture(slide: Slide, found: Found) -> tuple[Image, Image]:
    """The whole slide, at most 1600 px long, and the same with the outline of the tissue.

    Out-of-focus areas that were left out are hatched.
    """
    mpp = mpp_of_view(slide)
    width, height = slide.size_at(mpp)
    if mpp < CELL_UM:
        picture, _ = read_salvaged(slide, Box(0, 0, width, height), mpp)
    else:
        picture = np.asarray(
            cv2.resize(found.overview, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
    tissue = cv2.resize(found.tissue.mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    edges, _ = cv2.findContours(tissue, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outlined = cv2.drawContours(picture.copy(), edges, -1, (0, 0, 0), max(VIEW_PX // 800, 1))
    if found.tissue.blurred is not None:
        mask = found.tissue.blurred.view(np.uint8)
        blurred = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0
        rows, columns = np.ogrid[:height, :width]
        outlined[blurred & ((rows + columns) % _HATCH_PX < max(VIEW_PX // 800, 1))] = 0
    return picture, np.asarray(outlined, np.uint8)


def mpp_of_view(slide: Slide) -> float:
    """Micrometres per pixel of the pictures of a slide."""
    longest_um: float = max(side * mpp for side, mpp in zip(slide.size, slide.known_mpp(), strict=True))
    return max(longest_um / VIEW_PX, _FINEST_UM)


def _draw_dots(
    picture: Image, found: Found, classes: Sequence[str], scale: tuple[float, float], *, radius: int
) -> Counter[str]:
    """Draw a dot for each nucleus, part by part; returns their number by name."""
    counts, palette = Counter[str](), colours_by_name(classes)
    height, width = picture.shape[:2]
    for part in found.parts:
        table = found.store.read(part)
        x, y = (table[column].to_numpy() for column in ("x_px", "y_px"))
        kinds, of_cell = kinds_of(table)
        names = [name for _, name in kinds]
        counts.update(dict(zip(names, np.bincount(of_cell, minlength=len(names)).tolist(), strict=True)))
        columns = np.clip((x / scale[0]).astype(int), 0, width - 1)
        rows = np.clip((y / scale[1]).astype(int), 0, height - 1)
        dots = np.array([palette[name] for name in names], np.uint8).reshape(-1, 3)[of_cell]
        if radius < 1:
            picture[rows, columns] = dots
            continue
        for place in zip(columns.tolist(), rows.tolist(), dots.tolist(), strict=True):
            cv2.circle(picture, place[:2], radius, place[2], -1)
    return counts
