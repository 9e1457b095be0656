"""Stain shifts of the test images under each condition of a study."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from histoscope import stain
from histoscope.studies.study import TYPICAL, Condition
from histoscope.types import Image

Recolor: TypeAlias = Callable[[Image], Image]


def unchanged(image: Image) -> Image:
    """Give the image back."""
    return image


def restainer(condition: Condition) -> Recolor:
    """Make what a condition does to an image before a laboratory sees it.

    The shift is one map of optical density for all images, as another reagent or scanner is one for all
    slides. It uses no estimate of an image's own stains: one made by Macenko's method would be easiest for
    Macenko to undo.
    """
    if not condition.shifted:
        return unchanged
    typical = stain.StainEstimate(np.array(TYPICAL), np.ones(2))
    wanted = np.array(condition.stains or TYPICAL)

    def restain(image: Image) -> Image:
        return stain.restain(image, wanted, condition.amounts or (1.0, 1.0), source=typical)

    return restain
