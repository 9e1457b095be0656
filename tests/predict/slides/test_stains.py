"""The stains of a slide are estimated once, kept, and taken from where they were kept."""

import json
from dataclasses import replace

import numpy as np
import pytest

from histoscope import stain
from histoscope.errors import StainError
from histoscope.files import write_image
from histoscope.predict.slides.run import predict_slide
from histoscope.predict.slides.stains import Sample, recolor_of
from histoscope.predict.slides.store import STAINS, Store
from histoscope.slides import open_slide
from histoscope.slides.tissue import find_tissue


@pytest.fixture
def sample(slide):
    """Give the tiles that the stains of the slide are judged by."""
    return Sample.of(slide, find_tissue(slide)[0], 0.5)


@pytest.mark.parametrize("method", stain.NORMALIZERS)
def test_the_kept_stains_are_those_of_the_tiles(sample, image, tmp_path, method):
    normalizer = stain.open(method)
    recolor = recolor_of(sample, normalizer, tmp_path / STAINS)
    expected = normalizer(image, source=normalizer.estimate(sample.tiles))
    assert np.abs(recolor(image).astype(int) - expected).max() <= 1
    kept = stain.load(tmp_path / STAINS, method)
    np.testing.assert_allclose(kept.target.white, normalizer.estimate(sample.tiles).white)
    assert "macenko" in json.loads((tmp_path / STAINS).read_text())["methods"]


def test_stains_that_were_kept_are_not_estimated_again(sample, image, tmp_path, monkeypatch):
    normalizer = stain.open("macenko")
    first = recolor_of(sample, normalizer, tmp_path / STAINS)(image)
    text = (tmp_path / STAINS).read_bytes()
    monkeypatch.setattr(stain.Macenko, "measure", lambda *_: pytest.fail("estimated again"))
    assert np.array_equal(recolor_of(sample, normalizer, tmp_path / STAINS)(image), first)
    assert (tmp_path / STAINS).read_bytes() == text


def test_a_model_without_a_normaliser_leaves_pixels_and_keeps_the_stains(slide, regions, tmp_path):
    with Store.hold(tmp_path, {}) as store:
        predict_slide(slide, regions, store)
    known = json.loads((tmp_path / STAINS).read_text())
    estimate = stain.Macenko.estimate([slide.read_at(box, 0.5) for box in _boxes(known)])
    np.testing.assert_allclose(known["methods"]["macenko"]["stains"], estimate.stains)
    np.testing.assert_allclose(known["methods"]["macenko"]["amounts"], estimate.amounts)
    assert known["mpp"] == 0.5
    assert len(known["tiles_px"]) == 12
    with Store.hold(tmp_path, {"another": 1}, overwrite=True):
        assert not (tmp_path / STAINS).exists()


def _boxes(known):
    from histoscope.slides import Box

    return [Box(*box) for box in known["tiles_px"]]


def test_glass_alone_has_none(regions, tmp_path):
    write_image(tmp_path / "glass.tif", np.full((500, 500, 3), 243, np.uint8), mpp=0.5)
    normalizing = replace(regions, normalizer=stain.open("reinhard"))
    with Store.hold(tmp_path / "out", {}) as store:
        predict_slide(open_slide(tmp_path / "glass.tif"), normalizing, store)
    known = json.loads((tmp_path / "out" / STAINS).read_text())
    assert known["methods"] == {}
    assert "too little tissue" in known["notes"]["reinhard"]


class Brighter:
    """A normaliser of others: it has an estimate of its own."""

    def estimate(self, image):
        return float(image.mean())

    def __call__(self, image, *, source=None):
        if source is None:
            raise StainError("needs a source")
        return np.clip(image + (200.0 - source), 0, 255).astype(np.uint8)


def test_a_normaliser_of_others_measures_the_same_tiles(sample, image, tmp_path):
    recolor = recolor_of(sample, Brighter(), tmp_path / STAINS)
    expected = Brighter()(image, source=float(np.mean(sample.tiles)))
    assert np.abs(recolor(image).astype(int) - expected).max() <= 1
    assert list(json.loads((tmp_path / STAINS).read_text())["methods"]) == ["macenko"]
