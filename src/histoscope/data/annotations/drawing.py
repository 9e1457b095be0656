"""Polygons drawn as instance maps."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from histoscope.data.annotations import _kernels
from histoscope.types import Labels, Mask


class Drawn(NamedTuple):
    """An instance map, and the outcome for each polygon.

    Parameters
    ----------
    labels : (H, W) int32
        Polygon k is id k + 1; an id is missing where the polygon has no pixel.
    own_px, seen_px : (N,) int64
        Pixels that each polygon covers, and those that no other hides.
    """

    labels: Labels
    own_px: NDArray[np.int64]
    seen_px: NDArray[np.int64]


def draw_polygons(polygons: NDArray[np.object_], shape: tuple[int, int]) -> Drawn:
    """Draw polygons as an instance map; where they overlap, the smaller one wins, among equals the later one.

    Parameters
    ----------
    polygons : (N,) object
        Shapely polygons or multipolygons; pixel (0, 0) covers the square from 0 to 1. A pixel belongs to the
        polygon that contains its centre.
    shape : (int, int)
        Height and width; polygons may extend beyond.

    Examples
    --------
    >>> import shapely
    >>> draw_polygons(np.array([shapely.box(0, 0, 3, 2), shapely.box(2, 0, 4, 1)]), (2, 5)).labels
    array([[1, 1, 2, 2, 0],
           [1, 1, 1, 0, 0]], dtype=int32)
    """
    import shapely

    n = len(polygons)
    labels, own = np.zeros(shape, np.int32), np.zeros(n, np.int64)
    if n:
        parts, owner = shapely.get_parts(polygons, return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        starts = np.append(0, np.cumsum(np.bincount(ring, minlength=len(rings)))).astype(np.int64)
        first = np.append(0, np.cumsum(np.bincount(owner[part], minlength=n))).astype(np.int64)
        order = np.argsort(-shapely.area(polygons), kind="stable").astype(np.int64)
        _kernels.draw(np.ascontiguousarray(points), starts, first, order, labels, own)
    seen = np.bincount(labels.ravel(), minlength=n + 1)[1:].astype(np.int64)
    return Drawn(labels, own, seen)


def mask_of(polygon: Any, shape: tuple[int, int]) -> Mask:
    """Pixels whose centres lie in a polygon, (H, W) bool."""
    mask: Mask = draw_polygons(np.array([polygon], object), shape).labels > 0
    return mask
