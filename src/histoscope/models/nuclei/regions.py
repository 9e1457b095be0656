"""Instance map -> background / inside / boundary, and back by a watershed.

Touching nuclei would melt into one blob in a plain foreground mask. A third class, the rim of each nucleus,
keeps their insides apart, so that each inside can seed a watershed that grows back to the whole nucleus.

References
----------
.. [1] Kumar et al., IEEE TMI 36(7), 2017, doi:10.1109/TMI.2017.2677499
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from histoscope.labels import centroids, relabel
from histoscope.types import Labels, Nuclei

BACKGROUND, INSIDE, BOUNDARY = 0, 1, 2
MIN_AREA_UM2 = 4.0
"""Smaller blobs are no nuclei: a lymphocyte, the smallest common one, has about 25 um2."""


def from_labels(instances: Labels) -> NDArray[np.uint8]:
    """Regions of an instance map.

    Parameters
    ----------
    instances : (H, W) int32

    Returns
    -------
    (H, W) uint8
        0 background, 1 inside, 2 boundary: the pixels of a nucleus with a 4-neighbour outside of it.
        The edge of the image is not a boundary.

    Examples
    --------
    >>> labels = np.zeros((5, 5), np.int32)
    >>> labels[1:4, 1:4] = 7
    >>> from_labels(labels)[1:4, 1:4]
    array([[2, 2, 2],
           [2, 1, 2],
           [2, 2, 2]], dtype=uint8)
    """
    differs = np.zeros(instances.shape, bool)
    vertical = instances[1:] != instances[:-1]
    horizontal = instances[:, 1:] != instances[:, :-1]
    differs[1:] |= vertical
    differs[:-1] |= vertical
    differs[:, 1:] |= horizontal
    differs[:, :-1] |= horizontal
    foreground = instances > 0
    regions = foreground.astype(np.uint8)
    regions[foreground & differs] = BOUNDARY
    return regions


def to_labels(probability: NDArray[np.float32], mpp: float) -> Labels:
    """Instance map of region probabilities, by a watershed from the insides.

    Parameters
    ----------
    probability : (3, H, W) float32
        Of background, inside and boundary; they sum to one.
    mpp : float
        Micrometres per pixel.

    Returns
    -------
    (H, W) int32
        Ids 1..N without gaps.
    """
    from skimage.segmentation import watershed

    min_area_px = MIN_AREA_UM2 / mpp**2
    foreground = _drop_small(probability[BACKGROUND] < 0.5, min_area_px)
    foreground = ndimage.binary_fill_holes(foreground)
    # Where the rim is fainter than the inside, a nucleus has its core.
    cores = (
        foreground
        & (probability[INSIDE] > probability[BOUNDARY])
        & (probability[INSIDE] > probability[BACKGROUND])
    )
    markers, n = ndimage.label(_drop_small(cores, min_area_px / 2))
    # A nucleus too thin to have a core seeds itself.
    blobs, n_blobs = ndimage.label(foreground)
    seeded = np.zeros(n_blobs + 1, bool)
    seeded[blobs[markers > 0]] = True
    lonely = foreground & ~seeded[blobs]
    markers[lonely] = blobs[lonely] + n
    labels = watershed(-probability[INSIDE], markers, mask=foreground)
    return relabel(labels, np.bincount(labels.ravel())[1:] >= min_area_px)[0]


def to_nuclei(probability: NDArray[np.float32], mpp: float) -> Nuclei:
    """Nuclei of region probabilities, with centroid and mean foreground probability of each.

    Parameters
    ----------
    probability : (3, H, W) float32
    mpp : float
        Micrometres per pixel.
    """
    instances = to_labels(probability, mpp)
    n = int(instances.max(initial=0))
    area, centroid_px = centroids(instances, n)
    foreground = 1.0 - probability[BACKGROUND]
    total = np.bincount(instances.ravel(), weights=foreground.ravel(), minlength=n + 1)[1:]
    return Nuclei(
        centroid_px=centroid_px.astype(np.float32),
        class_id=np.zeros(n, np.uint8),
        probability=(total / np.maximum(area, 1)).astype(np.float32),
        instances=instances,
        mpp=mpp,
    )


def _drop_small(mask: NDArray[np.bool_], min_area_px: float) -> NDArray[np.bool_]:
    blobs, _ = ndimage.label(mask)
    keep = np.bincount(blobs.ravel()) >= min_area_px
    keep[0] = False
    kept: NDArray[np.bool_] = keep[blobs]
    return kept
