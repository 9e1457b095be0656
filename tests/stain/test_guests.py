"""Normalisers of others: by object, by name, kept in model folders, and never run because a file says so."""

import sys
from pathlib import Path

import numpy as np
import pytest

from histoscope import models, plugins, stain
from histoscope.errors import ConfigError
from histoscope.files import read_image, write_image
from histoscope.jobs import normalize
from histoscope.predict import Detector
from histoscope.train.choices import check_normalizer
from histoscope.types import Sample

NORMS = """
import numpy as np

class Shift:
    "Shifts the mean level of an image to that of a reference."
    def __init__(self, level=128.0):
        self.level = level
    @classmethod
    def fit(cls, image):
        return cls(float(image.mean()))
    def to_dict(self):
        return {"level": self.level}
    @classmethod
    def from_dict(cls, values):
        return cls(**values)
    def estimate(self, image):
        return float(np.mean(image))
    def __call__(self, image, *, source=None):
        here = image.mean() if source is None else source
        return np.clip(image + (self.level - here), 0, 255).astype(np.uint8)

class Later:
    "As scikit-learn and torchstain have it: made first, fitted then."
    level = 0
    def fit(self, image):
        self.level = int(image.mean())
    def __call__(self, image, *, source=None):
        return np.full_like(image, self.level)

def dark(image):
    return image // 2

def small(image):
    return image[:4]
"""


@pytest.fixture
def norms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "guest_norms.py").write_text(NORMS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_asked", set())
    import guest_norms

    yield guest_norms
    del sys.modules["guest_norms"]


@pytest.fixture
def bright() -> np.ndarray:
    return np.full((8, 8, 3), 200, np.uint8)


@pytest.mark.parametrize(("name", "level"), [("Shift", 200), ("Later", 200), ("dark", 50)])
def test_it_is_fitted_called_and_read_again(norms, bright, tmp_path, name, level):
    fitted = stain.get(f"guest_norms:{name}").fit(bright, origin="bright.png")
    image = np.full((8, 8, 3), 100, np.uint8)
    np.testing.assert_array_equal(fitted(image), level)
    fitted.save(tmp_path / "norm.json")
    read = stain.load(tmp_path / "norm.json")
    assert (read.name, read.origin, read.pixels) == (f"guest_norms:{name}", fitted.origin, fitted.pixels)
    if name != "Later":  # it does not say what it keeps
        np.testing.assert_array_equal(read(image), level)


def test_a_slide_is_measured_once(norms):
    shift = stain.get("guest_norms:Shift").default()
    tile = np.full((4, 4, 3), 100, np.uint8)
    assert shift(tile, source=shift.measure(np.full((4, 4, 3), 60, np.uint8))).max() == 168
    assert stain.get("guest_norms:dark").default().measure(tile).value is None


@pytest.mark.parametrize("name", ["Shift", "dark"])
@pytest.mark.parametrize("by_folder", [False, True])
def test_a_folder_of_images_goes_through_it(norms, tmp_path, name, by_folder):
    for k, level in enumerate((60, 100)):
        write_image(tmp_path / "in" / f"{k}.png", np.full((4, 4, 3), level, np.uint8))
    target = stain.get(f"guest_norms:{name}").default()
    planned = normalize.plan(tmp_path / "in", tmp_path / "out")
    outcome = normalize.run(target, planned, by_folder=by_folder)
    assert (outcome.normalized, outcome.failed) == (2, [])
    levels = [int(read_image(tmp_path / "out" / f"{k}.png").max()) for k in (0, 1)]
    assert levels == ([30, 50] if name == "dark" else [108, 148] if by_folder else [128, 128])


def test_an_object_trains_and_lies_in_the_model_folder(norms, tmp_path):
    net = models.create("unet", width=4, depth=2, mpp=0.5)
    models.save(net, tmp_path, normalizer=norms.Shift(90.0))
    assert models.read_card(tmp_path)["stain normaliser"] == "guest_norms:Shift"
    with pytest.raises(ConfigError, match="never runs code only because a file names it"):
        models.normalizer_of(tmp_path)
    stain.get("guest_norms:Shift")  # now it was asked for
    found = models.normalizer_of(tmp_path)
    assert found(np.full((4, 4, 3), 10, np.uint8)).max() == 90
    assert Detector.open(tmp_path).normalizer.values() == {"level": 90.0}


def test_yaml_and_studies_take_it(norms, bright, disks: Sample):
    from histoscope.studies.factors import FACTORS

    assert stain.open("guest_norms:Shift")(bright).max() == 128
    assert FACTORS["normalizer"].levels["guest_norms:Shift"] == {"normalizer": "guest_norms:Shift"}
    assert "no_such" not in FACTORS["normalizer"].levels
    assert stain.open("guest_norms:Later", bright)(disks.image).max() == 200


def test_what_it_does_not_take_is_told(norms, bright, tmp_path):
    with pytest.raises(ConfigError, match=r"no fit\(\), so it takes no 'reference'"):
        check_normalizer("guest_norms:dark", None, tmp_path)
    with pytest.raises(ConfigError, match="'white' is for"):
        check_normalizer("guest_norms:dark", (240, 240, 240))
    with pytest.raises(ConfigError, match=r"small' gives \(4, 8, 3\) uint8, expected \(8, 8, 3\)"):
        stain.get("guest_norms:small").default()(bright)
    with pytest.raises(ConfigError, match="a function"):
        stain.get("math:pi")
    for wrong in ("macenko", norms.Shift):
        with pytest.raises(ConfigError, match="expected a fitted one"):
            stain.adopted(wrong)


def test_ours_keep_the_protocol():
    assert isinstance(stain.get("macenko").default(), stain.Normalizer)
