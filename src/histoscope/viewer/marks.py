"""What was found on a slide, sorted by place, so that any square of it is one slice.

Far out, a square gives numbers of marks by place, class and band of probability; near, their outlines.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

TILE_PX = 512
"""Side of the smallest square, in pixels of level 0; the squares of zoom z are 2**z times as wide."""
BINS = 128
"""Places that a square has across and down when marks are counted."""
BANDS = 20
"""Bands of probability from 0 to 1; the threshold of the page moves by one of them."""
POINT_PX = 0.25
"""Unit of the points of outlines, in pixels of level 0."""
_OUTLINES, _COUNTS = b"HSO1", b"HSC1"


@dataclass(frozen=True, eq=False)
class Marks:
    """Nuclei or tiles of a slide in the order of their squares (Morton's), with outlines.

    Parameters
    ----------
    key : (N,) uint32
        Square of each, from `squares_of`; ascending.
    centre : (N, 2) float32
        x, y in pixels of level 0.
    class_id : (N,) uint8
    band : (N,) uint8
        Band of probability, from 0.
    row : (N,) uint32
        Row of each in the file that it is from.
    ring_starts : (N + 1,) int64
        First ring of each.
    point_starts : (R + 1,) int64
        First point of each ring.
    points : (P, 2) int16
        From the centre, in `POINT_PX`.
    about : dict
        ``classes``, ``size_px``, ``mpp`` and what else the page shows.
    """

    key: NDArray[np.uint32]
    centre: NDArray[np.float32]
    class_id: NDArray[np.uint8]
    band: NDArray[np.uint8]
    row: NDArray[np.uint32]
    ring_starts: NDArray[np.int64]
    point_starts: NDArray[np.int64]
    points: NDArray[np.int16]
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.key)

    def range(self, zoom: int, column: int, row: int) -> slice:
        """The marks whose centre lies in a square."""
        first = int(squares_of(np.array([[column << zoom, row << zoom]]))[0])
        ends = np.array([first, first + 4**zoom], np.int64)
        start, stop = np.searchsorted(self.key, ends)
        return slice(int(start), int(stop))

    def within(self, box: tuple[float, float, float, float]) -> NDArray[np.int64]:
        """Places of the marks whose centre lies in a box: left, top, right, bottom in pixels of level 0."""
        left, top, right, bottom = box
        wide = max(right - left, bottom - top, float(TILE_PX))
        zoom = min(int(np.ceil(np.log2(wide / TILE_PX))), 16)
        first, last = (np.clip(np.array(ends) // (TILE_PX << zoom), 0, 0xFFFF) for ends in (box[:2], box[2:]))
        squares = [
            self.range(zoom, column, row)
            for column in range(int(first[0]), int(last[0]) + 1)
            for row in range(int(first[1]), int(last[1]) + 1)
        ]
        places = np.concatenate([np.arange(part.start, part.stop) for part in squares])
        x, y = self.centre[places].T
        return np.asarray(places[(x >= left) & (x <= right) & (y >= top) & (y <= bottom)], np.int64)

    def rings(self, place: int) -> list[NDArray[np.float64]]:
        """Outline of a mark: rings of points in pixels of level 0."""
        rings = range(int(self.ring_starts[place]), int(self.ring_starts[place + 1]))
        return [
            self.centre[place] + self.points[self.point_starts[k] : self.point_starts[k + 1]] * POINT_PX
            for k in rings
        ]

    def reach_px(self) -> float:
        """How far the farthest point of an outline lies from its centre, along x or y."""
        ends = [int(self.points.max(initial=0)), -int(self.points.min(initial=0))]
        return max(ends) * POINT_PX

    def busiest(self) -> list[int]:
        """Most marks in a square of zoom 0, 1, 2, ... up to the one that holds all."""
        found, key = [], self.key.astype(np.int64)
        while True:
            _, counts = np.unique(key, return_counts=True)
            found.append(int(counts.max(initial=0)))
            if len(counts) <= 1:
                return found
            key >>= 2

    def counts(self) -> list[list[int]]:
        """Number of marks by class and band."""
        n = max(int(self.class_id.max(initial=0)) + 1, len(self.about.get("classes", ())) + 1)
        flat = np.bincount(self.class_id.astype(np.int64) * BANDS + self.band, minlength=n * BANDS)
        return [list(map(int, each)) for each in flat.reshape(n, BANDS)]

    def outlines(self, zoom: int, column: int, row: int) -> bytes:
        """Outlines of the marks of a square; the layout is that of ``page/tiles.js``."""
        part = self.range(zoom, column, row)
        rings = slice(int(self.ring_starts[part.start]), int(self.ring_starts[part.stop]))
        points = slice(int(self.point_starts[rings.start]), int(self.point_starts[rings.stop]))
        n_rings = np.diff(self.ring_starts[part.start : part.stop + 1])
        n_points = np.diff(self.point_starts[rings.start : rings.stop + 1])
        head = np.array([part.stop - part.start, len(n_points), points.stop - points.start], "<u4")
        return b"".join(
            [
                _OUTLINES,
                head.tobytes(),
                self.centre[part].astype("<f4").tobytes(),
                self.row[part].astype("<u4").tobytes(),
                self.points[points].astype("<i2").tobytes(),
                n_rings.astype("<u2").tobytes(),
                n_points.astype("<u2").tobytes(),
                self.class_id[part].tobytes(),
                self.band[part].tobytes(),
            ]
        )

    def density(self, zoom: int, column: int, row: int) -> bytes:
        """Numbers of marks of a square by place, class and band; the layout is that of ``page/tiles.js``."""
        part = self.range(zoom, column, row)
        side = TILE_PX << zoom
        corner = np.array([column * side, row * side], np.float32)
        place = ((self.centre[part] - corner) * (BINS / side)).astype(np.int64).clip(0, BINS - 1)
        n = int(self.class_id[part].max(initial=0)) + 1
        kind = self.class_id[part].astype(np.int64) * BANDS + self.band[part]
        flat = (place[:, 1] * BINS + place[:, 0]) * (n * BANDS) + kind
        cells, counts = np.unique(flat, return_counts=True)
        kind = cells % (n * BANDS)
        return b"".join(
            [
                _COUNTS,
                np.array([len(cells), part.stop - part.start, 0], "<u4").tobytes(),
                counts.astype("<u4").tobytes(),
                (cells // (n * BANDS)).astype("<u2").tobytes(),
                (kind // BANDS).astype(np.uint8).tobytes(),
                (kind % BANDS).astype(np.uint8).tobytes(),
            ]
        )


def squares_of(square: NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
    """Number of a square along Morton's curve, on which each larger square is one stretch.

    Parameters
    ----------
    square : (N, 2) integers
        Column and row, below 65,536.

    Examples
    --------
    >>> squares_of(np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 0]])).tolist()
    [0, 1, 2, 3, 4]
    """
    spread = np.clip(square, 0, 0xFFFF).astype(np.uint32)
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        spread = (spread | (spread << np.uint32(shift))) & np.uint32(mask)
    return np.asarray(spread[:, 0] | (spread[:, 1] << np.uint32(1)), np.uint32)


def bands_of(probability: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Band of each probability; a threshold of k bands keeps those of band k and above.

    Examples
    --------
    >>> bands_of(np.array([0, 0.049, 0.05, 0.5, 1.0, np.nan])).tolist()
    [0, 0, 1, 10, 19, 0]
    """
    known = np.nan_to_num(np.asarray(probability, np.float64))
    return np.clip(np.floor(known * BANDS + 1e-6), 0, BANDS - 1).astype(np.uint8)
