import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.augment import AugmentConfig, AugmentParams, apply
from histoscope.augment.color import add_noise, blur, color_matrix, recolor
from histoscope.types import Sample

IMAGE = np.random.default_rng(0).integers(60, 190, (48, 40, 3), dtype=np.uint8)
factors = st.floats(0.5, 1.5)


@given(factors, factors, factors, st.floats(-180, 180))
def test_recolor_is_its_matrix_in_exact_arithmetic(brightness, contrast, saturation, hue):
    params = AugmentParams(brightness=brightness, contrast=contrast, saturation=saturation, hue_deg=hue)
    matrix = color_matrix(params, IMAGE.reshape(-1, 3).mean(axis=0))
    exact = np.clip(IMAGE @ matrix[:, :3].T + matrix[:, 3], 0, 255)
    assert np.abs(recolor(IMAGE, params) - exact).max() <= 1  # OpenCV computes in fixed point


@given(factors, st.floats(-180, 180), st.integers(0, 255))
def test_grey_stays_grey_under_saturation_and_hue(saturation, hue, level):
    grey = np.full((4, 4, 3), level, np.uint8)
    out = recolor(grey, AugmentParams(saturation=saturation, hue_deg=hue)).astype(int)
    assert np.abs(out - level).max() <= 1


def test_brightness_multiplies():
    assert np.array_equal(recolor(IMAGE // 2 * 2, AugmentParams(brightness=0.5)), IMAGE // 2)


def test_no_saturation_is_luma():
    out = recolor(IMAGE, AugmentParams(saturation=0.0))
    luma = IMAGE @ [0.299, 0.587, 0.114]
    assert np.abs(out - luma[:, :, None]).max() <= 1


def test_contrast_keeps_the_mean_and_scales_the_spread():
    out = recolor(IMAGE, AugmentParams(contrast=0.5)).reshape(-1, 3).astype(float)
    flat = IMAGE.reshape(-1, 3)
    assert np.allclose(out.mean(axis=0), flat.mean(axis=0), atol=0.3)
    assert np.allclose(out.std(axis=0), flat.std(axis=0) / 2, atol=0.3)


@pytest.mark.parametrize("hue", [120, -120])
def test_a_third_of_a_turn_swaps_the_channels(hue):
    out = recolor(IMAGE, AugmentParams(hue_deg=hue))
    assert np.array_equal(out, np.roll(IMAGE, 1 if hue > 0 else -1, axis=2))


def test_a_small_hue_turn_goes_the_way_of_hsv():
    color = np.array([[[180, 90, 150]]], np.uint8)
    before, after = (
        colorsys.rgb_to_hsv(*(pixels[0, 0] / 255.0))[0] * 360
        for pixels in (color, recolor(color, AugmentParams(hue_deg=15)))
    )
    assert after - before == pytest.approx(15, abs=4)


def test_blur_keeps_the_mean_and_has_its_width():
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    out = blur(np.repeat(np.repeat(point, 1, 0), 1, 1), 1.5)[:, :, 0].astype(float)
    columns = np.arange(41) - 20
    assert (out.sum(axis=0) * columns**2).sum() / out.sum() == pytest.approx(1.5**2, rel=0.15)
    assert blur(IMAGE, 2.0).mean() == pytest.approx(IMAGE.mean(), abs=0.7)
    assert blur(IMAGE, 2.0).std() < IMAGE.std() / 2


def test_blur_is_given_in_micrometres():
    a = apply(Sample(IMAGE, 0.5), AugmentConfig(), AugmentParams(blur_um=1.0)).image
    assert np.array_equal(a, blur(IMAGE, 2.0))


def test_noise_has_no_bias_and_its_deviation():
    grey = np.full((200, 200, 3), 128, np.uint8)
    noise = add_noise(grey, 10.0, 5).astype(float) - 128
    assert abs(noise.mean()) < 0.15
    assert noise.std() == pytest.approx(10.0, rel=0.02)
    assert abs(np.corrcoef(noise[:, :, 0].ravel(), noise[:, :, 1].ravel())[0, 1]) < 0.02
    assert np.array_equal(add_noise(grey, 10.0, 5), add_noise(grey, 10.0, 5))
    assert not np.array_equal(add_noise(grey, 10.0, 5), add_noise(grey, 10.0, 6))


def test_values_are_cut_at_black_and_white_not_wrapped():
    white, black = np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8)
    assert recolor(white, AugmentParams(brightness=1.4)).min() == 255
    assert add_noise(white, 20, 0).min() > 150
    assert add_noise(black, 20, 0).max() < 100
