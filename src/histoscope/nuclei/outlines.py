"""Outlines of nuclei as closed polygons that encode their pixels exactly."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ShapeError
from histoscope.nuclei import _kernels
from histoscope.types import Labels

Ring = NDArray[np.float32]
"""(n, 2) float32 x, y; the last point is not the first again."""


@dataclass(frozen=True, eq=False)
class ByNucleus:
    """Rings grouped by nucleus."""

    ids: NDArray[np.int64]
    """(M,) nuclei that have a pixel, ascending."""
    order: NDArray[np.int64]
    """(R,) rings, grouped by nucleus."""
    first: NDArray[np.int64]
    """(M + 1,) start of each nucleus in `order`, and end of the last."""
    box: NDArray[np.int64]
    """(M, 4) bounding boxes: top, left, bottom and right in pixels, the last two exclusive."""


@dataclass(frozen=True, eq=False, repr=False)
class Outlines:
    """Outlines of all nuclei of an instance map, as one list of points.

    Pixel (0, 0) covers the square from 0 to 1, so its centre is (0.5, 0.5).

    Parameters
    ----------
    points : (P, 2) float32
        x, y of the corners of all rings.
    starts : (R + 1,) int64
        Start of each ring in `points`, and end of the last.
    label : (R,) int32
        Nucleus of each ring.
    part : (R,) int32
        Connected piece of each ring: a nucleus in two pieces has rings of two parts.
    is_hole : (R,) bool
        Whether the ring bounds a hole. Outer rings run clockwise as seen on the screen, holes the other way.
    """

    points: Ring
    starts: NDArray[np.int64]
    label: NDArray[np.int32]
    part: NDArray[np.int32]
    is_hole: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.label)

    def __repr__(self) -> str:
        return f"Outlines({len(self.by_nucleus.ids)} nuclei, {len(self)} rings, {len(self.points)} points)"

    @cached_property
    def by_nucleus(self) -> ByNucleus:
        """Rings and bounding boxes, nucleus by nucleus."""
        ids, counts = np.unique(self.label, return_counts=True)
        order = np.argsort(self.label, kind="stable").astype(np.int64)
        first = np.append(0, np.cumsum(counts)).astype(np.int64)
        box = _kernels.boxes(self.points, self.starts, order, first)
        return ByNucleus(ids.astype(np.int64), order, first, box)

    def rings(self) -> list[Ring]:
        """Points of each ring."""
        return np.split(self.points, self.starts[1:-1]) if len(self) else []

    def polygons(self) -> dict[int, list[list[Ring]]]:
        """Polygons of each nucleus: for each of its pieces the outer ring, then the holes in it."""
        pieces: dict[int, list[Ring]] = {}
        found: dict[int, list[list[Ring]]] = {}
        for ring, label, part, is_hole in zip(
            self.rings(), self.label.tolist(), self.part.tolist(), self.is_hole.tolist(), strict=True
        ):
            if is_hole:
                pieces[part].append(ring)
            else:
                pieces[part] = [ring]
                found.setdefault(label, []).append(pieces[part])
        return found

    def areas_px(self, n: int) -> NDArray[np.int64]:
        """Pixels of nucleus 1, 2, ..., `n`; 0 for those that have none."""
        x, y = self.points.astype(np.float64).T
        following = np.arange(1, len(x) + 1)
        following[self.starts[1:] - 1] = self.starts[:-1]
        twice = np.append(0.0, np.cumsum(x * y[following] - x[following] * y))
        # Each ring cuts four corners more than it fills: an eighth of a pixel each.
        pixels = np.diff(twice[self.starts]) / 2 + np.where(self.is_hole, -0.5, 0.5)
        area = np.bincount(self.label, np.rint(pixels), minlength=n + 1)[1:]
        return area.astype(np.int64)

    def to_labels(self, shape: tuple[int, int], *, corner: tuple[int, int] = (0, 0)) -> Labels:
        """Draw the nuclei, with exactly the pixels that they were traced from.

        Parameters
        ----------
        shape : (int, int)
            Height and width of the map.
        corner : (int, int)
            Row and column of its first pixel, to draw only a window.

        Returns
        -------
        (H, W) int32

        Examples
        --------
        >>> labels = np.array([[1, 1, 1], [1, 0, 2], [1, 1, 1]], np.int32)
        >>> trace(labels).to_labels((3, 3)).tolist()
        [[1, 1, 1], [1, 0, 2], [1, 1, 1]]
        """
        labels = np.zeros(shape, np.int32)
        by = self.by_nucleus
        _kernels.draw(self.points, self.starts, by.ids, by.order, by.first, by.box, corner, labels)
        return labels

    def taken(self, keep: NDArray[np.bool_]) -> "Outlines":
        """Outlines of the nuclei to keep of 1..n, (n,) bool, renumbered without gaps."""
        rings = keep[self.label - 1]
        new_id = np.cumsum(keep).astype(np.int32)
        sizes = np.diff(self.starts)
        return Outlines(
            self.points[np.repeat(rings, sizes)],
            np.append(0, np.cumsum(sizes[rings])),
            new_id[self.label[rings] - 1],
            self.part[rings],
            self.is_hole[rings],
        )


def trace(labels: Labels) -> Outlines:
    """Trace the outline of every nucleus, through the midpoints of the sides of its outermost pixels.

    The line cuts the corners of the staircase, yet every pixel centre is on the correct side: drawing the
    polygon restores the mask. Pixels that meet only at a corner are different pieces, so no ring touches
    itself and polygons are valid for any mask. Time grows with pixels, not with pixels times nuclei.

    Parameters
    ----------
    labels : (H, W) int32
        Instance map; 0 is background.

    Raises
    ------
    ShapeError
        If the map is not (H, W) of whole numbers of 0 and above.

    Examples
    --------
    >>> square = np.zeros((5, 5), np.int32)
    >>> square[1:4, 1:4] = 7
    >>> outline, = trace(square).rings()
    >>> outline.tolist()
    [[1.5, 1.0], [3.5, 1.0], [4.0, 1.5], [4.0, 3.5], [3.5, 4.0], [1.5, 4.0], [1.0, 3.5], [1.0, 1.5]]
    """
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise ShapeError(
            f"label map is {labels.shape} {labels.dtype}, expected (H, W) whole numbers of 0 and above"
        )
    labels = np.ascontiguousarray(labels, np.int32)
    return Outlines(*_kernels.trace_rings(labels, _kernels.count_edges(labels)))
