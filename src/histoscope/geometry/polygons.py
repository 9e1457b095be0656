"""Star polygons: corners, areas, overlaps, and label maps drawn from them."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import ShapeError
from histoscope.geometry import _kernels
from histoscope.labels import read_only
from histoscope.threads import over
from histoscope.types import Labels

_LARGEST = 2.0**28  # sums of two coordinates and a distance stay within 32 bits


def polygons(points_px: ArrayLike, distances: ArrayLike) -> NDArray[np.float32]:
    """Corners of star polygons.

    Parameters
    ----------
    points_px : (N, 2) float32
        Centres, y and x.
    distances : (N, n_rays) float32
        Pixels along each ray, as from `star_distances`.

    Returns
    -------
    (N, n_rays, 2) float32
        y and x of each corner.

    Raises
    ------
    ShapeError
        If the arrays do not fit together, or hold NaN, infinite or negative distances.

    Examples
    --------
    >>> polygons([[10, 20]], [[3, 2, 3, 2]])[0].tolist()
    [[10.0, 23.0], [12.0, 20.0], [10.0, 17.0], [8.0, 20.0]]
    """
    points, polar = check_polygons(points_px, distances)
    rays = directions(polar.shape[1])
    offsets = (polar[:, :, None] * rays).astype(np.float32)
    corners: NDArray[np.float32] = points[:, None, :] + offsets
    return corners


def area_px2(distances: ArrayLike) -> NDArray[np.float64]:
    """Areas, (N,) float64, of star polygons with `distances` (N, n_rays) as `polygons` takes them.

    Examples
    --------
    >>> area_px2([[3, 2, 3, 2]]).tolist()
    [12.0]
    """
    polar = _check_distances(distances).astype(np.float64)
    area: NDArray[np.float64] = (
        0.5 * np.sin(2 * np.pi / polar.shape[1]) * (polar * np.roll(polar, -1, axis=1)).sum(1)
    )
    return area


def perimeter_px(distances: ArrayLike) -> NDArray[np.float64]:
    """Perimeters, (N,) float64, of star polygons with `distances` (N, n_rays) as `polygons` takes them.

    Examples
    --------
    >>> perimeter_px([[3, 4, 3, 4]]).tolist()
    [20.0]
    """
    polar = _check_distances(distances).astype(np.float64)
    following = np.roll(polar, -1, axis=1)
    squares = polar**2 + following**2 - 2 * np.cos(2 * np.pi / polar.shape[1]) * polar * following
    length: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0)).sum(1)
    return length


def draw(
    points_px: ArrayLike,
    distances: ArrayLike,
    shape: tuple[int, int],
    *,
    probability: ArrayLike | None = None,
) -> Labels:
    """Draw star polygons as a label map.

    A pixel belongs to a polygon if its centre lies in it or on its outline. Where polygons overlap, the more
    probable one wins, among equals the earlier. Pixel for pixel as ``stardist.geometry.polygons_to_label``,
    where the later of equals wins.

    Parameters
    ----------
    points_px : (N, 2) float32
        Centres, y and x.
    distances : (N, n_rays) float32
        Pixels along each ray.
    shape : (int, int)
        Height and width of the map; polygons may reach beyond it.
    probability : (N,) float32, optional
        By default all are equal: rows as from `suppress` are in order of falling probability.

    Returns
    -------
    (H, W) int32
        Row k of the candidates is id k + 1; an id is missing if others cover the polygon.

    Raises
    ------
    ShapeError
        If the arrays do not fit together, or hold NaN, infinite or negative distances.

    Examples
    --------
    >>> draw([[1, 1], [1, 3]], np.full((2, 4), 1.0), (3, 5))
    array([[0, 1, 0, 2, 0],
           [1, 1, 1, 2, 2],
           [0, 1, 0, 2, 0]], dtype=int32)
    """
    points, polar = check_polygons(points_px, distances)
    height, width = (int(length) for length in shape)
    if height < 0 or width < 0:
        raise ShapeError(f"shape is {shape}, expected height and width of at least 0")
    out = np.zeros((height, width), np.int32)
    order = np.arange(len(points))
    if probability is not None:
        score = np.asarray(probability, np.float32)
        if score.shape != (len(points),):
            raise ShapeError(f"probability has shape {score.shape}, expected ({len(points)},): one per point")
        order = np.argsort(-score, kind="stable")
    if out.size and len(order):
        rays = directions(polar.shape[1])
        sines, cosines = np.ascontiguousarray(rays[:, 0]), np.ascontiguousarray(rays[:, 1])
        over(_kernels.paint_all, height, 256, order, points, polar, sines, cosines, out)
    return out


def check_polygons(
    points_px: ArrayLike, distances: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Contiguous, read-only float32 arrays of centres and distances, or a `ShapeError`."""
    polar = _check_distances(distances)
    points = np.asarray(points_px, np.float32)
    if points.size == 0 and not len(polar):
        points = points.reshape(0, 2)
    if points.shape != (len(polar), 2):
        raise ShapeError(
            f"points have shape {points.shape}, expected ({len(polar)}, 2): y, x of each polygon"
        )
    if points.size and not np.abs(points).max() < _LARGEST:
        row = int((~(np.abs(points) < _LARGEST)).any(1).argmax())
        raise ShapeError(f"point {row} is {points[row].tolist()}, expected finite pixels below 2**28")
    return read_only(np.ascontiguousarray(points)), polar


def directions_32(n_rays: int) -> NDArray[np.float32]:
    """(2, n_rays) float32 y and x of unit steps along the rays, with angles in float32 as stardist's C++."""
    angles = np.arange(n_rays, dtype=np.float32) * np.float32(2 * np.pi / n_rays)
    wide = angles.astype(np.float64)  # cosines of 64 bits, rounded, are the same on every machine
    return read_only(np.stack([np.sin(wide), np.cos(wide)]).astype(np.float32))


@lru_cache(maxsize=8)
def directions(n_rays: int) -> NDArray[np.float64]:
    """(n_rays, 2) float64 y and x of unit steps along the rays."""
    angles = np.linspace(0, 2 * np.pi, n_rays, endpoint=False)
    return np.stack([np.sin(angles), np.cos(angles)], 1)


def _check_distances(distances: ArrayLike) -> NDArray[np.float32]:
    polar = np.asarray(distances, np.float32)
    if polar.ndim != 2 or (polar.shape[1] < 3 and polar.size):
        raise ShapeError(
            f"distances have shape {polar.shape}, expected (candidates, rays) with 3 rays or more"
        )
    if polar.size:
        low, high = float(polar.min()), float(polar.max())  # NaN if there is one
        if not (low >= 0 and high < _LARGEST):
            row = int((~((polar >= 0) & (polar < _LARGEST))).any(1).argmax())
            raise ShapeError(
                f"distances of candidate {row} run from {polar[row].min()} to {polar[row].max()}, "
                "expected finite pixels of at least 0; clip the output of a network, e.g. numpy.maximum(d, 0)"
            )
    return read_only(np.ascontiguousarray(polar))
