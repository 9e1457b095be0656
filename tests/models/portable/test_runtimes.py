"""What is written is what torch computes, in each runtime and at any size."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from histoscope import models
from histoscope.errors import ConfigError
from histoscope.models.portable import runtimes
from histoscope.models.portable.network import Portable

SEGMENTERS = {
    "unet": {"width": 4, "depth": 3},
    "resunet": {"width": 4, "depth": 3},
    "smp": {"decoder": "unet", "encoder": "resnet18"},
    "stardist": {"width": 4, "depth": 2, "n_rays": 8, "classes": ["a"]},
}


class TakesTheFirst(nn.Module):
    """What it gives depends on a choice that tracing loses."""

    def forward(self, image):
        return image if image.shape[2] < 70 else 2.0 * image + 1.0


class NotInOnnx(nn.Module):
    def forward(self, image):
        return torch.linalg.qr(image)[0]


@pytest.mark.parametrize("name", SEGMENTERS)
def test_onnx_is_within_a_thousandth_of_torch_at_any_size(name, trained, tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    network, path = Portable(trained(name, **SEGMENTERS[name])).eval(), tmp_path / "model.onnx"
    runtimes.write_onnx(network, path, {"mpp": 0.25, "layout": "NCHW"})
    assert runtimes.onnxruntime_error(network, path) < 1e-3
    assert runtimes.opencv_error(network, path) < 1e-3
    assert {each.key: each.value for each in onnx.load(path).metadata_props} == {
        "mpp": "0.25",
        "layout": "NCHW",
    }


@pytest.mark.parametrize("backbone", ["test_resnet", "unet"])
def test_classifiers_too(backbone, trained, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    model = trained("classifier", backbone=backbone, classes=["a", "b"], patch_px=32)
    network, path = Portable(model).eval(), tmp_path / "model.onnx"
    runtimes.write_onnx(network, path, {})
    assert runtimes.onnxruntime_error(network, path) < 1e-3
    assert runtimes.opencv_error(network, path) < 1e-3


def test_torchscript_says_what_it_is(stardist, tmp_path):
    network, path = Portable(stardist).eval(), tmp_path / "model.pt"
    runtimes.write_torchscript(network, path, {"mpp": 0.4})
    assert runtimes.torchscript_error(network, path) < 1e-5
    extra = {"about.json": ""}
    with pytest.warns(FutureWarning, match="deprecated"):
        torch.jit.load(str(path), _extra_files=extra)
    assert json.loads(extra["about.json"]) == {"mpp": 0.4}


def test_another_network_is_not_within_it(stardist, trained, tmp_path):
    path = tmp_path / "model.pt"
    runtimes.write_torchscript(Portable(stardist).eval(), path, {})
    other = trained("stardist", width=8, depth=2, n_rays=8, mpp=0.4, classes=["a", "b"])
    assert runtimes.torchscript_error(Portable(other).eval(), path) > 1e-2


def test_a_choice_that_tracing_loses_is_seen(tmp_path):
    network = Portable(models.wrap(TakesTheFirst(), divisible_by=8)).eval()
    runtimes.write_torchscript(network, tmp_path / "model.pt", {})
    assert runtimes.torchscript_error(network, tmp_path / "model.pt") > 0.1


def test_what_onnx_does_not_know_is_said(tmp_path, capsys):
    pytest.importorskip("onnx")
    network = Portable(models.wrap(NotInOnnx(), divisible_by=8)).eval()
    with pytest.raises(ConfigError, match=r"cannot be written as ONNX: .*qr"):
        runtimes.write_onnx(network, tmp_path / "model.onnx", {})
    assert capsys.readouterr().out == ""


def test_images_of_noise_have_several_sizes_unless_patches(stardist, trained):
    shapes = [tuple(image.shape) for image in runtimes.examples(Portable(stardist))]
    assert len(set(shapes)) == 3
    assert all(side % stardist.spec.divisible_by == 0 for shape in shapes for side in shape[2:])
    patches = trained("classifier", backbone="unet", classes=["a", "b"], patch_px=32)
    images = runtimes.examples(Portable(patches))
    assert {tuple(image.shape[2:]) for image in images} == {(32, 32)}
    assert 200 < float(np.max([image.max() for image in images])) <= 255
