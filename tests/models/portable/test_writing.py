"""A folder for other programs: network, card, and what else it needs; or nothing."""

import json
import sys

import numpy as np
import pytest
import torch

from histoscope import models, stain, synth, weights
from histoscope.errors import ConfigError, MissingDependencyError, UnknownNameError
from histoscope.metrics import match
from histoscope.models.portable import TARGETS, runtimes, writing


@pytest.fixture(scope="module")
def folder(stardist, tmp_path_factory):
    about = {"weights licence": "CC0 1.0", "training data": {"name": "mine", "licence": "CC BY 4.0"}}
    return models.save(stardist, tmp_path_factory.mktemp("model") / "small", about)


def test_torchscript_comes_with_the_card(folder, tmp_path):
    done = models.export(folder, tmp_path / "out", to="torchscript")
    assert [file.name for file in done.files] == ["model.pt", "card.json"]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"model.pt", "card.json"}
    assert (tmp_path / "out" / "card.json").read_bytes() == (folder / "card.json").read_bytes()
    assert max(done.errors.values()) < 1e-3
    assert done.about["classes"] == ["a", "b"]
    assert (done.about["mpp"], done.about["grid"], done.about["rays"]) == (0.4, 2, 8)
    assert done.about["thresholds"] == {"probability": 0.5, "iou": 0.4}
    assert done.about["weights licence"] == "CC0 1.0"


def test_onnx_says_in_itself_what_it_takes(folder, tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    done = models.export(folder, tmp_path / "out")
    said = {each.key: each.value for each in onnx.load(done.files[0]).metadata_props}
    assert said["layout"] == "NCHW"
    assert json.loads(said["size divisor"]) == 4
    assert json.loads(said["mpp"]) == 0.4
    assert json.loads(said["classes"]) == ["a", "b"]
    assert list(json.loads(said["outputs"])) == ["probability", "distances", "inside", "classes"]
    assert done.errors.keys() >= {"ONNX Runtime"}
    assert len(done.errors) == 2
    assert done.refused == ""


def test_its_heads_decode_to_the_nuclei_of_torch(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    model = models.load("nuclei-free")
    image = synth.generate((128, 160), mpp=0.5, rng=np.random.default_rng(2)).image
    done = models.export("nuclei-free", tmp_path / "out")
    session = onnxruntime.InferenceSession(str(done.files[0]))
    blob = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
    names = list(done.about["outputs"])
    heads = dict(zip(names, map(torch.from_numpy, session.run(names, {"image": blob})), strict=True))
    found = model.decode(heads, image.shape[:2], 0.5)
    with torch.inference_mode():
        expected = model.decode(model(torch.from_numpy(blob).byte()), image.shape[:2], 0.5)
    assert len(found) == len(expected) > 5
    assert match(expected.instances, found.instances, iou_threshold=0.95).tp == len(expected)


def test_for_qupath_a_script_lies_beside(folder, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    done = models.export(folder, tmp_path / "out", to="qupath")
    assert [file.name for file in done.files] == ["model.onnx", "detect_nuclei.groovy", "card.json"]
    text = done.files[1].read_text(encoding="utf-8")
    assert (tmp_path / "out" / "model.onnx").resolve().as_posix() in text
    assert "CC0 1.0" in text


def test_the_stain_reference_goes_along_but_not_to_qupath(stardist, tmp_path):
    image = synth.generate((96, 96), mpp=0.5, rng=np.random.default_rng(0)).image
    models.save(stardist, tmp_path / "model", normalizer=stain.open("macenko", image))
    done = models.export(tmp_path / "model", tmp_path / "out", to="torchscript")
    assert [file.name for file in done.files] == ["model.pt", "card.json", "stain_reference.json"]
    assert done.about["stain normaliser"] == "macenko"
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    with pytest.raises(ConfigError, match="macenko"):
        models.export(tmp_path / "model", tmp_path / "other", to="qupath")
    assert not (tmp_path / "other").exists()


def test_a_model_of_another_kind_is_refused_for_qupath_before_anything_is_written(trained, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    for name, arguments in {
        "unet": {"width": 4, "depth": 2},
        "classifier": {"backbone": "unet", "classes": ["a", "b"], "patch_px": 32},
    }.items():
        models.save(trained(name, **arguments), tmp_path / name)
        with pytest.raises(ConfigError, match=f"{name} is a {name}"):
            models.export(tmp_path / name, tmp_path / "out", to="qupath")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_refused(folder, tmp_path):
    for out in (folder, tmp_path):
        (tmp_path / "mine.txt").touch()
        with pytest.raises(ConfigError, match="not empty; name a new folder"):
            models.export(folder, out, to="torchscript")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_target_is_named(folder, tmp_path):
    with pytest.raises(UnknownNameError, match="torchscript"):
        models.export(folder, tmp_path / "out", to="torchscrip")


def test_without_the_extra_onnx_is_refused_first(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'histoscope\[onnx\]'"):
        models.export("no such model", tmp_path / "out")


def test_what_computes_something_else_is_not_left(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "torchscript_error", lambda *_: float("nan"))
    with pytest.raises(ConfigError, match="disagrees with torch"):
        models.export(folder, tmp_path / "out", to="torchscript")
    assert list((tmp_path / "out").iterdir()) == []


def test_every_target_has_a_writer():
    assert writing._WRITERS.keys() == TARGETS.keys()


@pytest.mark.parametrize("name", weights.WEIGHTS)
@pytest.mark.filterwarnings("ignore:.*non-commercial use only:UserWarning")
def test_every_model_that_comes_along_leaves_for_qupath(name, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    done = models.export(name, tmp_path / "out", to="qupath")
    assert max(done.errors.values()) < 1e-3
    assert len(done.errors) == 2
