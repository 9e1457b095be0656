"""Tissue that is out of focus, and pens: what is sharp is never left out."""

import cv2
import numpy as np
import pytest

import histoscope as hs
from histoscope.files import write_image
from histoscope.slides import open_slide
from histoscope.slides.focus import LEAST_FOCUS, sharpness
from histoscope.slides.tissue import find_tissue

GLASS = np.array([243, 241, 238])
PENS = {
    "red": (200, 30, 40),
    "green": (20, 110, 60),
    "blue": (30, 40, 150),
    "black": (25, 25, 28),
    "yellow": (240, 220, 40),
    "orange": (240, 120, 20),
    "purple": (110, 30, 140),
    "brown": (110, 60, 30),
}


@pytest.fixture(scope="module")
def tissue():
    """Give 512 x 512 px of tissue of 0.5 um."""
    return hs.synth.generate((512, 512), mpp=0.5, rng=5).image


def blurred(image, sigma_um):
    return cv2.GaussianBlur(image, (0, 0), sigma_um / 0.5)


def noisy(image, levels=2.0):
    noise = np.random.default_rng(0).normal(0, levels, (300, 500, 3))
    height, width = image.shape[:2]
    noise = np.tile(noise, (height // 300 + 1, width // 500 + 1, 1))[:height, :width]
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def slide_of(image, folder, mpp=0.5):
    write_image(folder / "slide.tif", image, mpp=mpp)
    return open_slide(folder / "slide.tif")


def test_sharpness_falls_with_blur_as_stated(tissue):
    scores = [sharpness(blurred(tissue, um) if um else tissue) for um in (0, 1, 1.5, 2, 5)]
    assert scores == sorted(scores, reverse=True)
    assert 0.4 < scores[0] < 1.2
    assert scores[1] == pytest.approx(0.24, abs=0.03)
    assert scores[1] > LEAST_FOCUS > scores[2]


def test_neither_a_pale_stain_nor_noise_changes_what_is_sharp(tissue):
    pale = (255 - (255.0 - tissue) * 0.4).astype(np.uint8)
    assert sharpness(pale) == pytest.approx(sharpness(tissue), rel=0.2)
    assert sharpness(noisy(tissue)) > LEAST_FOCUS > sharpness(noisy(blurred(tissue, 2)))
    assert np.isnan(sharpness(noisy(np.full_like(tissue, 215))))


@pytest.fixture(scope="module")
def wide(tissue):
    """Give 1 x 1.75 mm of tissue."""
    return np.tile(np.concatenate([tissue, tissue[:, ::-1]], axis=1), (4, 4, 1))[:2000, :3500]


def test_what_is_blurred_is_left_out_and_nothing_else(wide, tmp_path):
    image = wide.copy()
    image[:, 1800:] = blurred(wide[:, 1800:], 3)
    whole, _ = find_tissue(slide_of(image, tmp_path))
    found, _ = find_tissue(slide_of(image, tmp_path), least_focus=LEAST_FOCUS)
    sharp = np.s_[:, : 1800 // 16]
    assert np.array_equal(found.mask[sharp], whole.mask[sharp])
    far = (1800 + 2 * 512) // 16  # beyond the square that holds the border and the next
    assert not found.mask[:, far + 2 :].any()
    assert found.blurred[:, far:].mean() > 0.7
    assert not (found.blurred & found.mask).any()
    assert found.area_mm2 + found.blurred_mm2 == pytest.approx(whole.area_mm2, rel=0.02)
    assert np.isnan(whole.blurred_mm2)


def test_a_sharp_slide_keeps_all_and_a_coarse_one_is_not_judged(wide, tmp_path):
    for mpp, image in ((0.5, wide), (1.0, blurred(wide, 4))):
        slide = slide_of(image, tmp_path, mpp)
        found, _ = find_tissue(slide, least_focus=LEAST_FOCUS)
        assert found.blurred_mm2 == 0
        assert np.array_equal(found.mask, find_tissue(slide)[0].mask)


def test_mucus_between_cells_is_tissue(wide, tmp_path):
    """What shows nothing that could be sharp is not called blurred."""
    image = np.full_like(wide, (205, 140, 200))
    image[:512, :512] = wide[:512, :512]
    found, _ = find_tissue(slide_of(image, tmp_path), least_focus=LEAST_FOCUS)
    assert found.blurred_mm2 == 0
    assert found.mask.mean() > 0.95


LAMPS = {1.0: (1, 1, 1), 0.7: (1.0, 0.95, 0.82)}


@pytest.mark.parametrize("pen", PENS)
@pytest.mark.parametrize("cover", LAMPS)
def test_pens_of_all_colours_are_left_out(tissue, tmp_path, pen, cover):
    image = np.ones((1500, 3600, 3)) * GLASS
    image[100:612, 100:612] = tissue
    ink = np.zeros((1500, 3600), np.float32)
    cv2.line(ink, (2000, 200), (3000, 1300), 1.0, 700)
    ink = cv2.GaussianBlur(ink, (0, 0), 20)[..., None] * cover  # the pen is on the coverslip
    image *= 1 - ink * (1 - np.array(PENS[pen]) / 245)
    slide = slide_of(noisy(image * LAMPS[cover], 1.5), tmp_path)
    found, _ = find_tissue(slide, least_focus=LEAST_FOCUS)
    assert not found.mask[:, 1200 // 16 :].any()
    assert found.mask[100 // 16 : 612 // 16, 100 // 16 : 612 // 16].mean() > 0.75


@pytest.mark.parametrize("tint", [(1, 1, 1), (0.85, 1, 1.15), (0.9, 1.1, 1)])
def test_the_edge_of_a_coverslip_is_left_out(tissue, tmp_path, tint):
    image = np.ones((2000, 2600, 3)) * GLASS
    image[100:612, 100:612] = tissue
    edge = np.zeros((2000, 2600), np.float32)
    edge[:, 1900:1960] = 1
    edge = cv2.GaussianBlur(edge, (0, 0), 12)[..., None]
    slide = slide_of(noisy(image * (1 - 0.55 * edge * np.array(tint)), 1.5), tmp_path)
    found, _ = find_tissue(slide, least_focus=LEAST_FOCUS)
    assert not found.mask[:, 1500 // 16 :].any()
