"""How much star polygons share, pair by pair."""

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
    """Area that each of N star polygons shares with its partner.

    Exact but for the corners, which are put on a grid of 1/1024 px (coarser for pairs beyond 100,000 px).

    Parameters
    ----------
    true_points_px, pred_points_px : (N, 2) float32
        Centres, y and x.
    true_distances, pred_distances : (N, n_rays) float32
        Pixels along each ray, equally many rays for both.

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
    (points_a, polar_a), (points_b, polar_b) = (
        check_polygons(true_points_px, true_distances), check_polygons(pred_points_px, pred_distances)
    )  # fmt: skip
    if polar_a.shape != polar_b.shape:
        raise ShapeError(
            f"distances have shapes {polar_a.shape} and {polar_b.shape}, expected the same twice"
        )
    out = np.zeros(len(polar_a))
    if out.size:
        reach = float(np.abs(points_a - points_b).max()) + float(polar_a.max()) + float(polar_b.max())
        reach = float(np.ceil(reach))
        scale = min(1024.0, 2.0 ** (27 - int(np.ceil(np.log2(reach + 1)))))
        rays = np.ascontiguousarray(directions(polar_a.shape[1]).T)
        over(
            _overlap.shared_by_rows, len(out), _SMALLEST,
            (points_a, points_b), (polar_a, polar_b), rays, (scale, reach), out,
        )  # fmt: skip
    return out


def iou(
    true_points_px: ArrayLike, true_distances: ArrayLike, pred_points_px: ArrayLike, pred_distances: ArrayLike
) -> NDArray[np.float64]:
    """Shared area of each of N star polygons and its partner, over the area of their union.

    Parameters and errors are those of `shared_px2`.

    Returns
    -------
    (N,) float64
        In [0, 1]; NaN if neither has an area.

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
    """Shared area of each of N star polygons and its partner, over the smaller of their areas.

    This is what `suppress` compares with its threshold (after it has cut corners to whole pixels, as stardist
    does). Parameters and errors are those of `shared_px2`.

    Returns
    -------
    (N,) float64
        In [0, 1]; NaN if one has no area.

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
