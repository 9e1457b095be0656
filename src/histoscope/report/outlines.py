"""Outlines of nuclei: as SVG paths for the page, and on the image for files."""

from collections.abc import Sequence

import cv2
import numpy as np

from histoscope.errors import ShapeError
from histoscope.nuclei.outlines import Ring, trace
from histoscope.types import Image, Labels

TRUE_COLOUR = "#00e5ff"
PRED_COLOUR = "#ffe11a"


def contours(labels: Labels) -> list[Ring]:
    """Trace the outer outline of every nucleus, through the middles of the edges of its outermost pixels.

    Parameters
    ----------
    labels : (H, W) int32
        Instance map; 0 is background.

    Returns
    -------
    list of (N, 2) float32
        x, y in pixels, where pixel (0, 0) covers the square from 0 to 1.

    Examples
    --------
    >>> square = np.zeros((5, 5), np.int32)
    >>> square[1:4, 1:4] = 7
    >>> outline, = contours(square)
    >>> outline.min(0).tolist(), outline.max(0).tolist()
    ([1.0, 1.0], [4.0, 4.0])
    """
    found = trace(labels)
    return [ring for ring, is_hole in zip(found.rings(), found.is_hole, strict=True) if not is_hole]


def svg_path(labels: Labels, *, tolerance_px: float = 0.3) -> str:
    """Write the outlines of all nuclei as the ``d`` of one SVG path, simplified to `tolerance_px`.

    Examples
    --------
    >>> square = np.zeros((5, 5), np.int32)
    >>> square[1:4, 1:4] = 7
    >>> svg_path(square)
    'M1.5 1L3.5 1L4 1.5L4 3.5L3.5 4L1.5 4L1 3.5L1 1.5Z'
    """
    parts = []
    for outline in contours(labels):
        simple = cv2.approxPolyDP(outline[:, None, :], tolerance_px, closed=True)[:, 0, :]
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
