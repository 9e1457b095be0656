import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from histoscope import stain, synth
from histoscope.errors import StainError
from histoscope.stain.density import density_below
from histoscope.stain.tissue import LEAST_DENSITY, sample, tissue_of

images = hnp.arrays(np.uint8, st.tuples(st.integers(0, 12), st.integers(0, 12), st.just(3)))
FULL = density_below(np.full(3, 255.0))


@settings(deadline=None)
@given(image=images, white=st.sampled_from([(255, 255, 255), (230, 222, 210), (150, 160, 170)]))
def test_mask_follows_its_definition(plain_tissueness, image, white):
    mean, weight = plain_tissueness(image, white)
    clear = (np.abs(mean - LEAST_DENSITY) > 1e-4) & (np.abs(weight - 0.875) > 0.01)
    expected = (mean >= LEAST_DENSITY) & (weight >= 0.875)
    assert np.array_equal(stain.tissue_mask(image, white=white)[clear], expected[clear])


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


def test_sample_is_even_repeatable_and_tissue_only(tissue, monkeypatch):
    monkeypatch.setattr("histoscope.stain.tissue.SAMPLE_PIXELS", 10_000)
    image = tissue.copy()
    image[:80] = 255
    first, second = (sample([image], FULL)[0] for _ in range(2))
    assert np.array_equal(first, second)
    assert stain.tissue_mask(first[None], white=(255, 255, 255)).all()
    assert len(first) == pytest.approx(10_000 * stain.tissue_mask(image).mean(), rel=0.05)


def test_sample_looks_at_everything_where_tissue_is_rare(tissue, monkeypatch):
    monkeypatch.setattr("histoscope.stain.tissue.SAMPLE_PIXELS", 8000)
    image = np.full((400, 400, 3), 255, np.uint8)
    image[:50, :60] = tissue[:50, :60]
    assert len(sample([image], FULL)[0]) == stain.tissue_mask(image).sum()


def test_images_of_a_slide_are_pooled(tissue):
    alone, both = tissue_of(tissue), tissue_of([tissue, tissue])
    assert len(both.pixels) == 2 * len(alone.pixels)


def test_no_sample_without_tissue(tissue):
    white = np.full((200, 200, 3), 255, np.uint8)
    speck = white.copy()
    speck[:10, :10] = tissue[40:50, 40:50]  # less than a hundredth
    for nothing in (white, [], speck):
        with pytest.raises(StainError, match="less than 1 %"):
            tissue_of(nothing)
    with pytest.raises(StainError, match="less than 1 %"):
        sample([speck], FULL)


@pytest.mark.parametrize("mpp", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("stain_name", ["default", "purple", "pink", "faint", "blue", "dark"])
def test_nuclei_of_any_stain_are_no_ink(stain_name, mpp):
    """Nuclei of a bluish haematoxylin have the colour of dull blue ink, but are no strokes."""
    for seed in range(3):
        drawn = synth.generate(
            (256, 256), mpp=mpp, stain=synth.STAINS[stain_name], rng=np.random.default_rng(seed)
        )
        inside = stain.tissue_mask(drawn.image)[drawn.instances > 0]
        assert inside.mean() > 0.9
        assert not any("pen" in note for note in stain.Macenko.estimate(drawn.image).notes)


def test_bluish_nuclei_are_given_the_stain_of_the_reference():
    """Normalised, dark and pale nuclei of a bluish haematoxylin come out in one hue, none left blue."""
    reference = synth.generate((256, 256), mpp=0.5, rng=np.random.default_rng(0))
    blue = synth.generate((256, 256), mpp=0.5, stain=synth.STAINS["blue"], rng=np.random.default_rng(1))
    for method in ("macenko", "vahadane", "reinhard"):  # Ruifrok takes all stains for the same
        normalize = stain.get(method).fit(reference.image)
        nuclei = normalize(blue.image)[blue.instances > 0].astype(float)
        colder = (nuclei[:, 1] - nuclei[:, 0] > 10).mean()  # more green than red, as blue nuclei have
        assert colder < 0.05, method
