"""Morphometry: size, shape and stain of every nucleus, as a table.

Shapes match scikit-image's ``regionprops``, from the pixels in each outline: no label map is needed.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscope.class_names import UNSURE
from histoscope.errors import ShapeError
from histoscope.export import _kernels
from histoscope.stain.deconvolution import RUIFROK, check_stains
from histoscope.stain.density import DENSITY, check
from histoscope.threads import over
from histoscope.types import Image, Nuclei

_LEAST = 200  # nuclei from which another thread is worthwhile
NO_CLASS = "nucleus"
"""Class name of nuclei without a class."""


def measure(nuclei: Nuclei, image: Image, classes: Sequence[str] = ()) -> pd.DataFrame:
    """Measure every nucleus.

    Parameters
    ----------
    nuclei : Nuclei
    image : (H, W, 3) uint8
        The image that they were found in.
    classes : sequence of str
        Names of class 1, 2, ...

    Returns
    -------
    DataFrame
        One row per nucleus: ``id`` in the label map, ``class``, ``probability``; ``x_um`` and ``y_um`` of its
        centroid from the image's top left corner; ``area_um2``; ``perimeter_um`` by Crofton's formula;
        ``major_axis_um`` and ``minor_axis_um`` of the ellipse with the same second moments; its
        ``eccentricity`` (0 circle, 1 line); ``solidity``, the share of the convex hull that it fills;
        ``circularity``, 4 pi area / perimeter², at most 1; ``haematoxylin_od``, the mean optical density of
        haematoxylin, separated with the published vectors [1]_. Values of a nucleus without a pixel
        are NaN.

    Raises
    ------
    ShapeError
        If nuclei, table and image do not fit together.

    References
    ----------
    .. [1] Ruifrok and Johnston, Analytical and Quantitative Cytology and Histology 23(4), 2001.

    Examples
    --------
    >>> labels = np.zeros((20, 20), np.int32)
    >>> labels[5:15, 5:15] = 1
    >>> one = np.ones(1)
    >>> centre = np.full((1, 2), 9.5, np.float32)
    >>> nuclei = Nuclei(centre, one.astype(np.uint8), one.astype(np.float32), labels, 0.5)
    >>> table = measure(nuclei, np.full((20, 20, 3), (92, 54, 138), np.uint8), ["epithelial"])
    >>> table[["class", "x_um", "area_um2", "solidity"]].to_dict("records")
    [{'class': 'epithelial', 'x_um': 5.0, 'area_um2': 25.0, 'solidity': 1.0}]
    """
    image, mpp = check(image), nuclei.mpp
    sums, corner, perimeter, convex = _shapes(nuclei, image)
    with np.errstate(invalid="ignore", divide="ignore"):  # a nucleus without a pixel is NaN
        area, mean = sums[:, 0], sums[:, 1:] / sums[:, :1]
        x, y, xx, yy, xy, haematoxylin = mean.T
        major, minor = _axes(xx - x**2, yy - y**2, xy - x * y)
        circularity = np.minimum(4 * np.pi * area / perimeter**2, 1.0)
        columns = {
            "x_um": (x + corner[:, 0] + 0.5) * mpp,
            "y_um": (y + corner[:, 1] + 0.5) * mpp,
            "area_um2": area * mpp**2,
            "perimeter_um": perimeter * mpp,
            "major_axis_um": major * mpp,
            "minor_axis_um": minor * mpp,
            "eccentricity": np.sqrt(np.maximum(1 - np.where(major > 0, minor / major, 1.0) ** 2, 0.0)),
            "solidity": area / convex,
            "circularity": circularity,
            "haematoxylin_od": haematoxylin,
        }
    empty = area == 0
    for values in columns.values():
        values[empty] = np.nan
    names = class_names(nuclei, classes)
    head = {
        "id": np.arange(1, len(nuclei) + 1),
        "class": names,
        "probability": nuclei.probability.astype(np.float64),
    }
    return pd.DataFrame(head | columns)


def unclassed(classes: Sequence[str]) -> str:
    """Name for nuclei without a class."""
    return NO_CLASS if NO_CLASS not in classes else f"{NO_CLASS} without a class"


def class_names(nuclei: Nuclei, classes: Sequence[str]) -> NDArray[np.object_]:
    """Name of the class of each nucleus; for class 0, `unsure` if a model was, otherwise `NO_CLASS`.

    Raises
    ------
    ShapeError
        If there is a class without a name.
    """
    zero = UNSURE if classes and nuclei.may_be_unsure else unclassed(classes)
    known = np.array([zero, *classes], object)
    top = int(nuclei.class_id.max(initial=0))
    if classes and top >= len(known):
        raise ShapeError(
            f"class ids go up to {top}, but there are {len(classes)} names: {', '.join(classes)}"
        )
    if top >= len(known):
        known = np.array([NO_CLASS, *(f"class {k}" for k in range(1, top + 1))], object)
    return known[nuclei.class_id]


def _shapes(nuclei: Nuclei, image: Image) -> list[NDArray[np.float64]]:
    """Sums, first pixel, perimeter and convex pixels of each nucleus; 0 for one without a pixel."""
    n, outlines = len(nuclei), nuclei.outlines
    by = outlines.by_nucleus
    top = int(by.ids.max(initial=0))
    beyond = by.box.min(initial=0) < 0 or (by.box[:, 2:] > image.shape[:2]).any()
    if nuclei.shape != image.shape[:2] or top > n or beyond:
        raise ShapeError(
            f"nuclei have shape {nuclei.shape} and ids up to {top}; expected {image.shape[:2]}, as the "
            f"image, and ids 1 to {n}, the rows of the table"
        )
    geometry = outlines.points, outlines.starts, by.order, by.first, by.box
    parts = over(_kernels.shapes, len(by.ids), _LEAST, *geometry, image, _haematoxylin())
    found = []
    for of_parts in zip(*parts, strict=True):
        values = np.concatenate(of_parts)
        every = np.zeros((n, *values.shape[1:]), np.float64)
        every[by.ids - 1] = values
        found.append(every)
    return found


def _haematoxylin() -> NDArray[np.float64]:
    """Amount of haematoxylin for each level of R, G and B."""
    share = np.linalg.pinv(check_stains(RUIFROK[:2]))[:, 0]
    return np.ascontiguousarray(share[:, None] * DENSITY.astype(np.float64))


def _axes(
    xx: NDArray[np.float64], yy: NDArray[np.float64], xy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths of the axes of the ellipse with these second moments."""
    middle, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return 4 * np.sqrt(middle + spread), 4 * np.sqrt(np.maximum(middle - spread, 0.0))
