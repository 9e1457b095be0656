"""From polygons to `Marks`: simplified, measured from their centres, sorted by place."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.viewer.marks import POINT_PX, TILE_PX, Marks, bands_of, squares_of

_TOLERANCE_UM, _LEAST_TOLERANCE_PX = 0.25, 0.6
"""By how much a drawn outline may differ from the polygon: about the step of a pixel."""

_POLYGON = 3
"""What shapely calls the kind."""
Columns = tuple[NDArray[Any], ...]
_FARTHEST_PX = TILE_PX * 0x10000
"""Squares are numbered so far."""


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """Some rows of a file of results.

    Parameters
    ----------
    centre : (N, 2) float or None
        x, y in pixels of level 0; None for the centres of mass.
    class_id : (N,) integers
    probability : (N,) float
    polygons : (N,) object
        Of shapely, or as WKB.
    """

    centre: NDArray[np.floating[Any]] | None
    class_id: NDArray[np.integer[Any]]
    probability: NDArray[np.floating[Any]]
    polygons: NDArray[np.object_]


def sorted_marks(batches: Iterable[Batch], about: Mapping[str, Any]) -> Marks:
    """Marks of all rows, which are numbered through.

    Parameters
    ----------
    batches : iterable of Batch
    about : mapping
        ``mpp`` says how far outlines may be simplified; all of it is kept.

    Examples
    --------
    >>> import shapely
    >>> box = np.array([shapely.box(600, 10, 620, 30)], object)
    >>> batch = Batch(np.array([[610.0, 20.0]]), np.array([1]), np.array([0.75]), box)
    >>> marks = sorted_marks([batch], {"mpp": 0.5})
    >>> marks.key.tolist(), marks.band.tolist(), (marks.points * POINT_PX).tolist()
    ([1], [15], [[10.0, -10.0], [10.0, 10.0], [-10.0, 10.0], [-10.0, -10.0]])
    """
    mpp = about.get("mpp") or 0.5
    tolerance_px = max(_TOLERANCE_UM / mpp, _LEAST_TOLERANCE_PX)
    found = list(_in_threads(partial(_columns, tolerance_px=tolerance_px), batches))
    dtypes = (np.float32, np.uint8, np.float32, np.int64, np.int64, np.int16)
    columns = [_joined([each[k] for each in found], dtype) for k, dtype in enumerate(dtypes)]
    centre, class_id, probability, n_rings, n_points, points = columns
    centre, points = centre.reshape(-1, 2), points.reshape(-1, 2)
    class_id[class_id > len(about.get("classes", ()))] = 0  # of no class that there is
    key = squares_of(np.floor(centre / TILE_PX).astype(np.int64))
    order = np.argsort(key, kind="stable")
    ring_starts, rings = _gathered(n_rings, order)
    point_starts, places = _gathered(n_points, rings)
    return Marks(
        key[order],
        centre[order],
        class_id[order],
        bands_of(probability)[order],
        order.astype(np.uint32),
        ring_starts,
        point_starts,
        points[places],
        dict(about),
    )


def _in_threads(work: Callable[[Batch], Columns], batches: Iterable[Batch]) -> Iterator[Columns]:
    """What becomes of each batch, in order; of few at a time, as polygons take most of the memory."""
    n = os.cpu_count() or 1
    waiting: deque[Future[Columns]] = deque()
    with ThreadPoolExecutor(n, thread_name_prefix="sorting") as pool:
        for batch in batches:
            waiting.append(pool.submit(work, batch))
            if len(waiting) > n:
                yield waiting.popleft().result()
        yield from (each.result() for each in waiting)


def _columns(batch: Batch, tolerance_px: float) -> Columns:
    """Centre, class, probability; rings of each row, points of each ring, and points from the centres."""
    import shapely

    is_packed = len(batch.polygons) > 0 and isinstance(batch.polygons[0], bytes)
    polygons = shapely.from_wkb(batch.polygons) if is_packed else batch.polygons
    centre = _numbers(_centres(polygons) if batch.centre is None else batch.centre)
    centre = centre.clip(-_FARTHEST_PX, _FARTHEST_PX)
    # What it makes may cross itself by less than the tolerance, which does not show; seven times as fast.
    simple = shapely.simplify(polygons, tolerance_px, preserve_topology=False)
    simple = np.where(shapely.is_empty(simple), polygons, simple)  # smaller than the tolerance
    rings, owner = _rings(simple)
    points, of_point = shapely.get_coordinates(rings, return_index=True)
    is_last = np.append(of_point[1:] != of_point[:-1], True) if len(of_point) else np.empty(0, bool)
    points, of_point = points[~is_last], of_point[~is_last]
    moved = (_numbers(points) - centre[owner[of_point]]) / POINT_PX
    limits = np.iinfo(np.int16)
    shifted = np.rint(moved).clip(limits.min, limits.max).astype(np.int16)
    n_rings = np.bincount(owner, minlength=len(centre))
    n_points = np.bincount(of_point, minlength=len(rings))
    class_id = np.clip(batch.class_id, 0, 255).astype(np.uint8)
    return centre, class_id, _numbers(batch.probability), n_rings, n_points, shifted


def _rings(polygons: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Rings of polygons, and the polygon of each; those that are a single ring stand for it."""
    import shapely

    is_ring = (shapely.get_type_id(polygons) == _POLYGON) & (shapely.get_num_interior_rings(polygons) == 0)
    if is_ring.all():
        return polygons, np.arange(len(polygons))
    parts, of_part = shapely.get_parts(polygons, return_index=True)
    rings, of_ring = shapely.get_rings(parts, return_index=True)
    return rings, of_part[of_ring]


def _centres(polygons: NDArray[np.object_]) -> NDArray[np.float64]:
    """Centre of mass of each polygon; of one without area the corner of the slide."""
    import shapely

    return _numbers(
        np.stack([one(shapely.centroid(polygons)) for one in (shapely.get_x, shapely.get_y)], axis=1)
    )


def _numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    """What is no number, or endless, as 0."""
    return np.nan_to_num(np.asarray(values, np.float64), posinf=0.0, neginf=0.0)


def _gathered(counts: NDArray[Any], order: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of runs that stand one after another: where they start in another order, and the places they come from.

    Examples
    --------
    >>> starts, places = _gathered(np.array([1, 2]), np.array([1, 0]))
    >>> starts.tolist(), places.tolist()
    ([0, 2, 3], [1, 2, 0])
    """
    before = np.concatenate([[0], np.cumsum(counts)])
    taken = counts[order]
    starts = np.concatenate([[0], np.cumsum(taken)]).astype(np.int64)
    places = np.repeat(before[order] - starts[:-1], taken) + np.arange(starts[-1])
    return starts, places.astype(np.int64)


def _joined(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate([np.asarray(part, dtype) for part in parts]) if parts else np.empty(0, dtype)
