"""A slide through a normaliser: the same change in each tile, that of the whole slide."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from histoscope import stain, synth
from histoscope.errors import ConfigError
from histoscope.files import write_image
from histoscope.viewer.library import Library
from histoscope.viewer.shelf import Shelf


@pytest.fixture
def opened(tmp_path):
    """A shelf, and its only item."""

    def make(image):
        write_image(tmp_path / "a.png", image)
        shelf = Shelf(Library([tmp_path]).search())
        return shelf, next(iter(shelf.library.items.values()))

    return make


@pytest.mark.parametrize("method", ["macenko", "reinhard"])
def test_tiles_are_those_of_the_normalised_image(opened, method):
    (sample,) = synth.cohort(1, 1, shape_px=(300, 520), mpp=0.5, stains="blue", seed=1)
    image = sample.image
    shelf, item = opened(image)
    pyramid, expected = shelf.pyramid(item), stain.open(method)(image)
    last = len(pyramid.layers) - 1
    for column, row in ((0, 0), (1, 0), (1, 1)):
        packed = pyramid.tile(last, column, row, shelf.recolouring(item, method))
        part = expected[256 * row : 256 * (row + 1), 256 * column : 256 * (column + 1)].mean(axis=(0, 1))
        assert np.abs(colour(packed) - part).max() < 1  # JPEG changes single pixels
        assert np.abs(colour(pyramid.tile(last, column, row)) - part).max() > 3


def colour(packed):
    """Mean of a picture."""
    return np.asarray(Pillow.open(io.BytesIO(packed)), float).mean(axis=(0, 1))


def test_glass_cannot_be_normalised(opened):
    shelf, item = opened(np.full((100, 100, 3), 245, np.uint8))
    with pytest.raises(ConfigError, match="cannot be normalised"):
        shelf.recolouring(item, "macenko")
