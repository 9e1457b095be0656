"""Noise: two tileable fields made once, sampled at any scale, angle and offset."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

TILE_PX = 512


@lru_cache(maxsize=1)
def noise_tiles() -> NDArray[np.float32]:
    """Two tileable noise fields of mean 0 and standard deviation 1, (2, 512, 512).

    The first is smooth, with grains about four texels wide; the second has grains of every size (1/f).
    They are the same in every image: images differ in where and how they read them.
    """
    rng = np.random.default_rng(20240229)
    fy = np.fft.fftfreq(TILE_PX)[:, None]
    fx = np.fft.rfftfreq(TILE_PX)[None, :]
    frequency = np.hypot(fx, fy)
    frequency[0, 0] = 1.0
    smooth = np.exp(-((frequency / 0.11) ** 2)) * np.minimum(frequency / 0.02, 1.0)
    fractal = np.minimum(frequency / 0.004, 1.0) * frequency**-1.1 * np.exp(-((frequency / 0.3) ** 2))
    tiles = np.empty((2, TILE_PX, TILE_PX), dtype=np.float32)
    for k, band in enumerate((smooth, fractal)):
        field = np.fft.irfft2(
            np.fft.rfft2(rng.standard_normal((TILE_PX, TILE_PX))) * band, s=(TILE_PX, TILE_PX)
        )
        tiles[k] = (field - field.mean()) / field.std()
    tiles.setflags(write=False)
    return tiles
