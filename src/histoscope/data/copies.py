"""Finding copies of a picture that were turned, flipped, zoomed, saved again or made paler."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.files import read_image

THUMBNAIL_PX = 32
Thumbnails = NDArray[np.float32]
"""(N, 32, 32) float32 grey levels."""

_DISC_PX = 12
_REACH = 0.7
"""Radius of the compared disc in half widths: zoomed in by up to 1 / 0.7 it still lies in the picture."""
_ANGLES_DEG = range(0, 360, 15)
_ZOOMS = (0.75, 0.87, 1.0, 1.15, 1.33)
_NEAR_DEG = (-7.5, -3.75, 0.0, 3.75, 7.5)
_NEAR_ZOOMS = (0.93, 1.0, 1.07)
_SLACK = 0.1
"""A copy correlates on the small disc at the nearest coarse turn at least this near the wanted similarity."""
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Turn:
    """How one picture became another: flipped left to right, then turned anticlockwise, then zoomed into."""

    angle_deg: float = 0.0
    zoom: float = 1.0
    flipped: bool = False

    def __str__(self) -> str:
        words = ["flipped"] * self.flipped
        words += [f"turned {self.angle_deg % 360:g}°"] * bool(self.angle_deg % 360)
        words += [f"zoomed {self.zoom:.2f}"] * (self.zoom != 1)
        return ", ".join(words) or "same"


@dataclass(frozen=True, slots=True)
class Copy:
    """Two pictures that are one: their places in the two lists, how the right one is turned, correlation."""

    left: int
    right: int
    turn: Turn
    similarity: float


def thumbnail(path: str | Path) -> NDArray[np.float32]:
    """Read the central square of an image file as 32 x 32 grey levels; JPEG files are decoded small.

    Raises
    ------
    CorruptDataError
        If it cannot be decoded.
    """
    from PIL import Image as Pillow

    try:
        with Pillow.open(path) as picture:
            picture.draft("RGB", (2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))
            if picture.mode in {"RGB", "L"}:
                return shrink(picture)
    except OSError:
        pass  # a TIFF that Pillow does not know, or a broken file: the full reader decides
    return shrink(Pillow.fromarray(read_image(path)))


def shrink(picture: Any) -> NDArray[np.float32]:  # Pillow is imported where it is used
    """Make the thumbnail of a Pillow image."""
    from PIL import Image as Pillow

    side = min(picture.size)
    left, top = ((length - side) / 2 for length in picture.size)
    box = (left, top, left + side, top + side)
    grey = picture.convert("L").resize((THUMBNAIL_PX, THUMBNAIL_PX), Pillow.Resampling.BOX, box=box)
    return np.asarray(grey, np.float32)


def find_copies(left: Thumbnails, right: Thumbnails, min_similarity: float) -> list[Copy]:
    """Pairs of thumbnails that correlate once one of them is flipped, turned and zoomed.

    All pairs are compared on a small central disc under 240 coarse turns; those that come near are compared
    on all pixels that the two share, with the turn refined. Brightness and contrast do not matter.

    Parameters
    ----------
    left, right : (N, 32, 32), (M, 32, 32) float32
        Thumbnails; blank ones match nothing.
    min_similarity : float
        Least correlation over the shared pixels.

    Returns
    -------
    list of Copy
        One for each pair, ordered by its places.
    """
    copies = []
    turns = [Turn(a, z, f) for f, a, z in product((False, True), _ANGLES_DEG, _ZOOMS)]
    for pairs, turn in _candidates(left, right, turns, min_similarity - _SLACK):
        best = np.zeros(len(pairs), np.float32)
        best_turn = [turn] * len(pairs)
        for angle, zoom in product(_NEAR_DEG, _NEAR_ZOOMS):
            near = Turn(turn.angle_deg + angle, turn.zoom * zoom, turn.flipped)
            similarity = _overlap_correlation(left[pairs[:, 0]], right[pairs[:, 1]], near)
            for row in np.flatnonzero(similarity > best + 1e-4):
                best[row], best_turn[row] = similarity[row], near
        for row in np.flatnonzero(best >= min_similarity):
            i, j = map(int, pairs[row])
            copies.append(Copy(i, j, best_turn[row], min(1.0, float(best[row]))))
    return sorted(copies, key=lambda copy: (copy.left, copy.right))


def _candidates(
    left: Thumbnails, right: Thumbnails, turns: list[Turn], least: float
) -> Iterator[tuple[NDArray[np.intp], Turn]]:
    """Pairs that come near on the disc, grouped by their best coarse turn."""
    points = _grid(_DISC_PX)
    points = points[(points**2).sum(axis=1) <= 1] * _REACH
    small_left, small_right = _halved(left), _halved(right)
    disc_left = _unit(_sample(small_left, points, Turn()))
    found: dict[int, list[NDArray[np.intp]]] = {}
    for start in range(0, len(right), _BLOCK):
        block = small_right[start : start + _BLOCK]
        best = np.full((len(left), len(block)), least, np.float32)
        which = np.full(best.shape, -1, np.int16)
        for number, turn in enumerate(turns):
            score = disc_left @ _unit(_sample(block, points, turn)).T
            better = score > best
            best[better] = score[better]
            which[better] = number
        rows, columns = np.nonzero(which >= 0)
        numbers = which[rows, columns]
        for number in np.unique(numbers):
            here = numbers == number
            found.setdefault(int(number), []).append(np.column_stack([rows[here], columns[here] + start]))
    for number, groups in found.items():
        pairs = np.concatenate(groups)
        for start in range(0, len(pairs), _BLOCK):
            yield pairs[start : start + _BLOCK], turns[number]


def _overlap_correlation(left: Thumbnails, right: Thumbnails, turn: Turn) -> NDArray[np.float32]:
    points = _grid(THUMBNAIL_PX)
    shared = (np.abs(_turned(points, turn)) <= 1).all(axis=1)
    first = _unit(left.reshape(len(left), -1)[:, shared])
    second = _unit(_sample(right, points[shared], turn))
    correlation: NDArray[np.float32] = np.einsum("nk,nk->n", first, second)
    return correlation


def _grid(side: int) -> NDArray[np.float32]:
    """(side², 2) pixel centres as x, y in half widths, row by row."""
    steps = ((np.arange(side) + 0.5) * (2 / side) - 1).astype(np.float32)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return np.column_stack([x.ravel(), y.ravel()])


def _turned(points: NDArray[np.float32], turn: Turn) -> NDArray[np.float32]:
    """Where points of the original lie in the turned picture (y points down)."""
    angle = np.deg2rad(turn.angle_deg)
    cosine, sine = turn.zoom * np.cos(angle), turn.zoom * np.sin(angle)
    x, y = (-points[:, 0] if turn.flipped else points[:, 0]), points[:, 1]
    return np.column_stack([cosine * x + sine * y, cosine * y - sine * x])


def _sample(images: Thumbnails, points: NDArray[np.float32], turn: Turn) -> NDArray[np.float32]:
    """Values (N, K) of the turned pictures where the K points of the original lie, bilinearly."""
    side = images.shape[1]
    place = np.clip((_turned(points, turn) + 1) * (side / 2) - 0.5, 0, side - 1)
    corner = np.minimum(place.astype(np.intp), side - 2)
    (fx, fy), (cx, cy) = (place - corner).T.astype(np.float32), corner.T
    flat, at = images.reshape(len(images), side * side), cy * side + cx
    values: NDArray[np.float32] = (
        flat[:, at] * ((1 - fx) * (1 - fy))
        + flat[:, at + 1] * (fx * (1 - fy))
        + flat[:, at + side] * ((1 - fx) * fy)
        + flat[:, at + side + 1] * (fx * fy)
    )
    return values


def _halved(images: Thumbnails) -> Thumbnails:
    half = THUMBNAIL_PX // 2
    small: Thumbnails = images.reshape(len(images), half, 2, half, 2).mean(axis=(2, 4))
    return small


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows with mean 0 and length 1, so that products are correlations; 0 where there is nothing to see."""
    values = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    blank = length < np.sqrt(values.shape[1])  # less than one grey level of spread is noise
    unit: NDArray[np.float32] = np.where(blank, 0, values / np.where(blank, 1, length)).astype(np.float32)
    return unit
