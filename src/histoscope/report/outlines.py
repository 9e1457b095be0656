"""Outlines of nuclei: as SVG paths for the page, and drawn into pixels for files."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ShapeError
from histoscope.types import Image, Labels

TRUE_COLOUR = "#00e5ff"
PRED_COLOUR = "#ffe11a"


def contours(labels: Labels) -> list[NDArray[np.float64]]:
    """Trace the outer outline of every nucleus, through the middles of the edges of its outermost pixels.

    Parameters
    ----------
    labels : (H, W) int32
        Instance map; 0 is background.

    Returns
    -------
    list of (N, 2) float64
        x, y in pixels, where pixel (0, 0) covers the square from 0 to 1.

    Examples
    --------
    >>> square = np.zeros((5, 5), np.int32)
    >>> square[1:4, 1:4] = 7
    >>> outline, = contours(square)
    >>> outline.min(0).tolist(), outline.max(0).tolist()
    ([1.0, 1.0], [4.0, 4.0])
    """
    if labels.ndim != 2:
        raise ShapeError(f"label map has shape {labels.shape}, expected (H, W)")
    found = []
    for label, (rows, columns) in _boxes(labels):
        mask = np.pad(labels[rows, columns] == label, 1).astype(np.uint8)
        # doubling the pixels lets the corners of a traced outline fall on pixel edges
        fine = cv2.resize(mask, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        for trace in cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
            edge = np.floor((trace[:, 0, :].astype(np.float64) + 1.0) / 2.0)
            edge = edge[(edge != np.roll(edge, 1, axis=0)).any(axis=1)]
            middles = (edge + np.roll(edge, 1, axis=0)) / 2.0  # of edges: a line without the staircase
            found.append(middles - 1.0 + (columns.start, rows.start))
    return found


def svg_path(labels: Labels, *, tolerance_px: float = 0.3) -> str:
    """Write the outlines of all nuclei as the ``d`` of one SVG path, simplified to `tolerance_px`.

    Examples
    --------
    >>> square = np.zeros((5, 5), np.int32)
    >>> square[1:4, 1:4] = 7
    >>> svg_path(square)
    'M1.5 1L1 1.5L1 3.5L1.5 4L3.5 4L4 3.5L4 1.5L3.5 1Z'
    """
    parts = []
    for outline in contours(labels):
        simple = cv2.approxPolyDP(outline.astype(np.float32)[:, None, :], tolerance_px, closed=True)[:, 0, :]
        parts.append("M" + "L".join(f"{x:g} {y:g}" for x, y in simple) + "Z")
    return "".join(parts)


def draw(image: Image, layers: Sequence[tuple[Labels, str, int]], *, zoom: int = 1) -> Image:
    """Copy `image`, enlarged `zoom` times, with smooth outlines of nuclei on it.

    Parameters
    ----------
    image : (H, W, 3) uint8
    layers : sequence of (labels, colour, width_px)
        (H, W) int32, ``#rrggbb``, and the thickness of the drawn lines; later layers lie on top.
    zoom : int
        Enlargement.

    Raises
    ------
    ShapeError
        If a label map has another size than the image.
    """
    canvas = (
        cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC) if zoom > 1 else image.copy()
    )
    shift = 4  # OpenCV's sub-pixel coordinates: sixteenths
    for labels, colour, width_px in layers:
        if image.shape[:2] != labels.shape:
            raise ShapeError(
                f"label map is {labels.shape}, its image {image.shape[:2]}; they must have the same size"
            )
        rgb = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
        lines = [np.rint((outline * zoom - 0.5) * 2**shift).astype(np.int32) for outline in contours(labels)]
        cv2.polylines(canvas, lines, True, rgb, width_px, cv2.LINE_AA, shift)  # noqa: FBT003 - OpenCV's own order
    return np.ascontiguousarray(canvas, dtype=np.uint8)


def _boxes(labels: Labels) -> list[tuple[int, tuple[slice, slice]]]:
    from scipy.ndimage import find_objects

    return [(i, box) for i, box in enumerate(find_objects(labels), start=1) if box is not None]
