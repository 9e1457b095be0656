import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import hed2rgb, rgb2hed

from histoscope.errors import ShapeError
from histoscope.stain import BrightnessHue, HedJitter, StainJitter
from histoscope.stain.jitter import ColourParams, HedParams, StainParams

KINDS = [HedJitter(0.2, 0.2), StainJitter(), BrightnessHue()]
STILL = {
    "HedJitter": HedParams((1, 1, 1), (0, 0, 0)),
    "StainJitter": StainParams((1, 1), ((1, 1, 1), (1, 1, 1))),
    "BrightnessHue": ColourParams(0, 0),
}
every_kind = pytest.mark.parametrize("jitter", KINDS, ids=lambda kind: type(kind).__name__)


@every_kind
def test_same_generator_same_image_and_params_replay(jitter, tissue):
    params = jitter.sample(np.random.default_rng(3))
    out = jitter.apply(tissue, params)
    assert np.array_equal(jitter(tissue, np.random.default_rng(3)), out)
    assert not np.array_equal(out, tissue)
    assert (out.shape, out.dtype) == (tissue.shape, np.uint8)


@every_kind
def test_no_strength_no_change(jitter, tissue):
    assert np.abs(jitter.apply(tissue, STILL[type(jitter).__name__]).astype(int) - tissue).max() <= 1
    assert np.abs(type(jitter)(0, 0)(tissue, np.random.default_rng(0)).astype(int) - tissue).max() <= 1


@every_kind
def test_wrong_images_are_refused(jitter, rng):
    with pytest.raises(ShapeError):
        jitter(np.zeros((4, 4, 3)), rng)


@given(st.integers(0, 2**32))
def test_params_stay_within_the_strengths(seed):
    rng = np.random.default_rng(seed)
    hed, stains, colour = (kind.sample(rng) for kind in KINDS)
    assert all(0.8 <= value <= 1.2 for value in hed.factor)
    assert all(-0.2 <= value <= 0.2 for value in hed.shift)
    assert all(0.6 <= value <= 1.4 for value in stains.amount)
    assert all(0.85 <= value <= 1.15 for row in stains.vector for value in row)
    assert abs(colour.brightness) <= 0.1
    assert abs(colour.hue) <= 0.02


def test_hed_factors_agree_with_scikit_image(tissue):
    factors = (1.15, 0.9, 1.0)
    image = tissue[(rgb2hed(tissue) > 0).all(axis=2)][None]  # scikit-image cuts negative amounts off
    slow = np.rint(255 * hed2rgb(rgb2hed(image) * factors))
    fast = HedJitter().apply(image, HedParams(factors, (0, 0, 0)))
    assert image.size > 300
    assert np.abs(fast - slow).max() <= 1


def test_stain_amount_works_on_its_stain_alone():
    stains = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    haematoxylin = np.rint(255 * np.exp(-0.8 * stains[:1, None])).astype(np.uint8)
    eosin = np.rint(255 * np.exp(-0.8 * stains[1:, None])).astype(np.uint8)
    params = StainParams((1.4, 1.0), ((1, 1, 1), (1, 1, 1)))
    more = np.rint(255 * np.exp(-0.8 * 1.4 * stains[0]))
    assert np.abs(StainJitter().apply(haematoxylin, params)[0, 0] - more).max() <= 2
    assert np.abs(StainJitter().apply(eosin, params).astype(int) - eosin).max() <= 1


def test_hue_turns_and_full_turn_is_nothing(tissue):
    red = np.full((2, 2, 3), (200, 50, 50), np.uint8)
    third = BrightnessHue().apply(red, ColourParams(0, 1 / 3))
    assert third[0, 0].tolist() == [50, 200, 50]
    assert np.abs(BrightnessHue().apply(tissue, ColourParams(0, 1.0)).astype(int) - tissue).max() <= 1
