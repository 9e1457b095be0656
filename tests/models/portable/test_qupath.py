"""The script says what the card says, and QuPath's own rules find the nuclei that Histoscope finds."""

import re

import numpy as np
import pytest
import torch

from histoscope import models, synth
from histoscope.errors import ConfigError
from histoscope.metrics import match
from histoscope.models.nuclei.star import candidates_of, nuclei_of
from histoscope.models.portable import opencv, qupath


def scripted(model, **changed):
    words = {"name": "mine", "licence": "CC0", "version": "1", "path": "/a/model.onnx"}
    return qupath.script(model, **words | changed)


def test_the_script_has_the_settings_of_the_card(stardist):
    text = scripted(stardist)
    assert ".pixelSize(0.4)" in text
    assert ".threshold(0.5)" in text
    assert ".classificationNames([0: 'background', 1: 'a', 2: 'b'])" in text
    assert "def modelPath = '/a/model.onnx'" in text
    assert "normalizePercentiles" not in text
    (padding,) = re.findall(r"\.padding\((\d+)\)", text)
    (tile,) = re.findall(r"\.tileSize\((\d+)\)", text)
    assert stardist.spec.context_px <= int(padding) < int(tile) / 2
    assert text.count("(") == text.count(")")


def test_a_model_without_classes_names_none(trained):
    assert "classificationNames" not in scripted(trained("stardist", width=4, depth=2, n_rays=8))


def test_names_cannot_break_out_of_the_script(trained):
    model = trained("stardist", width=4, depth=2, n_rays=8, classes=["it's", "a\\b"])
    text = scripted(model, name="a\nprintln 1", path="C:/o'clock/$x")
    assert r"1: 'it\'s', 2: 'a\\b'" in text
    assert "\nprintln 1" not in text
    assert r"'C:/o\'clock/$x'" in text


def test_networks_that_its_extension_does_not_run_are_refused(trained):
    with pytest.raises(ConfigError, match=r"StarDist networks only; mine is a unet"):
        qupath.require_stardist(trained("unet", width=4, depth=2), "mine")
    deep = trained("stardist", width=1, depth=6, n_rays=8, grid=4)
    with pytest.raises(ConfigError, match=r"multiples of 128, QuPath gives multiples of 64"):
        qupath.require_stardist(deep, "mine")


def decoded(output, model, shape):
    """As QuPath reads the output: a threshold, polygons from points of the grid, the largest class."""
    rays = model.n_rays
    rows, columns = np.nonzero(output[0, 0] >= model.thresholds["probability"])
    at = output[0][:, rows, columns].T
    values = {"probability": np.log(at[:, :1] / (1 - at[:, :1])), "distances": at[:, 1 : 1 + rays]}
    places = np.stack([rows, columns], axis=1)
    found = candidates_of(places, values, grid=model.spec.grid, scale=(1.0, 1.0))
    return nuclei_of(found, model.thresholds["iou"], shape, model.spec.mpp, refine=True)


@pytest.mark.parametrize("name", ["nuclei", "nuclei-free", "nuclei-research"])
@pytest.mark.filterwarnings("ignore:.*non-commercial use only:UserWarning")
def test_opencvs_output_decodes_to_the_nuclei_of_predict(name, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    model = models.load(name)
    image = synth.generate((256, 192), mpp=model.spec.mpp, rng=np.random.default_rng(1)).image
    expected = models.predict(image, model, mpp=model.spec.mpp)
    written = models.export(name, tmp_path / "out", to="qupath")
    net = opencv.read(written.files[0])
    net.setInput(np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32))
    found = decoded(net.forward(), model, image.shape[:2])
    assert len(expected) > 10
    assert abs(len(found) - len(expected)) <= 0.03 * len(expected)
    pairs = match(expected.instances, found.instances, iou_threshold=0.7)
    assert pairs.tp >= 0.95 * len(expected)
    with torch.inference_mode():
        heads = model(torch.from_numpy(image).permute(2, 0, 1)[None])
    np.testing.assert_allclose(net.forward()[:, 1 : 1 + model.n_rays], heads["distances"], atol=1e-2)
