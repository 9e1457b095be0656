"""What holds for every method, and bad images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from histoscope import stain
from histoscope.errors import ShapeError, StainError, UnknownNameError

METHODS = sorted(stain.NORMALIZERS)
every_method = pytest.mark.parametrize("method", METHODS)


def colour(name):
    return np.full((64, 64, 3), name, np.uint8)


NOTHING = {
    "white": colour(255),
    "near white": np.random.default_rng(0).integers(243, 256, (64, 64, 3), dtype=np.uint8),
    "black": colour(0),
    "constant pink": colour((230, 150, 190)),
    "constant grey": colour(128),
    "one pixel": np.full((1, 1, 3), 120, np.uint8),
    "empty": np.zeros((0, 8, 3), np.uint8),
    "blue pen": np.where(np.arange(64)[:, None, None] < 20, (20, 60, 200), 255)
    .repeat(64, 1)
    .astype(np.uint8),
    "red pen": np.where(np.arange(64)[:, None, None] < 20, (220, 30, 40), 255).repeat(64, 1).astype(np.uint8),
}


@every_method
@pytest.mark.parametrize("what", NOTHING)
def test_without_tissue_the_image_comes_back_and_fit_says_why(method, what):
    image = NOTHING[what]
    normalize = stain.get(method).default()
    out = normalize(image)
    assert np.array_equal(out, image)
    assert out is not image
    assert out.dtype == np.uint8
    with pytest.raises(StainError, match="too little tissue"):
        stain.get(method).fit(image)
    with pytest.raises(StainError):
        normalize.estimate(image)


@every_method
@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.full((8, 8, 3), 0.5),
        np.full((8, 8, 3), 120.0),
        np.full((8, 8, 3), np.nan),
        np.zeros((3, 8, 8), np.uint8),
    ],
)
def test_wrong_arrays_are_named_errors(method, image):
    normalizer = stain.get(method)
    for use in (normalizer.default(), normalizer.fit, normalizer.estimate):
        with pytest.raises(ShapeError, match="expected"):
            use(image)


@every_method
@settings(max_examples=40, deadline=None)
@given(image=hnp.arrays(np.uint8, st.tuples(st.integers(0, 24), st.integers(0, 24), st.just(3))))
def test_any_image_keeps_its_shape_and_type(method, image):
    out = stain.get(method).default()(image)
    assert (out.shape, out.dtype) == (image.shape, image.dtype)


@every_method
def test_fitted_to_an_image_it_leaves_that_image_as_it_is(method, tissue):
    out = stain.get(method).fit(tissue)(tissue)
    difference = np.abs(out.astype(int) - tissue)[stain.tissue_mask(tissue)]
    assert difference.mean() < 0.5
    assert np.percentile(difference, 99) <= 2


@every_method
def test_another_staining_of_the_same_tissue_comes_back(method, mix):
    ours, theirs = mix(), mix(scale=(0.8, 0.25))  # the same amounts, in another proportion
    normalized = stain.get(method).fit(ours)(theirs)
    mask = stain.tissue_mask(ours)
    before = np.abs(theirs.astype(int) - ours)[mask].mean()
    after = np.abs(normalized.astype(int) - ours)[mask].mean()
    assert after < before / {"reinhard": 1.5, "ruifrok": 2.5}.get(method, 4)


@every_method
def test_white_stays_white_beside_tissue(method, tissue):
    image = tissue.copy()
    image[:40] = 255
    assert (stain.get(method).default()(image)[:40] == 255).all()


@every_method
def test_for_a_given_source_each_pixel_is_on_its_own(method, tissue, rng):
    normalize = stain.get(method).default()
    source = normalize.estimate(tissue)
    order = rng.permutation(tissue.shape[0] * tissue.shape[1])
    shuffled = tissue.reshape(-1, 3)[order].reshape(tissue.shape)
    expected = normalize(tissue, source=source).reshape(-1, 3)[order].reshape(tissue.shape)
    assert np.array_equal(normalize(shuffled, source=source), expected)
    assert np.array_equal(
        normalize(tissue[:16, :16], source=source), normalize(tissue, source=source)[:16, :16]
    )


@every_method
def test_source_is_used_even_where_there_is_little_tissue(method, tissue):
    normalize = stain.get(method).default()
    source = normalize.estimate(tissue)
    tile = np.full((32, 32, 3), 255, np.uint8)
    tile[0, 0] = (150, 60, 150)
    out = normalize(tile, source=source)
    assert not np.array_equal(out[0, 0], tile[0, 0])
    assert (out[1:] == 255).all()


@every_method
def test_sampled_estimate_agrees_with_the_full_one(method, mix):
    image = mix(shape=(500, 600), noise=2.0)
    sampled = stain.get(method).estimate(image)
    full = stain.get(method).estimate(np.split(image, 10))  # of small images, all pixels are looked at
    if method == "reinhard":
        assert np.abs(sampled.mean - full.mean).max() < 0.2
        assert np.abs(sampled.std - full.std).max() < 0.2
    else:
        assert np.abs(sampled.stains - full.stains).max() < 0.01
        assert np.allclose(sampled.amounts, full.amounts, rtol=0.02)


@pytest.mark.parametrize("method", ["macenko", "vahadane", "ruifrok"])
def test_stains_are_unit_not_negative_and_haematoxylin_first(method, mix):
    for seed in range(5):
        estimate = stain.get(method).estimate(mix(seed=seed, noise=6.0, shape=(80, 80)))
        assert np.allclose(np.linalg.norm(estimate.stains, axis=1), 1)
        assert (estimate.stains >= 0).all()
        assert estimate.stains[0, 0] - estimate.stains[0, 1] > estimate.stains[1, 0] - estimate.stains[1, 1]
        assert (estimate.amounts > 0).all()


@pytest.mark.parametrize("method", ["macenko", "vahadane", "ruifrok"])
def test_residual_is_kept_on_demand(method, tissue):
    kept = stain.get(method).fit(tissue, keep_residual=True)
    dropped = stain.get(method).fit(tissue, keep_residual=False)
    source = kept.estimate(tissue)
    assert np.allclose(kept.matrix(source), np.eye(3), atol=1e-9)
    assert np.linalg.matrix_rank(dropped.matrix(source)) == 2
    assert np.array_equal(kept(tissue), tissue)


def test_unknown_method_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'macenko'"):
        stain.get("macenco")
