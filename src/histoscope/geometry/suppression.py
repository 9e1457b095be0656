"""Greedy non-maximum suppression of star polygons."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.brief import brief
from histoscope.errors import ConfigError, ShapeError
from histoscope.geometry import _greedy
from histoscope.geometry.polygons import check_polygons, directions_32
from histoscope.threads import over

_SMALLEST = 512  # candidates below which a further thread costs more than it saves


@brief
class Suppression(NamedTuple):
    """Result of non-maximum suppression.

    Parameters
    ----------
    keep : (M,) int64
        Rows of the kept candidates, by falling probability.
    winner : (N,) int64
        For each candidate the row of the kept one that suppressed it; its own row if it was kept.
    """

    keep: NDArray[np.int64]
    winner: NDArray[np.int64]


def suppress(
    points_px: ArrayLike, distances: ArrayLike, probability: ArrayLike, *, iou_threshold: float = 0.4
) -> Suppression:
    """Greedy non-maximum suppression of overlapping star polygons.

    Candidates are processed by falling probability, equal ones in the order of rows. A candidate is
    suppressed by the first kept one with which its overlap is *above* the threshold: the shared area over the
    smaller of the two areas (not over the union, in spite of the threshold's usual name), so that a small
    polygon inside a large one counts as the same nucleus. As in stardist, corners are cut to whole pixels
    first, and crossings of outlines are rounded.

    The kept candidates are those of ``stardist.nms.non_maximum_suppression_inds`` in the same order, except
    where the overlap is within some px2 of the threshold: stardist's clipper may move or miss crossings
    between two of its rows. This affects polygons below some 40 px2, rarely others (3 of 48,083 nuclei in
    MoNuSeg and CoNSeP). ``stardist.nms.non_maximum_suppression`` itself orders by
    ``numpy.argsort(...)[::-1]``, where the order of equal probabilities depends on the processor.

    Most pairs are decided by the octagons around the polygons, the others by exact intersection; pairs are
    found with a grid of cells, so the cost grows linearly with candidates.

    Parameters
    ----------
    points_px : (N, 2) float32
        Centres, y and x.
    distances : (N, n_rays) float32
        Pixels along each ray, as from `star_distances`; at least 0 (clip what a network gives).
    probability : (N,) float32
        In any range.
    iou_threshold : float, default 0.4
        In [0, 1].

    Returns
    -------
    Suppression

    Raises
    ------
    ShapeError
        If the arrays do not fit together, or hold NaN, infinite or negative distances.
    ConfigError
        If the threshold is not in [0, 1].

    Examples
    --------
    >>> suppress([[5, 5], [5, 6], [5, 30]], np.full((3, 32), 4.0), [0.8, 0.9, 0.7])
    Suppression(keep=[1 2], winner=[1 1 2])
    """
    points, polar = check_polygons(points_px, distances)
    score = np.asarray(probability, np.float32)
    if score.shape != (len(points),):
        raise ShapeError(
            f"probability has shape {score.shape}, expected ({len(points)},): one for each point"
        )
    if np.isnan(score).any():
        raise ShapeError(f"probability of candidate {int(np.isnan(score).argmax())} is NaN; expected numbers")
    if not 0 <= iou_threshold <= 1:
        raise ConfigError(f"iou_threshold is {iou_threshold}, expected 0 to 1")
    order = np.argsort(-score, kind="stable")
    if not len(order):
        return Suppression(order, order.copy())
    shapes = _measure(order, points, polar)
    rank = _greedy_ranks(shapes, float(iou_threshold))
    winner = np.empty(len(order), np.int64)
    winner[order] = order[rank]
    return Suppression(order[rank == np.arange(len(order))], winner)


def _measure(
    order: NDArray[np.int64], points: NDArray[np.float32], polar: NDArray[np.float32]
) -> _greedy.Shapes:
    n = len(order)
    areas, boxes = np.empty(n, np.float32), np.empty((n, 8), np.int32)
    shapes = (order, points, polar, directions_32(polar.shape[1]), areas, boxes)
    over(_greedy.measure, n, _SMALLEST, shapes)
    return shapes


def _greedy_ranks(shapes: _greedy.Shapes, threshold: float) -> NDArray[np.int64]:
    """For each rank, the rank that suppresses it.

    Ranks are processed in chunks: first each is compared, on all cores, with those kept before its chunk,
    then the remaining ones are compared in order with those kept within the chunk.
    """
    n = len(shapes[0])
    cells, used = _empty_cells(shapes[5]), 0
    winner = np.empty(n, np.int64)
    first = 0
    while first < n:
        last = min(n, first + max(1024, first // 2))
        over(_greedy.look_up, last - first, _SMALLEST, first, shapes, cells, threshold, winner)
        cells, used = _greedy.suppress(first, last, shapes, cells, used, threshold, winner)
        first = last
    return winner


def _empty_cells(boxes: NDArray[np.int32]) -> _greedy.Cells:
    """Cells about as large as a box, and not many more of them than boxes."""
    wide = boxes.astype(np.int64) if len(boxes) < 1000 else boxes[:: len(boxes) // 1000].astype(np.int64)
    left, right = int(boxes[:, 0].min()), int(boxes[:, 1].max())
    top, bottom = int(boxes[:, 2].min()), int(boxes[:, 3].max())
    usual = float(np.median(np.maximum(wide[:, 1] - wide[:, 0], wide[:, 3] - wide[:, 2])))
    enough = np.sqrt((right - left + 1.0) * (bottom - top + 1.0) / (4 * len(boxes) + 64))
    longest = max(right - left, bottom - top) / (4 * len(boxes) + 64)  # a row of candidates has no area
    shift = int(np.ceil(np.log2(max(4.0, usual, enough, longest))))
    rows, columns = ((bottom - top) >> shift) + 1, ((right - left) >> shift) + 1
    frame = np.array([top, left, shift, rows, columns], np.int64)
    head = np.full(rows * columns, -1, np.int32)
    return head, np.empty(1024, np.int32), np.empty(1024, np.int32), frame
