"""Detection of pen strokes, on glass or over tissue.

Where a pen crosses tissue, light passes through both, and the mark may have any colour. But densities add up:
all along its edge, ink adds the same step to whatever lies below, and it does so at once. Regions of tissue
differ from what surrounds them by steps that vary from place to place.

Strokes are looked for in the density of red, in that of green and blue, and across the plane in which the
colours of haematoxylin and eosin lie: tissue has hardly any texture across it, and most inks lie outside it.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope.stain.deconvolution import TYPICAL
from histoscope.stain.density import by_table
from histoscope.stain.glass import thumbnail
from histoscope.types import Image, Mask

_STEP, _STEP_ACROSS = 0.15, 0.04  # of density between thresholds: half of the least step that shows
_LEVELS = 12
_HIGHEST = 3.0  # density, beyond which there is noise alone
_LEAST_SHARE, _MOST_SHARE = 0.01, 0.6  # of the image
_LEAST_EXTENT = 0.3  # of its longer side
_LEAST_STABLE = 0.55
_FEWEST_WINDOWS = 24  # of a side; in smaller images a nucleus is as large as a stroke
_NEAR, _AROUND = np.ones((3, 3), np.uint8), np.ones((7, 7), np.uint8)

# Weights of a logistic regression on regions of 1500 drawn strokes and of 1100 images without any.
_OF_BAND, _OF_STABLE = 3.0, 2.5
_LEAST_EVIDENCE, _LEAST_IF_LIKE_TISSUE = 2.7, 4.3
_CLEAREST = 50.0  # steps, over their spread; beyond, the shape decides


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
    if min(found.shape) >= _FEWEST_WINDOWS:
        density = np.minimum(by_table(cv2.medianBlur(small, 3), table), np.float32(_HIGHEST))
        scored = [
            (_evidence(region, stable, density), region)
            for level in _maps(density)
            for _, region, stable in _stable_regions(level)
        ]
        for evidence, region in sorted(scored, key=lambda pair: -pair[0]):
            # A lower threshold gives the stroke with tissue beside it, which is less of a stroke.
            if evidence >= 0.0 and not found[region].any():
                found |= region
    found.setflags(write=False)
    return found


def _maps(density: NDArray[np.float32]) -> Iterator[NDArray[np.uint8]]:
    """Maps in which strokes are high, in steps of (3, h, w) density."""
    red, green, blue = density
    for absorbed in (red, np.minimum(green, blue)):  # every ink absorbs either red, or both others, or ...
        yield _in_steps(absorbed / np.float32(_STEP) - np.float32(1.0))
    across = np.tensordot(_across(density), density, 1)  # ... in another proportion than tissue does
    across = (across - np.median(across[::2, ::2])) / np.float32(_STEP_ACROSS)
    for side in (across, -across):
        yield _in_steps(side)


def _in_steps(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(values, 0, _LEVELS).astype(np.uint8)


def _across(density: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit normal of the plane of the tissue's colours: the direction in which neighbours differ least."""
    parts = np.diff(density[:, :, ::2], axis=1), np.diff(density[:, ::2], axis=2)
    steps = np.concatenate([part.reshape(3, -1) for part in parts], axis=1)
    steps /= np.sqrt(np.einsum("ij,ij->j", steps, steps) + np.float32(0.01))  # sharp edges count no more
    scatter = steps @ steps.T / steps.shape[1] + 0.02 * TYPICAL.T @ TYPICAL
    return np.asarray(np.linalg.eigh(scatter)[1][:, 0], np.float32)


def _stable_regions(level: NDArray[np.uint8]) -> Iterator[tuple[int, Mask, float]]:
    """Connected regions at or above each threshold that hardly shrink up to the next; the highest first.

    Each with its threshold, and the share of it that is above.
    """
    least = _LEAST_SHARE * level.size
    reached = np.cumsum(np.bincount(level.ravel(), minlength=_LEVELS + 2)[::-1])[::-1]  # pixels, by threshold
    for threshold in range(_LEVELS, 0, -1):
        if reached[threshold + 1] < _LEAST_STABLE * least or reached[threshold] == level.size:
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
            above = np.bincount(regions[level > threshold], minlength=n) / area
            for region in np.flatnonzero(fits & (above >= _LEAST_STABLE)):
                yield threshold, regions == region, float(above[region])


