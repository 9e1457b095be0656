"""Vahadane's method: the stains are a dictionary that codes the densities sparsely, with nothing negative."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from histoscope.stain import _kernels
from histoscope.stain.deconvolution import in_order
from histoscope.stain.macenko import Macenko
from histoscope.stain.normalizer import StainNormalizer

PENALTY = 0.1
"""Weight of the sum of amounts against half the squared error (lambda)."""
_PIXELS = 1 << 14
_ROUNDS = 60
_STILL = 1e-4


class Vahadane(StainNormalizer):
    """Stain vectors by sparse non-negative matrix factorisation of optical density.

    Minimises ``|V - H W|^2 / 2 + lambda |H|_1`` over amounts ``H >= 0`` and unit stains ``W >= 0``, by
    coordinate descent in turns, from Macenko's estimate on.

    Notes
    -----
    The penalty serves to find the stains. Amounts for normalisation are then taken by plain least squares, as
    in the other methods: the penalised ones would bleach pale stroma.

    References
    ----------
    .. [1] Vahadane et al., IEEE TMI 35(8), 2016, doi:10.1109/TMI.2016.2529665

    Examples
    --------
    >>> from histoscope.stain import combine
    >>> amounts = np.random.default_rng(0).gamma(1.0, 0.5, (64, 64, 2))
    >>> image = combine(amounts, [[0.6, 0.7, 0.39], [0.2, 0.9, 0.39]])
    >>> Vahadane.fit(image).target.stains.shape
    (2, 3)
    """

    name: ClassVar[str] = "vahadane"

    @classmethod
    def _stains(cls, density: NDArray[np.float32]) -> NDArray[np.float64] | None:
        start = Macenko._stains(density)
        if start is None:
            return None
        step = -(-len(density) // _PIXELS)
        stains = factorise(np.ascontiguousarray(density[::step]), start)
        return in_order(stains[0], stains[1])


def factorise(
    density: NDArray[np.float32],
    start: NDArray[np.float64],
    *,
    penalty: float = PENALTY,
    rounds: int = _ROUNDS,
) -> NDArray[np.float64]:
    """Sparse non-negative dictionary of two stains.

    Parameters
    ----------
    density : (N, 3) float32
        Optical density of tissue pixels.
    start : (2, 3) float64
        Unit rows to start from.
    penalty : float
        Weight of the sparsity.
    rounds : int
        Turns of coding and dictionary step at most; ends sooner when the stains stand still.

    Returns
    -------
    (2, 3) float64
        Unit rows, none negative.
    """
    stains = start.copy()
    codes = np.zeros((len(density), 2), np.float32)
    for _ in range(rounds):
        moments, cross = _kernels.sparse_codes(density, stains, penalty, codes)
        before = stains.copy()
        for j in range(2):
            if moments[j, j] > 0.0:
                row = np.maximum(stains[j] + (cross[j] - moments[j] @ stains) / moments[j, j], 0.0)
                stains[j] = row / max(float(np.linalg.norm(row)), 1e-12)
        if np.abs(stains - before).max() < _STILL:
            break
    return stains
