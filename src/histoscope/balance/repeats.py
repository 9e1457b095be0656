"""Oversampling of images with rare classes in a data set of fixed patches, by the winner of CoNIC."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import ConfigError, ShapeError
from histoscope.seeds import RandomSource, generator


def draw_probability(pixels: ArrayLike, *, percentile: float = 99.8) -> NDArray[np.float64]:
    """Sampling probability of each image for each class: by the square of the class's pixels in it.

    Parameters
    ----------
    pixels : (N, C) numbers from 0
        Pixels of each class in each image, as `class_pixels` without its first column.
    percentile : float in [0, 100]
        Of each column; pixels above it count as it, so that one crowded image is not drawn all the time.

    Returns
    -------
    (N, C) float64
        Each column sums to 1; of a class that occurs nowhere it is 0.

    References
    ----------
    .. [1] Weigert and Schmidt, ISBIC 2022, doi:10.1109/ISBIC56247.2022.9854534

    Examples
    --------
    >>> draw_probability([[0, 1], [0, 3], [0, 0]], percentile=100)
    array([[0. , 0.1],
           [0. , 0.9],
           [0. , 0. ]])
    """
    table = np.asarray(pixels, np.float64)
    if table.ndim != 2 or (table < 0).any():
        raise ShapeError(
            f"pixels have shape {table.shape}, expected (images, classes) with numbers of at least 0"
        )
    if len(table) == 0:
        return table
    squares = np.minimum(table, np.percentile(table, percentile, axis=0)) ** 2
    # A class that so few images hold that its percentile is 0 would be lost: take its pixels as they are.
    lost = (squares.sum(axis=0) == 0) & (table.sum(axis=0) > 0)
    squares[:, lost] = table[:, lost] ** 2
    total = squares.sum(axis=0)
    return squares / np.where(total > 0, total, 1.0)


def rare_repeats(
    pixels: ArrayLike,
    counts: Sequence[float] | NDArray[Any],
    extra: int,
    *,
    n_rare: int = 4,
    rng: RandomSource,
) -> NDArray[np.intp]:
    """Sample images to repeat for the rarest classes.

    Parameters
    ----------
    pixels : (N, C) numbers from 0
        Pixels of each class in each image.
    counts : (C,) numbers from 0
        How often each class occurs.
    extra : int
        Images to choose; the recipe went from 4,482 to 15,997.
    n_rare : int
        How many classes to repeat, the rarest that occur; each in proportion to sqrt(total / count).
    rng : int or Generator
        Seed or source of the draws.

    Returns
    -------
    (extra,) intp
        Rows of `pixels`, in random order; empty if no class occurs.

    Raises
    ------
    ConfigError
        If `extra` is negative or `n_rare` below 1.
    ShapeError
        If `counts` does not fit `pixels`.

    References
    ----------
    .. [1] Weigert and Schmidt, ISBIC 2022, doi:10.1109/ISBIC56247.2022.9854534

    Examples
    --------
    >>> rare_repeats([[9, 0], [9, 2], [9, 0]], [27, 2], 3, n_rare=1, rng=0)
    array([1, 1, 1])
    """
    if extra < 0 or n_rare < 1:
        raise ConfigError(f"extra is {extra} and n_rare {n_rare}; expected at least 0 and at least 1")
    chance, number = draw_probability(pixels), np.asarray(counts, np.float64)
    if number.shape != chance.shape[1:]:
        raise ShapeError(f"{number.shape} counts for pixels of {chance.shape[1]} classes")
    rng = generator(rng)
    present = np.flatnonzero((number > 0) & (chance.sum(axis=0) > 0))
    if len(present) == 0:
        return np.zeros(0, np.intp)
    rarest = present[np.argsort(number[present], kind="stable")[:n_rare]]
    share = np.sqrt(number.sum() / number[rarest])
    of_class = rng.choice(rarest, size=extra, p=share / share.sum())
    chosen = np.empty(extra, np.intp)
    for k in rarest:
        mine = of_class == k
        chosen[mine] = rng.choice(len(chance), size=int(mine.sum()), p=chance[:, k])
    return chosen
