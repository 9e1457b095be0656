"""Random generators from seeds."""

from typing import TypeAlias

import numpy as np

from histoscope.errors import ConfigError

RandomSource: TypeAlias = int | np.random.Generator
"""A seed gives the same numbers in each call; a generator keeps its state."""


def generator(rng: RandomSource) -> np.random.Generator:
    """Random generator of a seed; a generator is returned as it is.

    Parameters
    ----------
    rng : int or numpy.random.Generator

    Raises
    ------
    ConfigError
        If it is neither: None would give different numbers each time.

    Examples
    --------
    >>> bool(generator(7).random() == np.random.default_rng(7).random())
    True
    >>> rng = np.random.default_rng(7)
    >>> generator(rng) is rng
    True
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(rng)
    raise ConfigError(f"rng is {rng!r}, expected a seed from 0 up, such as 0, or a numpy.random.Generator")
