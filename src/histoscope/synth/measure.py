"""Measurements of a labelled tile, real or drawn: colour, chromatin, sharpness, noise, shapes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscope.labels import centroids
from histoscope.stain.density import DENSITY
from histoscope.synth.spec import StainSpec
from histoscope.types import Image, Labels, Mask, Sample

GLASS_DENSITY = 0.12
"""Mean optical density below which a pixel is glass."""
_EDGE_UM = 0.7
_HOLLOW = 0.82
_GREY = np.array([0.25, 0.5, 0.25], np.float32)

Values = dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """Size and shape of each nucleus of a tile: row k is id k + 1; ids without pixels have area 0.

    Parameters
    ----------
    area_um2 : (N,) float64
    log_axes : (N,) float64
        Logarithm of how much longer than wide: of the ellipse with the same second moments.
    x_um, y_um : (N,) float64
        Middle.
    at_border : (N,) bool
        Cut by the edge of the tile.
    """

    area_um2: NDArray[np.float64]
    log_axes: NDArray[np.float64]
    x_um: NDArray[np.float64]
    y_um: NDArray[np.float64]
    at_border: NDArray[np.bool_]


def shapes(instances: Labels, mpp: float) -> Shapes:
    """Measure the shape of every nucleus in one pass.

    Examples
    --------
    >>> labels = np.zeros((20, 30), np.int32)
    >>> labels[5:9, 4:20] = 1
    >>> found = shapes(labels, 0.5)
    >>> found.area_um2.tolist(), round(float(np.exp(found.log_axes[0])))
    ([16.0], 4)
    """
    n = int(instances.max(initial=0)) + 1
    row, column = np.nonzero(instances)
    ids = instances[row, column]
    area, centre = centroids(instances, n - 1)
    x, y = centre.T
    safe = np.maximum(area, 1)

    def mean(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(ids, values, minlength=n)[1:] / safe)

    dx, dy = column - x[ids - 1], row - y[ids - 1]
    # A pixel is a square, not a point: 1/12 on the diagonal.
    xx, yy, xy = mean(dx * dx) + 1 / 12, mean(dy * dy) + 1 / 12, mean(dx * dy)
    middle, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    log_axes = 0.5 * np.log((middle + spread) / np.maximum(middle - spread, 1e-9))
    border = np.zeros(n, np.bool_)
    for edge in (instances[0], instances[-1], instances[:, 0], instances[:, -1]):
        border[edge] = True
    return Shapes(area.astype(np.float64) * mpp**2, log_axes, (x + 0.5) * mpp, (y + 0.5) * mpp, border[1:])


def amounts(image: Image, stain: StainSpec) -> NDArray[np.float32]:
    """Haematoxylin and eosin at each pixel (H, W, 2), as optical density along the stain's vectors."""
    unit = stain.vectors().astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-9)
    split = np.linalg.pinv(unit).astype(np.float32)
    glass = np.log(255 / np.asarray(stain.glass_rgb, np.float32))
    return np.asarray((DENSITY.take(image) - glass) @ split, np.float32)


def glass_colour(image: Image) -> tuple[float, float, float]:
    """Colour of clear glass: of the brightest pixels, if there is glass at all."""
    bright = image.min(axis=2)
    clear = image[bright >= max(215.0, float(np.quantile(bright, 0.995)))]
    if len(clear) < 20:
        return (244.0, 242.0, 244.0)
    r, g, b = (float(np.clip(value, 200, 255)) for value in np.median(clear, axis=0))
    return (r, g, b)


def is_glass(image: Image, stain: StainSpec) -> Mask:
    """Pixels through which nearly all the light of clear glass passes."""
    glass = np.log(255 / np.asarray(stain.glass_rgb, np.float32)).mean()
    return np.asarray(DENSITY.take(image).mean(axis=2) - glass < GLASS_DENSITY)


