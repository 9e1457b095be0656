from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from histoscope.errors import ShapeError
from histoscope.stain import from_density, optical_density, pixelmap

LEVELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
matrices = hnp.arrays(np.float64, (3, 3), elements=st.floats(-3, 3))
offsets = hnp.arrays(np.float64, 3, elements=st.floats(-1, 1))


@settings(max_examples=60)
@given(matrices, offsets)
def test_density_map_equals_plain_arithmetic(matrix, offset):
    slow = from_density(optical_density(LEVELS).astype(np.float64) @ matrix.T + offset)
    fast = pixelmap.of_density(matrix, offset)(LEVELS)
    assert np.abs(fast.astype(int) - slow).max() <= 1


@settings(max_examples=60)
@given(matrices, offsets)
def test_level_map_equals_plain_arithmetic(matrix, offset):
    slow = np.rint((LEVELS @ matrix.T + 100 * offset).clip(0, 255))
    fast = pixelmap.of_levels(matrix, 100 * offset)(LEVELS)
    assert np.abs(fast - slow).max() <= 1


def test_identity_is_exact():
    every = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    for build in (pixelmap.of_density, pixelmap.of_levels):
        assert np.array_equal(build(np.eye(3))(every), every)


def test_extreme_matrices_saturate_but_never_wrap():
    bright = pixelmap.of_density(np.full((3, 3), -1e6))(LEVELS)
    dark = pixelmap.of_density(np.full((3, 3), 1e6))(LEVELS)
    assert (bright[(LEVELS < 250).any(2)] == 255).all()
    assert (dark[(LEVELS < 100).any(2)] == 0).all()


def test_input_is_left_alone_and_views_work():
    image = np.asfortranarray(LEVELS)
    before = image.copy()
    out = pixelmap.of_density(np.eye(3) * 0.5)(image[::2, ::-1])
    assert np.array_equal(image, before)
    assert np.array_equal(out, pixelmap.of_density(np.eye(3) * 0.5)(before[::2, ::-1].copy()))
    with pytest.raises(ShapeError):
        pixelmap.of_density(np.eye(3))(image[..., 0])


def test_many_threads_at_once_agree_with_one():
    image = np.tile(LEVELS, (12, 12, 1))  # several bands
    convert = pixelmap.of_density(np.array([[0.9, 0.1, 0], [0, 0.8, 0.1], [0.1, 0, 1.2]]))
    alone = np.vstack([convert(image[k : k + 40]) for k in range(0, len(image), 40)])
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(out, alone) for out in pool.map(convert, [image] * 8))
