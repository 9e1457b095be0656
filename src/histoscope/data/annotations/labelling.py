"""Label maps of crops, and the outcome for each nucleus."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from histoscope.data.annotations.crops import Crop
from histoscope.data.annotations.drawing import draw_polygons, mask_of
from histoscope.types import Image, Labels

_GLASS = 255
OUTSIDE = "nucleus outside of all images"


class Fates:
    """The outcome for each nucleus of a slide, over all its images."""

    OUTSIDE, TINY, HIDDEN, SEEN = range(4)

    def __init__(self, n: int) -> None:
        self.best = np.zeros(n, np.int8)
        self.n_images = np.zeros(n, np.int64)
        self.is_overlapped, self.is_cut = np.zeros(n, bool), np.zeros(n, bool)

    def counts(self) -> Counter[str]:
        """Number of nuclei that were lost or changed, by reason."""
        return Counter(
            {
                OUTSIDE: int((self.best == self.OUTSIDE).sum()),
                "nucleus smaller than a pixel": int((self.best == self.TINY).sum()),
                "nucleus hidden by others": int((self.best == self.HIDDEN).sum()),
                "nucleus under smaller ones, which keep their pixels": int(self.is_overlapped.sum()),
                "nucleus cut by the edge of an image": int(self.is_cut.sum()),
                "nucleus in several images": int((self.n_images > 1).sum()),
            }
        )


def labelled(
    image: Image,
    crop: Crop,
    polygons: NDArray[np.object_],
    scale: tuple[float, float],
    number: NDArray[np.int64],
    fates: Fates,
) -> tuple[Image, Labels, NDArray[np.int64]]:
    """Image and label map of a crop, white outside the region, and the nuclei of its ids."""
    import shapely

    corner, shape = np.array(crop.box[:2], float), image.shape[:2]
    placed = shapely.transform(polygons, lambda points: points / scale - corner)
    drawn = draw_polygons(placed, shape)
    labels, seen = drawn.labels, drawn.seen_px
    if crop.region is not None:
        mask = mask_of(shapely.transform(crop.region, lambda points: points - corner), shape)
        if not mask.all():
            image = np.where(mask[..., None], image, np.uint8(_GLASS))
            labels[~mask] = 0
            seen = np.bincount(labels.ravel(), minlength=len(polygons) + 1)[1:]
    box = shapely.bounds(placed)
    # Half a pixel beyond the edge there is no pixel centre.
    reaches_out = (box[:, :2] < -0.5).any(axis=1) | (box[:, 2:] > np.array(shape[::-1]) + 0.5).any(axis=1)
    is_seen, is_covered = seen > 0, (drawn.own_px > 0) & (drawn.seen_px == 0)
    is_tiny = (drawn.own_px == 0) & ~reaches_out
    fate = np.select([is_seen, is_covered, is_tiny], [fates.SEEN, fates.HIDDEN, fates.TINY], fates.OUTSIDE)
    fates.best[number] = np.maximum(fates.best[number], fate)
    fates.n_images[number] += is_seen
    fates.is_overlapped[number] |= is_seen & (drawn.own_px > drawn.seen_px)
    fates.is_cut[number] |= is_seen & (reaches_out | (seen < drawn.seen_px))
    new_id = np.append(0, np.cumsum(is_seen)).astype(np.int32)
    new_id[1:][~is_seen] = 0
    return image, new_id[labels], number[is_seen]
