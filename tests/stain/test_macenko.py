import numpy as np
import pytest
from numpy.testing import assert_allclose

from histoscope import stain


def plain_macenko(image):
    """Macenko's method in plain NumPy on all pixels: the slow twin."""
    density = -np.log(np.maximum(image.reshape(-1, 3).astype(np.float64), 0.4) / 255)
    density = density[stain.tissue_mask(image).ravel()]
    _, axes = np.linalg.eigh(np.cov(density, rowvar=False))
    plane = axes[:, 1:]
    projected = density @ plane
    if plane[:, 1].sum() < 0:
        projected[:, 1] *= -1
        plane[:, 1] *= -1
    angle = np.arctan2(projected[:, 0], projected[:, 1])
    ends = [plane @ [np.sin(a), np.cos(a)] for a in np.percentile(angle, [1, 99])]
    haematoxylin, eosin = sorted(ends, key=lambda end: -end[0])
    stains = np.array([haematoxylin, eosin])
    amounts = np.linalg.lstsq(stains.T, density.T, rcond=None)[0]
    return stains, np.percentile(amounts, 99, axis=1)


def normalized_plainly(image, stains, amounts, target):
    density = -np.log(np.maximum(image.reshape(-1, 3).astype(np.float64), 0.4) / 255)
    found = np.linalg.lstsq(stains.T, density.T, rcond=None)[0] * (target.amounts / amounts)[:, None]
    light = np.exp(-(target.stains.T @ found)).T * target.white
    return np.rint(light.clip(0, 255)).reshape(image.shape)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_slow_twin(mix, plain_tissueness, seed):
    image = mix(seed=seed, noise=3.0)  # 32,000 pixels: all of them are looked at
    stains, amounts = plain_macenko(image)
    estimate = stain.Macenko.estimate(image)
    assert_allclose(estimate.stains, stains, atol=2e-3)
    assert_allclose(estimate.amounts, amounts, rtol=5e-3)
    normalize = stain.Macenko.default()
    slow = normalized_plainly(image, estimate.stains, estimate.amounts, normalize.target)
    full = stain.tissue_mask(image, white=estimate.white)
    full &= plain_tissueness(image, estimate.white)[1] == 1  # from there on the change is complete
    assert full.mean() > 0.6
    assert np.abs(normalize(image).astype(int) - slow)[full].max() <= 1


@pytest.mark.parametrize(
    "stains", [[[0.6, 0.7, 0.39], [0.18, 0.88, 0.44]], [[0.5, 0.72, 0.48], [0.3, 0.8, 0.52]]]
)
def test_known_mixture_is_recovered(mix, stains):
    stains = np.array(stains) / np.linalg.norm(stains, axis=1, keepdims=True)
    estimate = stain.Macenko.estimate(mix(stains=stains))
    assert_allclose(estimate.stains, stains, atol=0.03)


def test_order_does_not_depend_on_which_stain_prevails(mix):
    for scale in [(1.0, 0.1), (0.1, 1.0)]:
        estimate = stain.Macenko.estimate(mix(scale=scale))
        assert estimate.stains[0, 0] > 0.5 > 0.3 > estimate.stains[1, 0]


def test_ink_does_not_move_the_estimate(mix):
    clean = mix()
    marked = clean.copy()
    marked[:60] = (20, 60, 200)
    assert_allclose(
        stain.Macenko.estimate(marked).stains, stain.Macenko.estimate(clean[60:]).stains, atol=2e-3
    )
