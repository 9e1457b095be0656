"""Nuclei are not sought where a slide is out of focus, and that is said."""

import json

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import histoscope as hs
from histoscope.errors import ConfigError
from histoscope.files import write_image
from histoscope.jobs.journal import Job
from histoscope.predict.slides.batch import SlideSettings, run

BORDER = 1300


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """Give a slide of tissue whose right half is out of focus."""
    tile = hs.synth.generate((512, 512), mpp=0.5, rng=5).image
    image = np.full((1200, 3100, 3), 243, np.uint8)
    image[100:1100, 100:3000] = np.tile(tile, (2, 6, 1))[:1000, :2900]
    image[:, BORDER:] = cv2.GaussianBlur(image[:, BORDER:], (0, 0), 6)
    path = tmp_path_factory.mktemp("half") / "half.tif"
    write_image(path, image, mpp=0.5)
    return path


def test_what_is_out_of_focus_is_left_out_and_said(half, regions, tmp_path):
    (row,) = run(regions, [Job(half, "a")], tmp_path, SlideSettings()).done
    (whole,) = run(regions, [Job(half, "b")], tmp_path, SlideSettings(least_focus=0)).done
    assert row["blurred_mm2"] > 0.15
    assert whole["blurred_mm2"] is None
    assert row["tissue_mm2"] + row["blurred_mm2"] == pytest.approx(whole["tissue_mm2"], rel=0.03)
    kept, every = (pq.read_table(tmp_path / name / "cells.parquet") for name in "ab")
    left = every["x_px"].to_numpy() < BORDER
    assert set(np.array(every["id"].to_pylist())[left]) <= set(kept["id"].to_pylist())
    assert kept["x_px"].to_numpy().max() < BORDER + 2 * 512 + 32  # the border's square, and one more
    outlined = np.array(Image.open(tmp_path / "a" / "overview.png")).astype(int)
    plain = np.array(Image.open(tmp_path / "b" / "overview.png"))
    scale = outlined.shape[1] / 2 / 3100
    hatched = np.s_[int(600 * scale), int(2700 * scale) : int(2900 * scale)]
    assert (outlined[hatched].max(axis=-1) == 0).mean() > 0.1
    assert (plain[hatched].max(axis=-1) > 0).all()


def test_the_tissue_can_be_given_as_region_of_interest(half, regions, tmp_path):
    """QuPath's classes say what is tissue and what to ignore, and are understood when they come back."""
    run(regions, [Job(half, "a")], tmp_path, SlideSettings())
    text = json.loads((tmp_path / "a" / "tissue.geojson").read_text())
    kinds = {feature["properties"]["classification"]["name"] for feature in text["features"]}
    assert kinds == {"Region*", "Ignore*"}
    assert {feature["properties"]["objectType"] for feature in text["features"]} == {"annotation"}
    again = SlideSettings(roi=tmp_path / "a" / "tissue.geojson")
    (row,) = run(regions, [Job(half, "b")], tmp_path, again).done
    first, second = (set(pq.read_table(tmp_path / name / "cells.parquet")["id"].to_pylist()) for name in "ab")
    assert first == second
    assert row["blurred_mm2"] is None


def test_another_least_focus_is_another_plan(half, regions, tmp_path):
    run(regions, [Job(half, "a")], tmp_path, SlideSettings())
    with pytest.raises(ConfigError, match=r"another plan \(least_focus: 0\.2 there, 0\.1 now"):
        run(regions, [Job(half, "a")], tmp_path, SlideSettings(least_focus=0.1))
