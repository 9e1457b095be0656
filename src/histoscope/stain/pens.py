"""Detection of pen strokes, on glass or over tissue.

Where a pen crosses tissue, light passes through both, and the mark may have any colour. It is detected by its
shape, a long band, and by its edge, along which density rises by about the same step. So the band is the same
region for all thresholds within the step, which regions of tissue are not.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope.stain.density import by_table
from histoscope.stain.glass import thumbnail
from histoscope.types import Image, Mask

_STEP = 0.15  # of density between thresholds: half of the least step that shows
_LEVELS = 12
_LEAST_SHARE, _MOST_SHARE = 0.01, 0.6  # of the image
_LEAST_EXTENT = 0.3  # of its longer side
_FEWEST_WINDOWS = 24  # of a side; in smaller images a nucleus is as large as a stroke
_LEAST_EDGE, _LEAST_EDGE_OF_INK = 0.8, 0.55
_WIDEST = 0.3  # as a share of the length
_NEAR, _AROUND = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8)


def strokes(small: Image, table: NDArray[np.float32]) -> Mask:
    """(h, w) mask of pen strokes in a `thumbnail`, with the densities of `density_below`.

    Examples
    --------
    >>> from histoscope.stain.density import density_below
    >>> small = np.full((40, 40, 3), (200, 120, 180), np.uint8)
    >>> small[10:14] = 110, 65, 90  # half of the light is held back
    >>> strokes(small, density_below(np.full(3, 255.0))).any(axis=1).nonzero()[0].tolist()
    [10, 11, 12, 13]
    """
    return _strokes(small.tobytes(), small.shape, table.tobytes())


@lru_cache(maxsize=16)
def _strokes(levels: bytes, shape: tuple[int, int, int], densities: bytes) -> Mask:
    """Cached: an image needs it for its estimate, and again when it is mapped."""
    small = np.frombuffer(levels, np.uint8).reshape(shape)
    table = np.frombuffer(densities, np.float32).reshape(3, -1)
    found = np.zeros(shape[:2], np.bool_)
    if min(found.shape) < _FEWEST_WINDOWS:
        return _fixed(found)
    steps = np.clip(table / _STEP - 1.0, 0, _LEVELS).astype(np.uint8)
    red, green, blue = cv2.split(cv2.LUT(cv2.medianBlur(small, 3), np.ascontiguousarray(steps.T)[None]))
    for level in (red, np.minimum(green, blue)):  # every ink absorbs either red, or both others
        for threshold, region in _stable_regions(level):
            if not found[region].all() and _is_stroke(region, level, threshold, small, table):
                found |= region
    return _fixed(found)


def _fixed(mask: Mask) -> Mask:
    mask.setflags(write=False)
    return mask


def _stable_regions(level: NDArray[np.uint8]) -> Iterator[tuple[int, Mask]]:
    """Connected regions at or above each threshold that hardly shrink up to the next; the highest first."""
    least = _LEAST_SHARE * level.size
    reached = np.cumsum(np.bincount(level.ravel(), minlength=_LEVELS + 2)[::-1])[::-1]  # pixels, by threshold
    for threshold in range(_LEVELS, 0, -1):
        if reached[threshold + 1] < _LEAST_EDGE_OF_INK * least or reached[threshold] == level.size:
            continue
        n, regions, boxes, _ = cv2.connectedComponentsWithStats(
            (level >= threshold).view(np.uint8), connectivity=4
        )
        area = boxes[:, cv2.CC_STAT_AREA]
        length = boxes[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)
        fits = (area >= least) & (area <= _MOST_SHARE * level.size)
        fits &= length >= _LEAST_EXTENT * max(level.shape)
        fits[0] = False  # the background
        if fits.any():
            above = np.bincount(regions[level > threshold], minlength=n)
            for region in np.flatnonzero(fits & (above >= _LEAST_EDGE_OF_INK * area)):
                yield threshold, regions == region


def keep_strokes(out: NDArray[Any], old: NDArray[Any], image: Image, table: NDArray[np.float32]) -> None:
    """Restore `old` in `out`, both (H, W, ...), at pen strokes of `image` and their rims; in place."""
    if not image.size:
        return
    found = strokes(thumbnail(image), table)
    if found.any():
        rim = cv2.resize(found.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.1
        out[rim] = old[rim]


def _is_stroke(
    region: Mask, level: NDArray[np.uint8], threshold: int, small: Image, table: NDArray[np.float32]
) -> bool:
    """Whether a region is a band with a sharp edge, and darker than tissue around it by the same step."""
    inside = region.astype(np.uint8)
    around = (cv2.dilate(inside, _AROUND) > 0) & (cv2.dilate(inside, _NEAR) == 0)
    if not around.any():
        return False
    edge = (level[region] > threshold).mean() - (level[around] >= threshold - 1).mean()
    if edge < _LEAST_EDGE_OF_INK:
        return False
    density, beside = (by_table(small[part], table) for part in (region, around))
    red, green, blue = density.mean(axis=1) - beside.mean(axis=1)
    # Haematoxylin and eosin absorb green most; an island of tissue on glass has a sharp edge, too.
    on_glass = (beside.mean(axis=0) < _STEP).mean() >= 0.5
    of_ink = red > (1.05 if on_glass else 1.25) * min(green, 3.5) or min(red, blue) > 0.6 * green
    sharp = edge >= (_LEAST_EDGE if on_glass or not of_ink else _LEAST_EDGE_OF_INK)
    return bool(sharp and (of_ink or not on_glass) and red >= 0.02) and _is_band(inside)


def _is_band(inside: NDArray[np.uint8]) -> bool:
    """Whether a region is long, of one width, and with smooth sides."""
    padded = np.pad(inside, 1, mode="edge")
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    width = 2.0 * np.percentile(depth[inside > 0], 98)
    rows, columns = (np.ptp(np.flatnonzero(inside.any(axis=axis))) + 1 for axis in (1, 0))
    length = np.hypot(rows, columns)
    sides = inside.sum() - cv2.erode(inside, _NEAR, borderType=cv2.BORDER_REPLICATE).sum()
    area = inside.sum() / (width * length)
    return bool(width < _WIDEST * length and 0.35 <= area <= 2.6 and sides < 5.6 * length)
