"""Macenko normalisation: stain vectors are the extreme angles in the principal plane of optical density."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from histoscope.brief import brief
from histoscope.stain import _kernels
from histoscope.stain.deconvolution import in_order
from histoscope.stain.normalizer import StainNormalizer


@brief
class Macenko(StainNormalizer):
    """Stain vectors from the plane of the two largest principal components of optical density.

    Each tissue pixel has an angle in that plane; the 1st and 99th percentiles of the angles are the two
    stains. The one with more density in red, compared with green, is haematoxylin.

    Notes
    -----
    A pixel counts as tissue by the mean of its three densities. Several implementations ask every channel to
    reach the threshold, which excludes pixels of pure eosin (which transmits red light) and biases eosin
    towards purple. Angles and amounts come from an even sample of the pixels
    (`histoscope.stain.density.SAMPLE_PIXELS`); stains then differ by less than 0.01 and amounts by less than
    2 % from those of all pixels.

    References
    ----------
    .. [1] Macenko et al., ISBI 2009, doi:10.1109/ISBI.2009.5193250

    Examples
    --------
    >>> from histoscope.stain import combine
    >>> amounts = np.random.default_rng(0).gamma(2.0, 0.25, (64, 64, 2))
    >>> image = combine(amounts, [[0.6, 0.7, 0.39], [0.2, 0.9, 0.39]])
    >>> normalize = Macenko.default()
    >>> normalize(image).shape
    (64, 64, 3)
    """

    name: ClassVar[str] = "macenko"

    @classmethod
    def _stains(cls, density: NDArray[np.float32]) -> NDArray[np.float64] | None:
        centred = density - density.mean(axis=1, keepdims=True)
        # Nine products of rows: BLAS is slow with matrices this narrow.
        scatter = np.array([[one @ other for other in centred] for one in centred], np.float64)
        spread, axes = np.linalg.eigh(scatter / density.shape[1])
        if spread[1] < 1e-6:  # one colour only
            return None
        plane = axes[:, [2, 1]]
        plane[:, 0] *= np.sign(plane[:, 0].sum()) or 1.0
        along, across = plane.T.astype(np.float32) @ density
        angles = np.arctan2(across, along)
        extreme = [_kernels.ranked(angles, round(share * (len(angles) - 1))) for share in (0.01, 0.99)]
        ends = np.array([[np.cos(angle), np.sin(angle)] for angle in extreme]) @ plane.T
        return in_order(ends[0], ends[1])
