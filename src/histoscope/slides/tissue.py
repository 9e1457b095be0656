"""Tissue detection on an overview of 8 um per pixel."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope import stain
from histoscope.errors import CorruptDataError
from histoscope.lazy import attach
from histoscope.slides.focus import out_of_focus
from histoscope.slides.salvage import read_salvaged
from histoscope.slides.slide import Box, Slide
from histoscope.stain.glass import assumed_white, thumbnail, white_point
from histoscope.types import Image, Mask

__all__ = ["TissueMap", "find_tissue", "overview_of"]
__getattr__, __dir__ = attach(
    __name__,
    {},
    moved={name: f"histoscope.export.tissue:{name}" for name in ("tissue_share", "tissue_area_mm2")},
)
CELL_UM = 8.0
"""Side of a pixel of the overview: about one nucleus."""
LEAST_PIECE_UM2 = 2_000.0
"""Smaller pieces are dust, or edges of pen marks or coverslips; about twenty cells."""
MARGIN_CELLS = 2
"""Margin added to the tissue, since its edge is pale."""
_STRIP_CELLS, _LEAST_CELLS = 512, 16


@dataclass(frozen=True, eq=False)
class TissueMap:
    """Tissue of a slide.

    Parameters
    ----------
    mask : (h, w) bool
        Cells of `CELL_UM` from the upper left corner of level 0; with the margin.
    area_mm2 : float
        Without the margin.
    region : shapely.Geometry, optional
        A region in um that is used instead of the cells.
    blurred : (h, w) bool, optional
        Cells that were left out because they are out of focus; None if focus was not measured.
    """

    mask: Mask
    area_mm2: float
    region: Any = None
    blurred: Mask | None = None

    @property
    def blurred_mm2(self) -> float:
        """Area that was left out because it is out of focus; NaN if focus was not measured."""
        return np.nan if self.blurred is None else _mm2(self.blurred)

    def extent(self, box: Box, mpp: float) -> Box | None:
        """Smallest box around the tissue of a box, in pixels of a resolution; None if there is none."""
        per_cell = CELL_UM / mpp
        left, top = int(box.x / per_cell), int(box.y / per_cell)
        right, bottom = int((box.x + box.width - 1) / per_cell), int((box.y + box.height - 1) / per_cell)
        inside = self.mask[top : bottom + 1, left : right + 1]
        if not inside.any():
            return None
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        x0 = max(int((left + columns[0]) * per_cell), box.x)
        y0 = max(int((top + rows[0]) * per_cell), box.y)
        x1 = min(int(np.ceil((left + columns[-1] + 1) * per_cell)), box.x + box.width)
        y1 = min(int(np.ceil((top + rows[-1] + 1) * per_cell)), box.y + box.height)
        return Box(x0, y0, x1 - x0, y1 - y0)

    def holds(self, points_um: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each point (N, 2), x and y in um, lies in the tissue."""
        if self.region is not None:
            import shapely

            inside: NDArray[np.bool_] = shapely.contains_xy(self.region, *points_um.T)
            return inside
        columns, rows = (points_um / CELL_UM).astype(np.int64).T
        height, width = self.mask.shape
        known = (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
        held = np.zeros(len(points_um), bool)
        held[known] = self.mask[rows[known], columns[known]]
        return held


def find_tissue(slide: Slide, *, least_focus: float = 0.0) -> tuple[TissueMap, Image]:
    """Find the tissue of a slide; also returns the overview used.

    It leaves out glass (white, or tinted by the lamp), pen marks, grey shadows and coverslips, black borders,
    and pieces smaller than about twenty cells. Unreadable places may be tissue.

    Parameters
    ----------
    slide : Slide
    least_focus : float
        Sharpness below which tissue is left out, see `histoscope.slides.focus`; 0 keeps all. It also removes
        pen marks, since these are on the coverslip.

    Returns
    -------
    TissueMap
    overview : (h, w, 3) uint8
        At 8 um per pixel.
    """
    overview, unknown = overview_of(slide)
    found = stain.tissue_mask(overview)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN_CELLS + 1, 2 * MARGIN_CELLS + 1))
    joined = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] * CELL_UM**2 >= LEAST_PIECE_UM2
    large[0] = False
    kept = large[labels]
    white = white_point(thumbnail(overview))
    level = assumed_white([overview]) if white is None else white
    blurred = out_of_focus(slide, kept, level, least_focus, cell_um=CELL_UM) & ~unknown
    kept = kept & ~blurred | unknown
    mask = cv2.dilate(kept.astype(np.uint8), kernel).astype(bool)
    return TissueMap(mask, _mm2(kept), blurred=blurred & ~mask if least_focus > 0 else None), overview


def _mm2(mask: Mask) -> float:
    return float(np.count_nonzero(mask)) * CELL_UM**2 / 1e6


def overview_of(slide: Slide) -> tuple[Image, Mask]:
    """The whole slide at 8 um per pixel, and places that could not be read.

    Raises
    ------
    CorruptDataError
        If nothing could be read.
    """
    width, height = slide.size_at(CELL_UM)
    problems = []
    out, unknown = np.empty((height, width, 3), np.uint8), np.zeros((height, width), bool)
    for top in range(0, height, _STRIP_CELLS):
        rows = min(_STRIP_CELLS, height - top)
        for left in range(0, width, _STRIP_CELLS):
            columns = min(_STRIP_CELLS, width - left)
            box = Box(left, top, columns, rows)
            pixels, broken = read_salvaged(slide, box, CELL_UM, least_px=_LEAST_CELLS)
            out[top : top + rows, left : left + columns] = pixels
            problems += broken
            for place in (one.box for one in broken if one.is_lost):
                unknown[place.y : place.y + place.height, place.x : place.x + place.width] = True
    if unknown.all():
        raise CorruptDataError(f"no part of {slide.path} can be read ({problems[0].why}); copy it again")
    return out, unknown
