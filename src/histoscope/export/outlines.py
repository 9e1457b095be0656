"""Outlines of nuclei as closed polygons that give exactly their pixels back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ShapeError
from histoscope.export import _kernels
from histoscope.types import Labels

Ring = NDArray[np.float32]
"""(n, 2) float32 x, y; the last point is not the first again."""


@dataclass(frozen=True, eq=False, slots=True)
class Outlines:
    """Outlines of all nuclei of an instance map, as one long list of points.

    Pixel (0, 0) covers the square from 0 to 1, so its centre is (0.5, 0.5).

    Parameters
    ----------
    points : (P, 2) float32
        x, y of the corners of all rings.
    starts : (R + 1,) int64
        Where each ring begins in `points`, and where the last ends.
    label : (R,) int32
        The nucleus that each ring belongs to.
    part : (R,) int32
        The piece of it: a nucleus in two pieces has rings of two parts.
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


def trace(labels: Labels) -> Outlines:
    """Trace every nucleus, through the middles of the sides of its outermost pixels.

    The line cuts the corners of the staircase, so it is smooth, and yet every pixel centre is on its right
    side: drawing the polygon gives the mask back. Pixels that meet only at a corner are different pieces;
    then no ring ever touches itself, and the polygons are valid whatever the mask. The work grows with the
    pixels, not with pixels times nuclei.

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
    parts = _pieces(labels)
    points, starts, part = _kernels.trace_rings(parts, _kernels.count_edges(parts))
    # The first ring that is met from the top is the outer one.
    is_hole = np.ones(len(part), np.bool_)
    is_hole[np.unique(part, return_index=True)[1]] = False
    label_of_part = np.zeros(int(parts.max(initial=0)) + 1, np.int32)
    label_of_part[parts] = labels
    return Outlines(points, starts, label_of_part[part], part, is_hole)


def _pieces(labels: Labels) -> NDArray[np.int32]:
    from skimage.measure import label

    return np.ascontiguousarray(label(labels, background=0, connectivity=1), np.int32)
