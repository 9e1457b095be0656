"""Vahadane's method: the stains are a dictionary that codes the densities sparsely, with nothing negative."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from histoscope.brief import brief
from histoscope.stain import _kernels
from histoscope.stain.deconvolution import in_order
from histoscope.stain.macenko import Macenko
from histoscope.stain.normalizer import StainNormalizer

PENALTY = 0.1
"""Weight of the sum of amounts against half the squared error (lambda)."""
_PIXELS = 1 << 14
_STEPS = 60
_STILL = 1e-5


@brief
class Vahadane(StainNormalizer):
    """Stain vectors by sparse non-negative matrix factorisation of optical density.

    Minimises ``|V - H W|^2 / 2 + lambda |H|_1`` over amounts ``H >= 0`` and unit stains ``W >= 0``, by
    coordinate descent in turns, from Macenko's estimate on and over an even sample of the tissue.

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
        step = -(-density.shape[1] // _PIXELS)
        stains = factorise(np.ascontiguousarray(density[:, ::step]), start)
        return in_order(stains[0], stains[1])


def factorise(
    density: NDArray[np.float32], start: NDArray[np.float64], *, penalty: float = PENALTY, steps: int = _STEPS
) -> NDArray[np.float64]:
    """Sparse non-negative dictionary of two stains.

    Parameters
    ----------
    density : (3, N) float32
        Optical density of tissue pixels.
    start : (2, 3) float64
        Unit rows to start from.
    penalty : float
        Weight of the sparsity.
    steps : int
        Steps at most; ends sooner when the stains stand still.

    Returns
    -------
    (2, 3) float64
        Unit rows, none negative; no worse than `start` by the objective.

    Notes
    -----
    Coding and dictionary steps in turn creep. Each step here is two such turns and a leap along the line that
    they point to (SQUAREM, doi:10.1111/j.1467-9469.2007.00585.x), which is taken back if it leads uphill.
    """
    stains = start
    for _ in range(steps):
        first, before = _turn(density, stains, penalty)
        second, _ = _turn(density, first, penalty)
        change, bend = first - stains, second - 2.0 * first + stains
        stretch = max(1.0, float(np.linalg.norm(change)) / max(float(np.linalg.norm(bend)), 1e-12))
        leap = _unit(np.maximum(stains + 2.0 * stretch * change + stretch**2 * bend, 0.0))
        landed, after = _turn(density, leap, penalty)
        settled = np.abs(change).max() < _STILL
        stains = landed if after <= before else second
        if settled:
            break
    return stains


def _turn(
    density: NDArray[np.float32], stains: NDArray[np.float64], penalty: float
) -> tuple[NDArray[np.float64], float]:
    """Code and refit once: the new stains, and the objective of the old (without its constant)."""
    moments, cross, total = _kernels.sparse_moments(density, stains, penalty)
    objective = 0.5 * np.sum(moments * (stains @ stains.T)) - np.sum(cross * stains) + penalty * total
    new = stains.copy()
    for j in range(2):
        if moments[j, j] > 0.0:
            new[j] = np.maximum(new[j] + (cross[j] - moments[j] @ new) / moments[j, j], 0.0)
            new[j] = _unit(new[j])
    return new, float(objective)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12))
