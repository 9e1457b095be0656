"""Mixtures of stains by Beer-Lambert, written without the code under test."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings

# The first example of a property compiles; machines that test are busy.
settings.register_profile("stain", deadline=None)
settings.load_profile("stain")

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
