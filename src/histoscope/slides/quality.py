"""Quality of a slide: focus and strength of the stain."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from histoscope import stain
from histoscope.errors import StainError
from histoscope.types import Image

BLURRED = 0.05
"""Focus below which tissue looks out of focus at 0.5 um per pixel."""


def focus(image: Image) -> float:
    """Share of an image's contrast that is between neighbouring pixels; low if it is out of focus.

    It is the variance of the Laplacian divided by that of the grey levels, so that a pale stain does not
    count as blur [1]_.

    References
    ----------
    .. [1] Pech-Pacheco et al., ICPR 2000, doi:10.1109/ICPR.2000.903548

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sharp = rng.integers(0, 256, (64, 64, 1), np.uint8).repeat(3, axis=2)
    >>> soft = cv2.GaussianBlur(sharp, (0, 0), 2)
    >>> focus(sharp) > 10 * focus(soft)
    True
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    spread = float(grey.var())
    return float(cv2.Laplacian(grey, cv2.CV_32F).var()) / spread if spread > 1.0 else 0.0


def quality_of(tiles: Sequence[Image]) -> dict[str, Any]:
    """Scores of a slide, from some tiles of its tissue at one resolution.

    Returns
    -------
    dict
        ``focus``, the median of the tiles; ``haematoxylin_od`` and ``eosin_od``, the 99th percentiles of the
        amounts of stain; ``stain_notes``, limitations of the estimate. Without enough tissue they are NaN.
    """
    known = [focus(tile) for tile in tiles]
    row: dict[str, Any] = {"focus": round(float(np.median(known)), 4) if known else np.nan}
    row |= {"haematoxylin_od": np.nan, "eosin_od": np.nan, "stain_notes": ""}
    try:
        estimate = stain.Macenko.estimate(list(tiles))
    except StainError as error:
        return row | {"stain_notes": str(error).partition(";")[0]}
    amounts = np.asarray(estimate.amounts, float)
    row |= {"haematoxylin_od": round(float(amounts[0]), 4), "eosin_od": round(float(amounts[1]), 4)}
    return row | {"stain_notes": "; ".join(estimate.notes)}