def keep_strokes(out: NDArray[Any], old: NDArray[Any], image: Image, table: NDArray[np.float32]) -> None:
    """Restore `old` in `out`, both (H, W, ...), at pen strokes of `image` and their rims; in place."""
    if not image.size:
        return
    found = strokes(thumbnail(image), table)
    if found.any():
        rim = cv2.resize(found.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.1
        out[rim] = old[rim]


def _evidence(region: Mask, stable: float, density: NDArray[np.float32]) -> float:
    """How far a region is a band, all along whose edge density rises by the same step; from 0 on a stroke."""
    inside = region.astype(np.uint8)
    filled, roughness = _band(inside)
    of_shape = _OF_BAND * min(np.log(filled), 0.0) - np.log(roughness) + _OF_STABLE * stable
    if of_shape + np.log(_CLEAREST) < _LEAST_EVIDENCE:
        return -np.inf
    steps, glass = _edge(inside, density)
    if steps.shape[1] < _AROUND.size // 4:
        return -np.inf
    red, green, blue = step = steps.mean(axis=1)
    if step.max() < max(_STEP, -step.min()):  # brighter than what surrounds it
        return -np.inf
    apart = steps - step[:, None]
    spread = apart @ apart.T / steps.shape[1] + 1e-4 * np.eye(3)
    of_edge = min(0.5 * np.log(step @ np.linalg.solve(spread, step)), np.log(_CLEAREST))
    # Tissue on glass has a step all around, too, and so have bone and blood, which absorb little red.
    of_ink = red > 1.05 * green or min(red, blue) > 0.6 * green
    like_tissue = (glass and not of_ink) or (red < 0.02 and min(green, blue) > _STEP)
    return float(of_shape + of_edge - (_LEAST_IF_LIKE_TISSUE if like_tissue else _LEAST_EVIDENCE))


def _band(inside: NDArray[np.uint8]) -> tuple[float, float]:
    """Area and number of windows at the sides of a region, over those of a straight band and its length."""
    padded = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    depths = np.sort(depth[inside > 0])
    width = 2.0 * depths[int(0.98 * (len(depths) - 1))]
    length, area = np.hypot(*cv2.boundingRect(inside)[2:]), cv2.countNonZero(inside)
    sides = area - cv2.countNonZero(cv2.erode(inside, _NEAR, borderType=cv2.BORDER_REPLICATE))
    return float(area / (width * length)), float(max(sides, 1) / length)


def _edge(inside: NDArray[np.uint8], density: NDArray[np.float32]) -> tuple[NDArray[np.float32], bool]:
    """Steps of density, (3, N), from outside to inside along the edge; and whether there is glass outside."""
    near, core = cv2.dilate(inside, _NEAR), cv2.erode(inside, _NEAR)
    outer = cv2.dilate(inside, _AROUND) - near
    edge = near > inside
    means = []
    for part in (core if 4 * cv2.countNonZero(core) >= cv2.countNonZero(inside) else inside, outer):
        count = _sums(part.astype(np.float32))
        edge &= count > 3.5
        means.append(np.stack([_sums(part * channel) for channel in density]) / np.maximum(count, 1.0))
    beside = density.mean(axis=0)[outer > 0]
    steps = np.asarray((means[0] - means[1])[:, edge], np.float32)
    return steps, bool((beside < _STEP).mean() >= 0.5) if beside.size else False


def _sums(values: NDArray[np.float32]) -> NDArray[np.float32]:
    size = _AROUND.shape
    return np.asarray(cv2.boxFilter(values, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT))
