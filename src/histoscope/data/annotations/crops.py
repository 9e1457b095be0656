"""Which parts of a slide become images: regions of interest, or the box around all nuclei."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.data.annotations.annotation import Annotation

MARGIN_PX = 32
"""Margin around the box of all nuclei."""
Box = tuple[int, int, int, int]
"""x, y, width and height."""


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A part of a slide that becomes an image.

    Parameters
    ----------
    box : (int, int, int, int)
        x, y, width and height, in pixels of the image's resolution.
    region : shapely polygon, optional
        Outline of the region of interest, in the same pixels; None if the crop is not a region.
    name : str
        Of the region.
    """

    box: Box
    region: Any = None
    name: str = ""


def crops_of(
    nuclei: NDArray[np.object_],
    regions: Sequence[Annotation],
    size: tuple[int, int],
    scale: tuple[float, float],
    *,
    tile_px: int,
    is_whole: bool = False,
) -> list[Crop]:
    """Parts of a slide that become images.

    Regions of interest, if there are any; otherwise the whole image (`is_whole`), or the box around all
    nuclei. Parts larger than `tile_px` on a side are cut into tiles of about equal size; in a box around
    nuclei, tiles without a nucleus are left out.

    Parameters
    ----------
    nuclei : (N,) object
        Shapely polygons, in pixels of level 0.
    regions : sequence of Annotation
    size : (int, int)
        Width and height of the slide at the wanted resolution.
    scale : (float, float)
        Pixels of level 0 per pixel of that resolution, across and down.
    tile_px : int
    is_whole : bool
    """
    import shapely

    if regions:
        shapes = [shapely.transform(one.polygon, lambda points: points / scale) for one in regions]
        names = [one.name or one.class_name for one in regions]
        return [
            Crop(tile, shape, name)
            for shape, name in zip(shapes, names, strict=True)
            for tile in _tiles(_pixels(shape.bounds, size), tile_px)
        ]
    if is_whole:
        return [Crop((0, 0, *size))]
    x0, y0, x1, y1 = shapely.total_bounds(nuclei) / (*scale, *scale)
    around = x0 - MARGIN_PX, y0 - MARGIN_PX, x1 + MARGIN_PX, y1 + MARGIN_PX
    tree = shapely.STRtree(nuclei)
    return [
        Crop(tile)
        for tile in _tiles(_pixels(around, size), tile_px)
        if len(tree.query(on_level_0(tile, scale), predicate="intersects"))
    ]


def on_level_0(box: Box, scale: tuple[float, float]) -> Any:
    """Rectangle of a box in pixels of level 0, as a shapely polygon."""
    import shapely

    x, y, width, height = box
    return shapely.box(x * scale[0], y * scale[1], (x + width) * scale[0], (y + height) * scale[1])


def _pixels(bounds: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    """Pixels whose centres lie within bounds, at least one, on the slide."""
    x0, y0, x1, y1 = (math.ceil(side - 0.5 - 1e-6) for side in bounds)
    x0, y0 = (min(max(side, 0), n - 1) for side, n in zip((x0, y0), size, strict=True))
    x1, y1 = max(min(x1, size[0]), x0 + 1), max(min(y1, size[1]), y0 + 1)
    return x0, y0, x1 - x0, y1 - y0


def _tiles(box: Box, tile_px: int) -> Iterator[Box]:
    x, y, width, height = box
    columns, rows = (
        [round(side * k / n) for k in range(n + 1)]
        for side, n in ((width, math.ceil(width / tile_px)), (height, math.ceil(height / tile_px)))
    )
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            yield x + left, y + top, right - left, bottom - top
