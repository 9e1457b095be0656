"""Image copies: matching of landmarks and affine registration of two images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscope.data.base import Progress
from histoscope.data.leaks.landmarks import Landmarks, Pairs, candidate_pairs, flipped

MIN_MATCHES = 8
"""Landmarks that an affine map must align; by chance, up to 4 align."""
_RATIO = 0.8
"""Ratio test: a match is kept if it is closer than this times the second closest."""
_SLACK = 0.05
"""Reprojection error of an inlier, in halves of the shorter side."""
_MAX_ZOOM, _MAX_STRETCH = 4.0, 2.0
_LEAST_COMMON = 16
"""Overlapping pixels below which a correlation is 0."""

Affine = NDArray[np.float64]
"""(2, 3): maps x, y of the left image to those of the right, from the centres, in halves of their sides."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Transform between two images: flip left to right, then anticlockwise rotation, then zoom."""

    angle_deg: float = 0.0
    zoom: float = 1.0
    flipped: bool = False

    def __str__(self) -> str:
        angle, zoom = round(self.angle_deg) % 360, round(self.zoom, 2)
        words = ["flipped"] * self.flipped
        words += [f"turned {angle}°"] * bool(angle)
        words += [f"zoomed {zoom:.2f}"] * (abs(zoom - 1) > 0.02)
        return ", ".join(words) or "same"


@dataclass(frozen=True, slots=True)
class Copy:
    """Two images of the same place.

    `left` and `right` are their indices, `n_matches` the number of landmarks that one affine map aligns,
    `similarity` the correlation of grey levels in the overlap once aligned, and `overlap` the share of the
    smaller one that they have in common: near 1 for copies, small for images of neighbouring places.
    """

    left: int
    right: int
    turn: Turn
    n_matches: int
    similarity: float
    overlap: float


def find_copies(
    images: Sequence[Landmarks],
    part: NDArray[np.intp],
    min_similarity: float,
    *,
    pairs: Pairs | None = None,
    progress: Progress | None = None,
) -> list[Copy]:
    """Pairs of images in different parts that show the same place, fully or partly, ordered by index.

    Images with similar landmarks are compared, and those in `pairs` (n, 3): left, right, flip. An affine map
    must align at least 8 landmarks of the two, and once aligned, their grey levels must correlate by
    `min_similarity` in the overlap. Brightness and contrast do not matter. Images in the same `part` (N,) are
    not compared, and those without landmarks match nothing.
    """
    todo = candidate_pairs(images, part)
    if pairs is not None:
        todo = np.unique(np.concatenate([todo, pairs]), axis=0)
    found = []
    for done, (left, right, flip) in enumerate(todo.tolist(), start=1):
        copy = compare(images, left, right, flip=bool(flip))
        if copy is not None and copy.similarity >= min_similarity:
            found.append(copy)
        if progress is not None:
            progress(done, len(todo))
    best = {(copy.left, copy.right): copy for copy in sorted(found, key=lambda copy: copy.n_matches)}
    return [best[key] for key in sorted(best)]


def compare(images: Sequence[Landmarks], left: int, right: int, *, flip: bool) -> Copy | None:
    """Align two images by their landmarks; None if they do not fit."""
    import cv2

    a, b = images[left], images[right]
    mirror = np.array([-1 if flip else 1, 1], np.float32)
    ours, theirs = _matches(flipped(a.descriptors) if flip else a.descriptors, b.descriptors)
    if len(ours) < MIN_MATCHES:
        return None
    start, end = a.points[ours] * mirror, b.points[theirs]
    affine, inside = cv2.estimateAffine2D(start, end, ransacReprojThreshold=_SLACK, maxIters=500)
    if affine is None or not _plausible(affine):
        return None
    # A point often has two landmarks of different directions: it counts once.
    places = np.unique(np.round(end[inside.ravel() > 0] / (_SLACK / 2)), axis=0)
    if len(places) < MIN_MATCHES:
        return None
    overlap = _overlap(a.corners @ affine[:, :2].T + affine[:, 2], b.corners)
    similarity = _similarity(a, b, affine, flip=flip)
    return Copy(left, right, _turn(affine, flip=flip), len(places), similarity, overlap)


def _matches(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of descriptors that are mutual nearest neighbours and pass the ratio test."""
    if min(len(left), len(right)) < 2:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    a, b = left.astype(np.float32), right.astype(np.float32)
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    rows = np.arange(len(a))
    nearest = squared.argmin(axis=1)
    first = squared[rows, nearest].copy()
    mutual = squared.argmin(axis=0)[nearest] == rows
    squared[rows, nearest] = np.inf
    good = mutual & (first < _RATIO**2 * squared.min(axis=1))
    return rows[good], nearest[good]


def _plausible(affine: Affine) -> bool:
    if np.linalg.det(affine[:, :2]) <= 0:
        return False
    large, small = np.linalg.svd(affine[:, :2], compute_uv=False)
    return bool(large < _MAX_STRETCH * small and small > 1 / _MAX_ZOOM and large < _MAX_ZOOM)


def _turn(affine: Affine, *, flip: bool) -> Turn:
    (a, b), (c, d) = affine[:, :2]
    zoom = float(np.sqrt(a * d - b * c))
    return Turn(float(np.degrees(np.arctan2(b - c, a + d))), zoom, flip)


def _overlap(left: NDArray[np.float64], right: NDArray[np.float32]) -> float:
    """Intersection of two quadrangles, as a share of the smaller."""
    import cv2

    quads = left.astype(np.float32), right
    common = cv2.intersectConvexConvex(*quads)[0]
    return float(min(1.0, common / min(cv2.contourArea(quad) for quad in quads)))


def _similarity(a: Landmarks, b: Landmarks, affine: Affine, *, flip: bool) -> float:
    """Correlation of two aligned images where they overlap and nothing is drawn on either."""
    import cv2

    right = b.grey
    left, drawn = (
        np.ascontiguousarray(array[:, ::-1] if flip else array, np.uint8)
        for array in (a.grey, np.zeros_like(a.grey) if a.marked is None else a.marked)
    )
    height, width = right.shape
    scales = [min(grey.shape) / 2 for grey in (left, right)]
    centres = [(np.array(grey.shape[::-1]) - 1) / 2 for grey in (left, right)]
    matrix = affine[:, :2] * (scales[1] / scales[0])
    shift = affine[:, 2] * scales[1] + centres[1] - matrix @ centres[0]
    onto = np.column_stack([matrix, shift])
    warped = cv2.warpAffine(left, onto, (width, height), flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.full_like(left, 255), onto, (width, height)) == 255
    inside &= cv2.warpAffine(drawn, onto, (width, height)) == 0
    if b.marked is not None:
        inside &= b.marked == 0
    if inside.sum() < _LEAST_COMMON:
        return 0.0
    x, y = warped[inside].astype(np.float64), right[inside].astype(np.float64)
    spread = x.std() * y.std()
    return float(np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread else 0.0
