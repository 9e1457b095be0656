import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose
from skimage.color import lab2rgb, rgb2lab

from histoscope import stain


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.just(3))))
def test_lab_agrees_with_scikit_image(pixels):
    assert_allclose(stain.lab(pixels), rgb2lab(pixels), atol=0.05)


def test_estimate_is_mean_and_spread_of_tissue(tissue):
    image = tissue.copy()
    image[:50] = 255
    estimate = stain.Reinhard.estimate(image)
    assert estimate.white.tolist() == [255, 255, 255]
    colours = rgb2lab(image)[stain.tissue_mask(image)]
    assert_allclose(estimate.mean, colours.mean(axis=0), atol=0.05)
    assert_allclose(estimate.std, colours.std(axis=0), atol=0.05)


@pytest.mark.filterwarnings("ignore:.*negative Z values:UserWarning")
def test_agrees_with_scikit_image_off_the_glass(tissue, plain_tissueness):
    target = stain.Reinhard.default().target
    normalize = stain.Reinhard(stain.ColourEstimate(target.mean, target.std))
    source = normalize.estimate(tissue, white=(255, 255, 255))
    colours = (rgb2lab(tissue) - source.mean) * target.std / source.std + target.mean
    colours[..., 1] = np.maximum(colours[..., 1], 0)  # no greens,
    colours[..., 2] = np.minimum(colours[..., 2], 0.8 * colours[..., 1])  # no yellows
    slow = np.rint(255 * lab2rgb(colours))
    full = plain_tissueness(tissue, (255, 255, 255))[1] == 1  # from there on the change is complete
    assert full.mean() > 0.5
    difference = np.abs(normalize(tissue, source=source) - slow)[full]
    assert difference.max() <= 2
    assert difference.mean() < 0.1


def test_result_has_the_target_colour(mix):
    reference, image = mix(seed=1), mix(scale=(0.3, 0.6))
    normalize = stain.Reinhard.fit(reference)
    out = normalize(image)
    colours = stain.lab(out[stain.tissue_mask(image)])
    assert_allclose(colours.mean(axis=0), normalize.target.mean, atol=2.0)
