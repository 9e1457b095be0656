"""Strokes of a pen: found over tissue and on glass, not found in tissue."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from histoscope import stain, synth
from histoscope.errors import StainError
from histoscope.stain.density import by_table, density_below
from histoscope.stain.glass import thumbnail
from histoscope.stain.pens import _across, _stable_regions, strokes

INKS = {
    "blue": (20, 60, 200),
    "navy": (25, 30, 100),
    "dull blue": (40, 50, 150),
    "black": (25, 25, 28),
    "red": (210, 30, 45),
    "green": (30, 140, 60),
    "yellow highlighter": (255, 240, 60),
    "orange highlighter": (255, 150, 40),
}
FULL = density_below(np.full(3, 255.0))


@pytest.fixture(scope="module")
def piece():
    """Give synthetic tissue without much glass."""
    return synth.generate((320, 320), mpp=0.5, rng=np.random.default_rng(3)).image


def drawn_over(image, ink, opacity, width=32):
    """Let the light that passes an image pass a curved stroke of ink, too; give the stroke."""
    rows, columns = image.shape[:2]
    at = np.linspace(0, columns, 60)
    line = np.stack([at, rows * (0.45 + 0.2 * np.sin(at / columns * 4))], axis=1)
    cover = np.zeros((rows, columns), np.uint8)
    cv2.polylines(cover, [np.rint(line).astype(np.int32)], False, 255, width)
    held = opacity * cv2.GaussianBlur(cover / 255.0, None, 1.0)[..., None]
    return np.rint(image * (1 - held * (1 - np.array(ink) / 255))).astype(np.uint8), cover > 0


@pytest.mark.parametrize("method", sorted(stain.NORMALIZERS))
@pytest.mark.parametrize("opacity", [0.6, 0.9])
@pytest.mark.parametrize("ink", INKS)
def test_ink_that_tissue_shines_through_is_left_alone_and_out_of_estimates(piece, ink, opacity, method):
    marked, stroke = drawn_over(piece, INKS[ink], opacity)
    normalize = stain.get(method).default()
    out, plain = normalize(marked).astype(int), normalize(piece).astype(int)
    assert np.abs(out - marked)[stroke].mean() < 1
    away = cv2.dilate(stroke.astype(np.uint8), np.ones((41, 41))) == 0
    assert np.abs(out - plain)[away].mean() < 3
    assert "pen marks (left unchanged)" in normalize.estimate(marked).notes
    assert stain.tissue_mask(marked)[stroke].mean() < 0.03


@pytest.mark.parametrize("ink", ["dull blue", "navy"])
def test_a_stroke_on_glass_is_no_tissue_though_it_has_the_colour_of_haematoxylin(ink):
    marked, _ = drawn_over(np.full((320, 320, 3), 245, np.uint8), INKS[ink], 1.0)
    with pytest.raises(StainError, match="marks of a pen"):
        stain.Macenko.estimate(marked)


@pytest.mark.parametrize("seen", ["tissue", "strip on glass", "strip of eosin", "pale strip"])
def test_tissue_has_no_strokes(piece, seen):
    image = piece.copy()
    if seen == "strip on glass":
        image[:130], image[190:] = 245, 245
    elif seen == "strip of eosin":  # as bone has: lets red through as the tissue beside it does
        image[130:190] = (235, 110, 150)
        image[:130, :, 0] = image[190:, :, 0] = 232
    elif seen == "pale strip":  # a pen makes nothing brighter
        image[130:190] = 255 - 0.4 * (255.0 - image[130:190])
    assert not strokes(thumbnail(image), FULL).any()


def test_the_plane_of_the_stains_is_found_though_half_is_under_a_pen(mix):
    image = mix(noise=2.0)
    image[:, :100] = image[:, :100] * (0.5, 0.6, 0.9)
    plane = np.cross([0.60, 0.70, 0.39], [0.18, 0.88, 0.44])
    normal = _across(np.minimum(by_table(image, FULL), np.float32(3.0)))
    assert abs(normal @ plane) > 0.97 * np.linalg.norm(plane)


def test_red_bone_is_tissue():
    """Its colour, (205, 69, 87) on average, was that of red ink."""
    rng = np.random.default_rng(0)
    fibres = ndimage.gaussian_filter(rng.normal(0, 1, (256, 256)), (1, 12)) * 6
    density = np.array([0.22, 1.30, 1.08]) * (1 + 0.1 * fibres[..., None])
    image = np.rint(255 * np.exp(-density)).clip(0, 255).astype(np.uint8)
    image[:30] = 250
    image[60:90, 40:200] = synth.generate((30, 160), mpp=0.5, rng=rng).image
    assert not any("pen" in note for note in stain.Macenko.estimate(image).notes)
    assert stain.tissue_mask(image)[100:].mean() > 0.9


def test_stable_regions_are_those_that_labelling_each_level_gives(rng):
    level = np.rint(ndimage.gaussian_filter(rng.normal(0, 1, (40, 56)), 2) * 20 + 4).clip(0, 12)
    level = level.astype(np.uint8)
    least, most, extent, kept = 0.01, 0.6, 0.3, 0.55
    expected = set()
    for now in range(1, 13):
        labels, count = ndimage.label(level >= now)
        for k in range(1, count + 1):
            region = labels == k
            rows, columns = ndimage.find_objects(region.astype(int))[0]
            longer = max(rows.stop - rows.start, columns.stop - columns.start)
            share = region.mean()
            if least <= share <= most and longer >= extent * 56 and (level[region] > now).mean() >= kept:
                expected.add((now, region.tobytes()))
    assert expected
    found = list(_stable_regions(level))
    assert {(now, region.tobytes()) for now, region, _ in found} == expected
    assert all(share == (level[region] > now).mean() for now, region, share in found)
