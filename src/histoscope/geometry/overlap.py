"""Intersections of pairs of star polygons."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import ShapeError
from histoscope.geometry import _overlap
from histoscope.geometry.polygons import area_px2, check_polygons, directions
from histoscope.threads import over

_SMALLEST = 64  # pairs below which a further thread costs more than it saves


def shared_px2(
    true_points_px: ArrayLike, true_distances: ArrayLike, pred_points_px: ArrayLike, pred_distances: ArrayLike
) -> NDArray[np.float64]:
    """Area of the intersection of each of N pairs of star polygons.

    Exact but for the corners, which are rounded to 1/1024 px (coarser for pairs beyond 100,000 px).

    Parameters
    ----------
    true_points_px, pred_points_px : (N, 2) float32
        Centres, y and x.
    true_distances, pred_distances : (N, n_rays) float32
        Pixels along each ray, the same number of rays for both.

    Returns
    -------
    (N,) float64

    Raises
    ------
    ShapeError
        If the arrays do not fit together, or hold NaN, infinite or negative distances.

    Examples
    --------
    >>> two, diamond = np.array([[5, 5], [5, 6]]), np.full((2, 4), 2.0)
    >>> shared_px2(two, diamond, two[::-1], diamond).tolist()
    [4.5, 4.5]
    """
    points_a, polar_a = check_polygons(true_points_px, true_distances)
    points_b, polar_b = check_polygons(pred_points_px, pred_distances)
    if polar_a.shape != polar_b.shape:
        raise ShapeError(
            f"distances have shapes {polar_a.shape} and {polar_b.shape}, expected the same shape"
        )
    out = np.zeros(len(polar_a))
    if out.size:
        reach = float(np.abs(points_a - points_b).max()) + float(polar_a.max()) + float(polar_b.max())
        reach = float(np.ceil(reach))
        scale = min(1024.0, 2.0 ** (27 - int(np.ceil(np.log2(reach + 1)))))
        rays = np.ascontiguousarray(directions(polar_a.shape[1]).T)
        pairs = (points_a, points_b), (polar_a, polar_b)
        over(_overlap.shared_by_rows, len(out), _SMALLEST, *pairs, rays, (scale, reach), out)
    return out


def iou(
    true_points_px: ArrayLike, true_distances: ArrayLike, pred_points_px: ArrayLike, pred_distances: ArrayLike
) -> NDArray[np.float64]:
    """Intersection over union, (N,) float64 in [0, 1], of pairs of star polygons as `shared_px2` takes them.

    NaN if neither has an area.

    Examples
    --------
    >>> iou([[5, 5]], [[2, 2, 2, 2]], [[5, 5]], [[1, 1, 1, 1]]).tolist()
    [0.25]
    """
    shared = shared_px2(true_points_px, true_distances, pred_points_px, pred_distances)
    return _ratio(shared, area_px2(true_distances) + area_px2(pred_distances) - shared)


def overlap(
    true_points_px: ArrayLike, true_distances: ArrayLike, pred_points_px: ArrayLike, pred_distances: ArrayLike
) -> NDArray[np.float64]:
    """Intersection over the smaller area, (N,) float64 in [0, 1], of pairs as `shared_px2` takes them.

    This is what `suppress` compares with its threshold (with corners cut to whole pixels, as stardist does).
    NaN if one has no area.

    Examples
    --------
    >>> overlap([[5, 5]], [[2, 2, 2, 2]], [[5, 5]], [[1, 1, 1, 1]]).tolist()
    [1.0]
    """
    shared = shared_px2(true_points_px, true_distances, pred_points_px, pred_distances)
    return _ratio(shared, np.minimum(area_px2(true_distances), area_px2(pred_distances)))


def _ratio(shared: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.full(shared.shape, np.nan)
    np.divide(shared, whole, out=out, where=whole > 0)
    out[out > 1] = 1.0
    return out
