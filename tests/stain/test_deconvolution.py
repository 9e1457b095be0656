import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import hed_from_rgb, separate_stains

from histoscope import stain
from histoscope.errors import ShapeError
from histoscope.stain import RUIFROK, _kernels
from histoscope.stain.deconvolution import check_stains, high_amounts, in_order, with_residual


def test_separation_agrees_with_scikit_image(tissue):
    ours = stain.separate(tissue)
    # scikit-image leaves the vectors at their length, and works in units of log(1e-6).
    theirs = separate_stains(tissue, hed_from_rgb) * -np.log(1e-6) * np.linalg.norm(RUIFROK, axis=1)
    stained = (tissue > 0).all(axis=2)  # level 0 has no density: each library caps it elsewhere
    # scikit-image sets negative amounts to 0
    assert np.abs(ours.clip(0) - theirs)[stained].max() < 1e-4


def test_mixture_is_taken_apart_and_put_together(rng):
    amounts = rng.uniform(0.1, 1.2, (30, 30, 2))
    stains = stain.StainEstimate(check_stains([[0.6, 0.7, 0.4], [0.2, 0.9, 0.4]]), np.ones(2)).stains
    image = np.rint(255 * np.exp(-(amounts @ stains))).astype(np.uint8)
    found = stain.separate(image, stains)
    assert np.abs(found - amounts).max() < 0.06  # rounding to 8 bits
    assert np.abs(stain.combine(found, stains).astype(int) - image).max() <= 2


def test_residual_is_at_right_angles():
    stains = with_residual(check_stains([[0.6, 0.7, 0.4], [0.2, 0.9, 0.4]]))
    assert np.allclose(stains[2] @ stains[:2].T, 0)
    assert np.allclose(np.linalg.norm(stains, axis=1), 1)
    assert with_residual(stains) is stains


@pytest.mark.parametrize(
    "stains",
    [
        [0.6, 0.7, 0.4],
        np.eye(4),
        [[1, 0, 0], [np.nan, 1, 0]],
        [[1, 0, 0], [-1, 1, 0]],
        [[1, 1, 1], [2, 2, 2]],
    ],
)
def test_wrong_stains_are_refused(stains, tissue):
    with pytest.raises(ShapeError):
        stain.separate(tissue, stains)


def test_high_amounts_are_percentiles(rng):
    stains = check_stains([[0.6, 0.7, 0.4], [0.2, 0.9, 0.4]])
    amounts = rng.exponential(1.0, (5001, 2))
    found = high_amounts((amounts @ stains).T.astype(np.float32), stains)
    assert np.allclose(found, np.percentile(amounts, 99, axis=0), rtol=1e-4)


def test_order_and_signs():
    h, e = np.array([0.6, 0.7, 0.4]), np.array([0.2, 0.9, 0.4])
    for pair in [(h, e), (e, h), (-h, e), (e, -h)]:
        ordered = in_order(*pair)
        assert np.allclose(ordered, [h / np.linalg.norm(h), e / np.linalg.norm(e)])
    assert in_order(h, h + 0.001) is None
    # Faint cuts with little eosin, as seen on real ones: eosin may have as much red, but it has more green.
    faint = np.array([0.59, 0.65, 0.49]), np.array([0.60, 0.75, 0.28])
    assert np.allclose(in_order(*faint[::-1])[0], faint[0] / np.linalg.norm(faint[0]))
    assert in_order(h, np.zeros(3)) is None
    assert in_order(h, np.array([-0.05, 0.9, 0.4]))[1, 0] == 0.0


@given(
    values=arrays(np.float32, st.integers(1, 300), elements=st.floats(-1e6, 1e6, width=32)),
    share=st.floats(0, 1),
    coarse=st.booleans(),
)
def test_ranked_is_what_sorting_gives(values, share, coarse):
    values = np.round(values) if coarse else values
    rank = round(share * (len(values) - 1))
    assert _kernels.ranked(values, rank) == np.sort(values)[rank]
