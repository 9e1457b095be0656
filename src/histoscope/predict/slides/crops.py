"""Patches of a slide for a classifier, cut out of larger pieces that are read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.predict.patch_classifier import PatchClassifier
from histoscope.slides import Box
from histoscope.types import Image, Sample


@dataclass(frozen=True, eq=False, slots=True)
class Crops(Sequence[Sample]):
    """Crops of an image that is a part of a slide.

    Parameters
    ----------
    image : (h, w, 3) uint8
    around : Box
        Where the image lies, in pixels of its resolution.
    box_px : (N, 4) int64
        Left, top, right and bottom edge of each crop, in the same pixels.
    mpp : float
        Micrometres per pixel.

    Examples
    --------
    >>> crops = Crops(np.eye(3, dtype=np.uint8)[..., None], Box(5, 5, 3, 3), np.array([[6, 5, 8, 7]]), 0.5)
    >>> crops[0].image[..., 0].tolist()
    [[0, 0], [1, 0]]
    """

    image: Image
    around: Box
    box_px: NDArray[np.int64]
    mpp: float

    def __len__(self) -> int:
        return len(self.box_px)

    def __getitem__(self, index: Any) -> Any:
        left, top, right, bottom = (self.box_px[index] - (*self.around[:2], *self.around[:2])).tolist()
        return Sample(self.image[top:bottom, left:right], self.mpp)


def probabilities(classifier: PatchClassifier, patches: Sequence[Sample]) -> NDArray[np.float32]:
    """(N, C) probabilities of patches that are through the stain normaliser already."""
    found = np.zeros((len(patches), len(classifier.classes)), np.float32)
    for seen in classifier.through(patches):
        found[seen.indices] = seen.values
    return found
