import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from histoscope import stain
from histoscope.errors import ShapeError
from histoscope.stain.density import density_below

images = hnp.arrays(np.uint8, st.tuples(st.integers(0, 12), st.integers(0, 12), st.just(3)))


@given(images)
def test_density_and_back_is_the_same_image(image):
    assert np.array_equal(stain.from_density(stain.optical_density(image)), image)


def test_density_is_minus_the_logarithm_of_transmission():
    levels = np.arange(1, 256, dtype=np.uint8)
    assert np.allclose(stain.optical_density(levels), -np.log(levels / 255), atol=1e-6)
    assert np.isfinite(stain.optical_density(np.zeros(1, np.uint8))).all()


def test_density_below_a_white_point():
    white = np.array([230.0, 220.0, 200.0])
    table = density_below(white)
    levels = np.arange(1, 256)
    assert np.allclose(table[:, 1:], np.maximum(-np.log(levels / white[:, None]), 0), atol=1e-6)


@pytest.mark.parametrize(
    ("image", "advice"),
    [
        (np.zeros((4, 4), np.uint8), "greyscale image"),
        (np.zeros((4, 4, 1), np.uint8), "greyscale image"),
        (np.zeros((4, 4, 4), np.uint8), "drop the alpha"),
        (np.zeros((2, 4, 4, 3), np.uint8), "one by one"),
        (np.zeros((3, 8, 8), np.uint8), "channels last"),
        (np.zeros((4, 4, 2), np.uint8), "one colour image"),
        (np.full((4, 4, 3), 0.5), r"in 0\.\.1"),
        (np.full((4, 4, 3), 99.5), r"in 0\.\.255"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.zeros((4, 4, 3), np.uint16), "astype"),
        ([[1, 2, 3]], "NumPy array"),
    ],
)
def test_wrong_arrays_are_told_what_to_do(image, advice):
    with pytest.raises(ShapeError, match=advice):
        stain.tissue_mask(image)
