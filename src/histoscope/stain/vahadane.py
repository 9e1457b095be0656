"""Vahadane normalisation: stain vectors by sparse non-negative matrix factorisation."""

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

    Minimises ``|V - H W|^2 / 2 + lambda |H|_1`` over amounts ``H >= 0`` and unit stains ``W >= 0`` by
    alternating coordinate descent, initialised with Macenko's estimate, on an even sample of the tissue.

    Notes
    -----
    The penalty is used to estimate the stains only. Amounts for normalisation are plain least squares, as in
    the other methods: penalised ones would bleach pale stroma.

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
    """Sparse non-negative dictionary of two stains, (2, 3) unit rows, of (3, N) density.

    The objective is no worse than that of `start`. Alternating coding and dictionary updates converge slowly:
    each of at most `steps` steps extrapolates two updates (SQUAREM, doi:10.1111/j.1467-9469.2007.00585.x)
    and falls back to them if the objective rises.
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
    """One coding and dictionary update: the new stains, and the objective of the old (up to a constant)."""
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