def look(sample: Sample, stain: StainSpec) -> Values:
    """Measure colour, chromatin, sharpness and noise of a tile, over all kinds of nuclei.

    Parameters
    ----------
    sample : Sample
        With instances; at least one nucleus.
    stain : StainSpec
        Its dyes; all amounts are in their units.

    Returns
    -------
    dict of str to float
        ``h_nuclei``, ``e_nuclei``, ``h_between``, ``e_between`` (medians), ``h_within`` (spread inside
        nuclei, as a share of ``h_nuclei``), ``h_spread`` (spread of the logarithm between nuclei),
        ``hollow`` (share of nuclei paler inside than at their rim), ``glass`` (share of the area),
        ``sharpness``, ``noise``.
    """
    instances = np.asarray(sample.instances)
    dye, inside = amounts(sample.image, stain), instances > 0
    h, n = dye[..., 0], int(instances.max()) + 1
    glass = is_glass(sample.image, stain)
    between = ~inside & ~glass
    if between.sum() < 100:
        between = ~inside
    per = np.maximum(np.bincount(instances.ravel(), minlength=n), 1)
    mean = np.bincount(instances.ravel(), h.ravel(), minlength=n) / per
    present = np.bincount(instances.ravel(), minlength=n)[1:] > 0
    h_nuclei = max(float(np.median(h[inside])), 0.05)
    darkness = np.log(np.maximum(mean[1:][present] / h_nuclei, 0.05))
    sharpness, noise = grain(sample.image, inside, glass)
    return {
        "h_nuclei": h_nuclei,
        "e_nuclei": float(np.median(dye[..., 1][inside])),
        "h_between": float(np.median(dye[..., 0][between])) if between.any() else 0.0,
        "e_between": float(np.median(dye[..., 1][between])) if between.any() else 0.0,
        "h_within": float(np.std(h[inside] - mean[instances[inside]])) / h_nuclei,
        "h_spread": float(0.7413 * np.subtract(*np.percentile(darkness, (75, 25)))),
        "hollow": hollow(h, instances, sample.mpp),
        "glass": float((glass & ~inside).mean()),
        "sharpness": sharpness,
        "noise": noise,
    }


def hollow(h: NDArray[np.float32], instances: Labels, mpp: float) -> float:
    """Share of nuclei whose centre is clearly paler than their rim: open, vesicular chromatin."""
    import cv2

    inside = (instances > 0).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3) * mpp
    n = int(instances.max()) + 1
    means, counts = [], []
    for part in ((inside > 0) & (depth <= _EDGE_UM), depth > 1.6 * _EDGE_UM):
        ids = instances[part]
        counts.append(np.bincount(ids, minlength=n)[1:])
        means.append(np.bincount(ids, h[part], minlength=n)[1:] / np.maximum(counts[-1], 1))
    seen = (counts[0] > 4) & (counts[1] > 4)
    return float((means[1][seen] < _HOLLOW * means[0][seen]).mean()) if seen.any() else 0.0


def grain(image: Image, inside: Mask, glass: Mask) -> tuple[float, float]:
    """Sharpness (fine against coarse contrast in tissue) and noise (where it is smoothest)."""
    import cv2

    grey = image.astype(np.float32) @ _GREY / 255
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6  # of unit gain for white noise
    ripple = np.abs(cv2.filter2D(grey, -1, mask))
    smooth = glass if glass.mean() > 0.02 else ripple <= np.quantile(ripple, 0.5)
    noise = 1.4826 * float(np.median(ripple[smooth]))
    tissue = inside | ~glass
    fine = grey - cv2.blur(grey, (3, 3))
    coarse = grey - cv2.blur(grey, (9, 9))
    spread = float(np.std(coarse[tissue]))
    return float(np.std(fine[tissue])) / max(spread, 1e-6), noise


def of_kind(found: Shapes, kinds: NDArray[np.integer], area_mm2: float, names: Mapping[str, int]) -> Values:
    """Density, size and stretch of each kind of nucleus; nuclei cut by the border count for density by half.

    Parameters
    ----------
    found : Shapes
    kinds : (N,) integers
        Kind of each nucleus.
    area_mm2 : float
        Of the tile.
    names : mapping of str to int
        The kinds.
    """
    values: Values = {}
    there = found.area_um2 > 0
    for name, number in names.items():
        mine = there & (kinds == number)
        whole = mine & ~found.at_border
        values[f"{name}_per_mm2"] = float((mine.sum() + whole.sum()) / 2 / area_mm2)
        if whole.sum() >= 5:
            log_area = np.log(found.area_um2[whole])
            values[f"{name}_log_area"] = float(log_area.mean())
            values[f"{name}_log_area_sd"] = float(log_area.std())
            values[f"{name}_log_axes"] = float(found.log_axes[whole].mean())
    return values
