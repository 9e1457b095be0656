import numpy as np
import pytest
from numpy.testing import assert_allclose

from histoscope import stain
from histoscope.errors import ShapeError

PURPLE = [[0.55, 0.75, 0.36], [0.35, 0.85, 0.39]]


def test_nothing_asked_nothing_done(tissue):
    assert np.abs(stain.restain(tissue).astype(int) - tissue).max() <= 1


def test_stains_asked_for_are_found_again(tissue):
    wanted = np.array(PURPLE) / np.linalg.norm(PURPLE, axis=1, keepdims=True)
    assert_allclose(stain.Macenko.estimate(stain.restain(tissue, PURPLE)).stains, wanted, atol=0.02)


def test_amounts_scale_with_the_factors(tissue):
    before = stain.Macenko.estimate(tissue)
    out = stain.restain(tissue, amounts=(0.5, 1.5), source=before)
    amounts = stain.separate(out, before.stains)
    assert_allclose(
        amounts.mean((0, 1)) / stain.separate(tissue, before.stains).mean((0, 1)), (0.5, 1.5), rtol=0.05
    )


def test_there_and_back(tissue):
    own = stain.Macenko.estimate(tissue)
    purple = stain.restain(tissue, PURPLE, source=own)
    asked = stain.StainEstimate(np.array(PURPLE) / np.linalg.norm(PURPLE, axis=1, keepdims=True), own.amounts)
    back = stain.restain(purple, own.stains, source=asked)
    assert np.percentile(np.abs(back.astype(int) - tissue), 95) <= 3


def test_a_third_row_replaces_the_residual(tissue):
    out = stain.restain(tissue, [*PURPLE, [0.3, 0.1, 0.9]])
    assert out.shape == tissue.shape


def test_white_comes_back_unchanged():
    white = np.full((20, 20, 3), 255, np.uint8)
    assert np.array_equal(stain.restain(white, PURPLE, (2, 2)), white)


@pytest.mark.parametrize(
    ("stains", "amounts"),
    [
        (None, (1, 2, 3)),
        (None, (-1, 1)),
        (None, (np.nan, 1)),
        ([[1, 1, 1]], (1, 1)),
        ([[1, 1, 1], [1, 1, 1]], (1, 1)),
    ],
)
def test_wrong_wishes_are_refused(tissue, stains, amounts):
    with pytest.raises(ShapeError):
        stain.restain(tissue, stains, amounts)
