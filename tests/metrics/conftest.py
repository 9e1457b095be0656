"""Label maps like those of nuclei: ellipses, and a prediction that misses, merges, splits and shifts."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Maps = tuple[NDArray[np.int32], NDArray[np.int32]]


@pytest.fixture(scope="session")
def nuclei() -> Callable[..., Maps]:
    """Give ``make(seed, side=10, step=16) -> (true, pred)`` with about ``side**2`` nuclei."""

    def make(seed: int, side: int = 10, step: int = 16) -> Maps:
        rng = np.random.default_rng(seed)
        size = side * step
        rows, columns = np.mgrid[:size, :size]
        true, pred = np.zeros((2, size, size), np.int32)

        def draw(labels, number, centre, radii):
            inside = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 <= 1
            labels[inside] = number

        for k in range(side * side):
            centre = (np.array(divmod(k, side)) + 0.5) * step + rng.normal(0, 1, 2)
            radii = rng.uniform(0.3, 0.6, 2) * step
            draw(true, k + 1, centre, radii)
            fate = rng.random()
            if fate < 0.8:  # found, more or less
                draw(pred, k + 1, centre + rng.normal(0, 2.5, 2), radii * rng.uniform(0.6, 1.3, 2))
            elif fate < 0.9:  # split
                for sign in (-1, 1):
                    draw(
                        pred,
                        k + 1 + (sign > 0) * side * side,
                        (centre[0], centre[1] + sign * radii[1] / 2),
                        radii / 2,
                    )
        return true, pred

    return make
