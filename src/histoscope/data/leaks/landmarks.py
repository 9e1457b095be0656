"""Landmarks of images: SIFT keypoints and descriptors, and candidate pairs by nearest neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscope.data.leaks.marks import find_marks
from histoscope.types import Image

SIDE_PX = 224
_LEAST_PX = 128
"""Limits of the shorter side at which keypoints are detected."""
_MOST = 150
"""Maximum number of landmarks per image; the strongest are kept."""
_MARKED = 32
"""Share of a pixel, of 255, from which it belongs to a mark."""
_GREY_PX = 64
_N_AXES = 32
"""Principal axes of the descriptors that neighbours are searched in."""
_N_NEIGHBOURS = 20
_N_CANDIDATES = 12
"""Images with the most similar landmarks that each image is compared with."""
_ALL_PAIRS_UP_TO = 30
"""Number of images up to which all pairs are compared."""

Pairs = NDArray[np.intp]
"""(n, 3): left, right, and 1 if the left one has to be flipped."""


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Landmarks of an image: places and descriptors.

    `points` (K, 2) are x, y from the centre, in halves of the shorter side; `descriptors` (K, 128) are square
    roots of SIFT histograms (the Hellinger distance between histograms becomes Euclidean); `grey` is the
    image with a shorter side of 64 pixels; `marked` is above 0 where something is drawn on it, see
    `histoscope.data.leaks.marks`.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    grey: NDArray[np.uint8]
    marked: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.points)

    @property
    def corners(self) -> NDArray[np.float32]:
        """(4, 2) corners of the image in the same coordinates."""
        height, width = self.grey.shape
        x, y = width / min(width, height), height / min(width, height)
        return np.array([[-x, -y], [x, -y], [x, y], [-x, y]], np.float32)


def find_landmarks(image: Image | NDArray[np.uint8]) -> Landmarks:
    """Find the landmarks of an image, RGB or grey levels; a blank one has none.

    Examples
    --------
    >>> len(find_landmarks(np.full((64, 64, 3), 240, np.uint8)))
    0
    """
    import cv2

    colour = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    grey = _resized(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY), _LEAST_PX, SIDE_PX)
    share = _resized(find_marks(colour).astype(np.uint8) * 255, _LEAST_PX, SIDE_PX)
    marks = share > _MARKED
    if marks.any():  # filled with their surroundings, so that they yield no landmarks
        grey = np.asarray(cv2.inpaint(grey, marks.astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)
    height, width = grey.shape
    sift: Any = cv2.SIFT.create(nfeatures=_MOST, contrastThreshold=0.01)
    found, histograms = sift.detectAndCompute(grey, None)
    if histograms is None:
        histograms = np.zeros((0, 128), np.float32)
    order = np.argsort([-point.response for point in found], kind="stable")[:_MOST]
    centre = np.array([width - 1, height - 1]) / 2
    points = np.array([found[place].pt for place in order], np.float64).reshape(-1, 2) - centre
    total = np.maximum(histograms.sum(axis=1, keepdims=True), 1)
    roots = np.rint(255 * np.sqrt(histograms / total))[order].astype(np.uint8)
    marked = _resized(marks.astype(np.uint8) * 255, _GREY_PX, _GREY_PX) if marks.any() else None
    return Landmarks(
        (points * (2 / min(height, width))).astype(np.float32),
        roots,
        _resized(grey, _GREY_PX, _GREY_PX),
        marked,
    )


def flipped(descriptors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Descriptors for the image flipped left to right.

    A descriptor is 4 x 4 cells of 8 directions, along the landmark's own direction. A flip reverses the cells
    across it and the order of the directions.
    """
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1, :, ::-1]
    return np.ascontiguousarray(np.roll(cells, 1, axis=-1).reshape(-1, 128))


def candidate_pairs(images: Sequence[Landmarks], part: NDArray[np.intp]) -> Pairs:
    """Pairs (n, 3) of images of different parts with similar landmarks: left < right, and whether to flip.

    Each landmark votes for the images of its nearest neighbours among all landmarks, unflipped and flipped.
    Time grows little more than linearly with the number of images.
    """
    if len(part) <= _ALL_PAIRS_UP_TO:
        left, right = np.nonzero(np.triu(part[:, None] != part[None], 1))
        return np.column_stack([np.tile(left, 2), np.tile(right, 2), np.repeat([0, 1], len(left))])
    if not any(map(len, images)):
        return np.zeros((0, 3), np.intp)
    as_is, turned = _votes(images, part)
    best = as_is.maximum(turned).tocsr()
    chosen = []
    for row in range(len(images)):
        votes = best.data[best.indptr[row] : best.indptr[row + 1]]
        top = np.argsort(-votes, kind="stable")[:_N_CANDIDATES]
        columns = best.indices[best.indptr[row] : best.indptr[row + 1]][top]
        chosen += [(min(row, column), max(row, column)) for column in columns]
    first, second = np.array(sorted(set(chosen)), np.intp).reshape(-1, 2).T
    flip = np.asarray(turned[first, second] > as_is[first, second]).ravel()
    return np.column_stack([first, second, flip]).astype(np.intp)


def _votes(images: Sequence[Landmarks], part: NDArray[np.intp]) -> tuple[Any, Any]:
    """Votes (N, N) of each image for each other, unflipped and flipped; sparse and symmetric."""
    import cv2

    owner = np.repeat(np.arange(len(images)), [len(image) for image in images])
    descriptors = np.concatenate([image.descriptors for image in images])
    mean, axes = _principal_axes(descriptors)
    # The trees of the index draw from OpenCV's own generator; the same images must give the same pairs.
    cv2.setRNGSeed(0)
    points = (descriptors - mean) @ axes
    index = cv2.flann.Index(points, {"algorithm": 1, "trees": 4})
    n_neighbours = min(_N_NEIGHBOURS, len(points))
    answers = []
    for queries in (points, (flipped(descriptors) - mean) @ axes):
        places, distances = index.knnSearch(queries, n_neighbours, params={"checks": 64})
        answers.append((owner[places], np.where(places < 0, np.inf, distances)))
    far = np.median(answers[0][1][:, -1])  # distance by chance: closer votes count more
    votes = []
    for owners, distances in answers:
        weight = np.maximum(0, 1 - distances / far)
        weight[part[owners] == part[owner][:, None]] = 0
        voter = np.broadcast_to(owner[:, None], owners.shape)
        table = sparse.coo_array(
            (weight[weight > 0], (voter[weight > 0], owners[weight > 0])), shape=(len(images),) * 2
        ).tocsr()
        votes.append((table + table.T).tocsr())
    return votes[0], votes[1]


def _principal_axes(descriptors: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    some = descriptors[:: max(1, len(descriptors) // 20_000)].astype(np.float32)
    mean = some.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((some - mean).T))
    return mean, vectors[:, : -_N_AXES - 1 : -1].astype(np.float32)


def _resized(grey: NDArray[np.uint8], least: int, most: int) -> NDArray[np.uint8]:
    import cv2

    height, width = grey.shape
    side = min(height, width)
    scale = min(max(side, least), most) / side
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized: NDArray[np.uint8] = np.asarray(cv2.resize(grey, size, interpolation=how), np.uint8)
    return resized
