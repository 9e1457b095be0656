"""Focus and stain of a slide."""

import cv2
import numpy as np
import pytest

import histoscope as hs
from histoscope.slides.quality import BLURRED, focus, quality_of


@pytest.fixture(scope="module")
def tile():
    return hs.synth.generate((300, 300), mpp=0.5, rng=5).image


def test_focus_falls_with_blur(tile):
    scores = [focus(tile), *(focus(cv2.GaussianBlur(tile, (0, 0), sigma)) for sigma in (1, 2, 3))]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > BLURRED > scores[2]


def test_a_pale_stain_is_no_blur(tile):
    pale = (255 - (255.0 - tile) * 0.5).astype(np.uint8)
    assert focus(pale) == pytest.approx(focus(tile), rel=0.15)


def test_scores_of_a_slide(tile):
    row = quality_of([tile, tile[::-1].copy()])
    assert row["focus"] == round(focus(tile), 4)
    assert row["haematoxylin_od"] > 0.3
    assert row["eosin_od"] > 0.1
    pale = quality_of([(255 - (255.0 - tile) * 0.5).astype(np.uint8)])
    assert pale["haematoxylin_od"] < row["haematoxylin_od"]


def test_glass_has_no_stain():
    row = quality_of([np.full((300, 300, 3), 240, np.uint8)])
    assert row["focus"] == 0
    assert np.isnan(row["haematoxylin_od"])
    assert "too little tissue" in row["stain_notes"]
    assert np.isnan(quality_of([])["focus"])
