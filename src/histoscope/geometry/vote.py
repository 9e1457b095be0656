# mypy: disallow-untyped-decorators=False
"""Shapes by majority vote of all polygons that were proposed for a nucleus.

References
----------
.. [1] Weigert and Schmidt, ISBIC 2022, doi:10.1109/ISBIC56247.2022.9854534
"""

import numpy as np
from numpy.typing import ArrayLike

from histoscope.compiled import F32, F64, I32, I64, njit
from histoscope.geometry import _kernels
from histoscope.geometry._overlap import placed
from histoscope.geometry.polygons import check_polygons, directions
from histoscope.types import Labels

WINNER_WEIGHT = 2.0
"""Votes of the kept polygon; each suppressed one has one [1]_."""


def draw_by_vote(
    points_px: ArrayLike,
    distances: ArrayLike,
    keep: I64,
    winner: I64,
    shape: tuple[int, int],
) -> Labels:
    """Draw the nuclei that suppression kept, each with the pixels that at least half of its votes cover.

    Parameters
    ----------
    points_px : (N, 2) float32
        Centres of all candidates, y and x.
    distances : (N, n_rays) float32
        Pixels along each ray.
    keep, winner
        From `histoscope.geometry.suppress` of the same candidates.
    shape : (int, int)
        Height and width of the map.

    Returns
    -------
    (H, W) int32
        The nucleus of ``keep[k]`` has id k + 1; where nuclei overlap the earlier, more probable one wins.

    Raises
    ------
    ShapeError
        If the arrays do not fit together, or hold NaN, infinite or negative distances.

    Examples
    --------
    >>> points, distances = np.full((3, 2), 4.0), np.array([[2.0] * 8, [4.0] * 8, [4.0] * 8])
    >>> every = draw_by_vote(points, distances, np.array([0]), np.zeros(3, np.int64), (9, 9))
    >>> alone = draw_by_vote(points, distances, np.array([0]), np.array([0, 1, 1]), (9, 9))
    >>> int(every.sum()), int(alone.sum())
    (49, 13)
    """
    points, polar = check_polygons(points_px, distances)
    out = np.zeros(shape, np.int32)
    if not len(keep) or not out.size:
        return out
    rank = np.full(len(points), -1, np.int64)
    rank[keep] = np.arange(len(keep))
    nucleus = rank[winner]
    voters = np.flatnonzero(nucleus >= 0)
    # The winner first, then those it suppressed.
    voters = voters[np.lexsort((winner[voters] != voters, nucleus[voters]))]
    starts = np.searchsorted(nucleus[voters], np.arange(len(keep) + 1))
    _draw(voters, starts, points, polar, np.ascontiguousarray(directions(polar.shape[1]).T), out)
    return out


@njit
def _draw(voters: I64, starts: I64, points: F32, distances: F32, rays: F64, out: I32) -> None:
    """Nucleus by nucleus: only the polygons of one are in memory at a time."""
    scratch = np.zeros(4096, np.uint8)
    for k in range(starts.size - 1):
        mine = voters[starts[k] : starts[k + 1]]
        y = np.empty((mine.size, rays.shape[1]), np.float64)
        x = np.empty((mine.size, rays.shape[1]), np.float64)
        for j in range(mine.size):
            for ray in range(rays.shape[1]):
                y[j, ray] = placed(points[mine[j], 0], distances[mine[j], ray] * rays[0, ray])
                x[j, ray] = placed(points[mine[j], 1], distances[mine[j], ray] * rays[1, ray])
        top, left = max(0, int(np.floor(y.min()))), max(0, int(np.floor(x.min())))
        bottom = min(out.shape[0], int(np.ceil(y.max())) + 1)
        right = min(out.shape[1], int(np.ceil(x.max())) + 1)
        if top >= bottom or left >= right:
            continue
        votes = np.zeros((bottom - top, right - left), np.float32)
        drawn = np.zeros((bottom - top, right - left), np.int32)
        for j in range(mine.size):
            drawn[:] = 0
            scratch = _kernels.paint(0, bottom - top, y[j] - top, x[j] - left, 1, scratch, drawn)
            votes += drawn * (WINNER_WEIGHT if j == 0 else 1.0)
        needed = (mine.size - 1 + WINNER_WEIGHT) / 2.0
        for r in range(bottom - top):
            for c in range(right - left):
                if votes[r, c] >= needed and out[top + r, left + c] == 0:
                    out[top + r, left + c] = k + 1
