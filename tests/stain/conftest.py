"""Mixtures of stains by Beer-Lambert, written without the code under test."""

from collections.abc import Callable

import numpy as np
import pytest

H = np.array([0.60, 0.70, 0.39])
E = np.array([0.18, 0.88, 0.44])
STAINS = np.vstack([H / np.linalg.norm(H), E / np.linalg.norm(E)])

Mix = Callable[..., np.ndarray]


@pytest.fixture
def mix() -> Mix:
    """Give a maker of images of known stains and exponentially distributed amounts."""

    def make(stains=STAINS, scale=(0.5, 0.35), shape=(160, 200), seed=0, noise=0.0):
        rng = np.random.default_rng(seed)
        amounts = rng.exponential(1.0, (*shape, 2)).clip(0, 5) * scale
        # Pure pixels of each stain: without them no method can find the vectors.
        pure = rng.random(shape)
        amounts[pure < 0.25, 1] = 0.0
        amounts[pure > 0.75, 0] = 0.0
        levels = 255.0 * np.exp(-(amounts @ np.asarray(stains))) + rng.normal(0, noise, (*shape, 3))
        return np.rint(levels.clip(0, 255)).astype(np.uint8)

    return make


@pytest.fixture
def tissue(mix: Mix) -> np.ndarray:
    """Give one such image."""
    return mix()


@pytest.fixture(scope="session")
def plain_tissueness():
    """Give the rules by which a pixel is tissue, in plain NumPy: the slow twin."""
    return _plain_tissueness


def _plain_tissueness(image, white, cold=0.35):
    """Mean density, and how far each pixel is tissue, where there are no strokes of a pen."""
    levels = np.maximum(image.astype(np.float64), 0.4)
    density = np.maximum(-np.log(levels / np.asarray(white, float)), 0)
    red, green, blue = np.moveaxis(density, -1, 0)
    mean, least, most = density.mean(-1), density.min(-1), density.max(-1)
    held = np.minimum(green, 3.5)
    usual = np.clip(0.75 * held + 0.8 * blue, 0.9 * held, 1.2 * held) + cold * held
    ramps = [
        (mean - 0.05) / 0.1,  # from glass to tissue
        2 * (most - least) / (0.03 + 0.08 * mean + 0.05 * mean**2) - 1,  # from grey to colour
        1 - 10 * (np.minimum(red, 3.5) - usual - 0.05),  # blue and green ink
        4 * (most - least - 1.3 * least + 1.42) + 0.5,  # black ink
        6 * (np.minimum(0.75 + 1.3 * red, 1.6) + red - np.minimum(green, blue)) + 0.5,  # red ink
    ]
    return mean, np.prod(np.clip(ramps, 0, 1), axis=0)
