"""Normalisation with the fixed stain vectors of Ruifrok and Johnston: only amounts are estimated."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from histoscope.brief import brief
from histoscope.stain.deconvolution import RUIFROK, unit_rows
from histoscope.stain.normalizer import StainNormalizer


@brief
@dataclass(frozen=True, eq=False)
class Ruifrok(StainNormalizer):
    """Normalisation with the published haematoxylin and eosin vectors, the same for every slide.

    It equalises amounts of stain, not hue: a baseline for the methods that estimate vectors. As in the
    published separation, the residual is kept as a third stain.

    References
    ----------
    .. [1] Ruifrok and Johnston, Analytical and Quantitative Cytology and Histology 23(4), 2001.

    Examples
    --------
    >>> Ruifrok.default().target.stains.round(2).tolist()
    [[0.65, 0.7, 0.29], [0.07, 0.99, 0.11]]
    """

    keep_residual: bool = True

    name: ClassVar[str] = "ruifrok"

    @classmethod
    def _stains(cls, density: NDArray[np.float32]) -> NDArray[np.float64] | None:
        return unit_rows(RUIFROK[:2])

    @classmethod
    def _with_one(
        cls, density: NDArray[np.float32], present: NDArray[np.bool_]
    ) -> NDArray[np.float64] | None:
        return cls._stains(density)
