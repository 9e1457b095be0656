"""Simulated stain shift: the same tissue as another laboratory might have stained it."""

import numpy as np
from numpy.typing import ArrayLike

from histoscope.errors import ShapeError, StainError
from histoscope.stain import pixelmap
from histoscope.stain.deconvolution import StainEstimate, check_stains, with_residual
from histoscope.stain.density import check
from histoscope.stain.macenko import Macenko
from histoscope.types import Image


def restain(
    image: Image,
    stains: ArrayLike | None = None,
    amounts: ArrayLike = (1.0, 1.0),
    *,
    source: StainEstimate | None = None,
) -> Image:
    """Replace the stains of an image, and scale the amount of each.

    Parameters
    ----------
    image : (H, W, 3) uint8
    stains : (2, 3) or (3, 3) array, optional
        New density vectors of haematoxylin, eosin (and residual); rows R, G, B. By default the image's own.
    amounts : (2,) array
        Factors on the amounts of haematoxylin and eosin.
    source : StainEstimate, optional
        The image's own stains and white point, which stays white; by default estimated by Macenko's method.

    Returns
    -------
    (H, W, 3) uint8
        A copy of `image` if there is too little tissue to estimate its stains.

    Raises
    ------
    ShapeError
        For a wrong image, stains or amounts.

    Examples
    --------
    >>> from histoscope.stain import combine, optical_density
    >>> own = [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]]
    >>> image = combine(np.random.default_rng(0).gamma(1.0, 0.3, (64, 64, 2)), own)
    >>> faint = restain(image, amounts=(0.5, 0.5))
    >>> bool(optical_density(faint).mean() < 0.6 * optical_density(image).mean())
    True
    """
    image = check(image)
    factors = np.asarray(amounts, np.float64)
    if factors.shape != (2,) or not np.isfinite(factors).all() or (factors < 0).any():
        raise ShapeError(
            f"amounts are {amounts!r}, expected two factors of at least 0: haematoxylin and eosin"
        )
    wanted = None if stains is None else check_stains(stains)
    try:
        source = Macenko.estimate(image) if source is None else source
    except StainError:
        return image.copy()
    target = with_residual(source.stains if wanted is None else wanted)
    gain = np.diag([*factors, 1.0])
    matrix = target.T @ gain @ np.linalg.inv(with_residual(source.stains).T)
    return pixelmap.of_density(matrix, white=source.white)(image)
