import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscope.balance import draw_probability, rare_repeats
from histoscope.errors import ConfigError, ShapeError

TABLES = arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.integers(0, 500))


@given(TABLES)
def test_chances_are_clipped_squares(pixels):
    chance = draw_probability(pixels, percentile=80)
    for column, expected in zip(pixels.T.astype(float), chance.T, strict=True):
        ordered = np.sort(column)
        place = 0.8 * (len(ordered) - 1)  # linear between neighbours
        low = int(place)
        top = ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])
        squares = np.array([min(value, top) ** 2 for value in column])
        if squares.sum() == 0:
            squares = column**2
        assert expected == pytest.approx(squares / squares.sum() if squares.sum() else squares)


def test_a_class_that_one_image_of_a_thousand_holds_is_not_lost():
    pixels = np.zeros((1000, 1))
    pixels[7] = 40
    assert np.flatnonzero(draw_probability(pixels)).tolist() == [7]


def test_repeats_are_in_proportion_to_the_root_of_rarity():
    """Each class alone in its image, so that images tell classes."""
    counts = np.array([100, 400, 10_000, 2500, 900])
    chosen = rare_repeats(np.diag(counts), counts, 40_000, n_rare=4, rng=np.random.default_rng(0))
    expected = np.sqrt(counts.sum() / counts)
    expected[2] = 0  # the commonest is not repeated
    assert np.bincount(chosen, minlength=5) / 40_000 == pytest.approx(expected / expected.sum(), abs=0.01)


def test_nothing_to_repeat():
    rng = np.random.default_rng(0)
    assert rare_repeats(np.zeros((3, 2)), [0, 0], 5, rng=rng).tolist() == []
    assert rare_repeats(np.ones((3, 2)), [3, 3], 0, rng=rng).tolist() == []
    assert draw_probability(np.zeros((0, 2))).shape == (0, 2)


def test_bad_input_is_told():
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="at least 0"):
        rare_repeats([[1]], [1], -1, rng=rng)
    with pytest.raises(ShapeError, match="2 classes"):
        rare_repeats([[1, 2]], [1], 1, rng=rng)
    with pytest.raises(ShapeError, match="expected"):
        draw_probability([1, 2])
