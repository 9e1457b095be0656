import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from histoscope import stain
from histoscope.errors import ShapeError
from histoscope.stain.density import LEAST_DENSITY, sample_tissue

images = hnp.arrays(np.uint8, st.tuples(st.integers(0, 12), st.integers(0, 12), st.just(3)))


@given(images)
def test_density_and_back_is_the_same_image(image):
    assert np.array_equal(stain.from_density(stain.optical_density(image)), image)


def test_density_is_minus_the_logarithm_of_transmission():
    levels = np.arange(1, 256, dtype=np.uint8)
    assert np.allclose(stain.optical_density(levels), -np.log(levels / 255), atol=1e-6)
    assert np.isfinite(stain.optical_density(np.zeros(1, np.uint8))).all()


@settings(deadline=None)
@given(images)
def test_mask_follows_its_definition(image):
    red, green, blue = np.moveaxis(image.astype(int), 2, 0)
    stained = stain.optical_density(image).astype(np.float64).mean(axis=2) >= LEAST_DENSITY
    cold_ink = green > red + 30
    black_ink = (image.max(2) < 60) & (np.ptp(image.astype(int), axis=2) < 25)
    red_ink = (red > 140) & (red - green > 110) & (red - blue > 110)
    assert np.array_equal(stain.tissue_mask(image), stained & ~cold_ink & ~black_ink & ~red_ink)


@pytest.mark.parametrize("ink", [(20, 60, 200), (30, 140, 60), (10, 10, 12), (220, 30, 40)])
def test_ink_is_not_tissue(ink):
    assert not stain.tissue_mask(np.full((4, 4, 3), ink, np.uint8)).any()


@pytest.mark.parametrize("colour", [(180, 90, 160), (70, 40, 110), (230, 170, 200)])
def test_stain_is_tissue(colour):
    assert stain.tissue_mask(np.full((4, 4, 3), colour, np.uint8)).all()


def test_mask_of_many_pixels_equals_mask_of_parts(mix):
    image = mix(shape=(500, 700))  # large enough for several threads
    parts = np.vstack([stain.tissue_mask(image[k : k + 100]) for k in range(0, 500, 100)])
    assert np.array_equal(stain.tissue_mask(image), parts)


def test_sample_is_even_repeatable_and_tissue_only(tissue):
    image = tissue.copy()
    image[:80] = 255
    first, second = sample_tissue(image, at_most=10_000), sample_tissue(image, at_most=10_000)
    assert np.array_equal(first, second)
    assert stain.tissue_mask(first[None]).all()
    assert len(first) == pytest.approx(10_000 * stain.tissue_mask(image).mean(), rel=0.05)


def test_sample_looks_at_everything_where_tissue_is_rare(tissue):
    image = np.full((400, 400, 3), 255, np.uint8)
    image[:50, :60] = tissue[:50, :60]
    assert len(sample_tissue(image, at_most=8000)) == stain.tissue_mask(image).sum()


def test_images_of_a_slide_are_pooled(tissue):
    alone, both = sample_tissue(tissue), sample_tissue([tissue, tissue])
    assert len(both) == 2 * len(alone)


def test_no_sample_without_tissue(tissue):
    white = np.full((200, 200, 3), 255, np.uint8)
    assert sample_tissue(white) is None
    assert sample_tissue([]) is None
    speck = white.copy()
    speck[:10, :10] = tissue[40:50, 40:50]  # less than a hundredth
    assert sample_tissue(speck) is None


@pytest.mark.parametrize(
    ("image", "advice"),
    [
        (np.zeros((4, 4), np.uint8), "grey image"),
        (np.zeros((4, 4, 1), np.uint8), "grey image"),
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
