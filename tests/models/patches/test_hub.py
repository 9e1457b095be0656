"""Backbones by name, without any hub."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from histoscope import models
from histoscope.errors import ConfigError
from histoscope.models.patches import hub

TINY = {"depth": 1, "embed_dim": 32, "num_heads": 2, "img_size": 28}


@pytest.mark.parametrize("name", hub.FOUNDATIONS)
def test_foundation_models_load_from_a_local_file(name, tmp_path):
    known = hub.FOUNDATIONS[name]
    patch = known.arguments.get("patch_size") or int(known.architecture.split("patch")[1].split("_")[0])
    options = {**TINY, "img_size": 2 * patch}
    torch.manual_seed(0)
    network, preset, plain, _ = hub.build(name, pretrained=False, options=options)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    model = models.create(
        "classifier",
        backbone=f"hf-hub:{known.repo}",
        classes=["a", "b"],
        weights=tmp_path / "weights.safetensors",
        patch_px=2 * patch,
        options=options,
    ).eval()
    assert plain == f"hf-hub:{known.repo}"
    assert model.spec.mpp == known.mpp
    assert model.spec.mean == preset.mean
    assert len(model.loaded.loaded) == len(network.state_dict())
    x = torch.rand(2, 3, 2 * patch, 2 * patch, generator=torch.manual_seed(0))
    with torch.no_grad():
        features = model.features(model.normalised(x))
        tokens = network.eval().forward_features(model.normalised(x))
    parts = 2 if preset.pooling == "cls_mean" else 1
    assert features.shape == (2, 32 * parts)
    if parts == 2:
        torch.testing.assert_close(features[:, 32:], tokens[:, network.num_prefix_tokens :].mean(dim=1))
    again = models.load(models.save(model, tmp_path / "model"), models.Classifier)
    with torch.no_grad():
        torch.testing.assert_close(again(x), model(x))


def test_lengths_of_embeddings_are_those_of_the_architectures():
    for known in hub.FOUNDATIONS.values():
        width = (
            known.arguments.get("embed_dim")
            or {
                "vit_large_patch16_224": 1024,
                "vit_huge_patch14_224": 1280,
                "vit_giant_patch14_reg4_dinov2": 1536,
                "vit_base_patch14_reg4_dinov2": 768,
                "vit_base_patch16_224": 768,
                "vit_small_patch8_224": 384,
            }[known.architecture]
        )
        assert known.features == width * (2 if known.preset.pooling == "cls_mean" else 1)


def test_the_preset_is_the_backbones_own():
    model = models.create("classifier", backbone="test_vit", classes=["a", "b"])
    config = timm.get_pretrained_cfg("test_vit")
    assert model.spec.patch_px == config.input_size[-1]
    assert model.spec.mean == tuple(config.mean)
    assert model.interpolation == config.interpolation


def test_a_folder_with_a_configuration_of_timm(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("test_vit", num_classes=0, img_size=32)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    config = {"architecture": "test_vit", "num_classes": 0, "model_args": {"img_size": 32}}
    config["pretrained_cfg"] = {
        "input_size": [3, 32, 32],
        "mean": [0.1] * 3,
        "std": [0.2] * 3,
        "interpolation": "bicubic",
        "fixed_input_size": True,
        "num_classes": 0,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = models.create("classifier", backbone=f"local-dir:{tmp_path}", pretrained=True, classes=["a", "b"])
    assert model.spec.patch_px == 32
    assert model.spec.mean == (0.1, 0.1, 0.1)
    assert model.arguments["backbone"] == "test_vit"  # the folder is not asked for again
    found = model.backbone.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in network.state_dict().items())
    again = models.load(models.save(model, tmp_path / "model"), models.Classifier)
    assert again.spec == model.spec


class GatedRepoError(Exception):
    pass


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("uni", GatedRepoError("403 Client Error"), r"gated: accept the terms at .*MahmoodLab/UNI.*HF_TOKEN"),
        ("virchow2", OSError("no connection"), r"without internet access.*weights=.*They are gated"),
        ("resnet18", OSError("no connection"), r"could not be downloaded.*timm/resnet18.*weights="),
        ("hf-hub:nobody/nothing", OSError("404 Not Found"), r"no model 'nobody/nothing'"),
    ],
)
def test_a_hub_that_cannot_be_used_says_what_to_do(name, error, words, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("histoscope.models.patches.hub.check_reachable", lambda *args, **kwargs: None)
    monkeypatch.setattr("timm.create_model", fail)
    monkeypatch.setattr("timm.models.load_model_config_from_hf", fail)
    with pytest.raises(ConfigError, match=words):
        models.create("classifier", backbone=name, pretrained=True, classes=["a", "b"])


@pytest.mark.parametrize("name", ["unet", "mobilenet_v2_tf"])
def test_our_own_backbones_are_on_no_hub(name):
    with pytest.raises(ConfigError, match="set weights="):
        models.create("classifier", backbone=name, pretrained=True, classes=["a", "b"])


@pytest.mark.parametrize(
    ("name", "n_tensors", "mean", "std"),  # of the same weights and image in 0.1
    [
        ("mobilenet_v2_tf", 312, 0.0407366, 0.0573718),
        ("mobilenet_v1_075_tf", 162, 0.0417778, 0.0586857),
        ("mobilenet_v1_050_tf", 162, 0.0458378, 0.0644789),
        ("mobilenet_v1_025_tf", 162, 0.0486264, 0.0677200),
    ],
)
@torch.no_grad()
def test_networks_that_folders_of_0_1_name_see_the_same(name, n_tensors, mean, std):
    half = (0.5, 0.5, 0.5)
    model = models.create("classifier", backbone=name, patch_px=32, mpp=0.5, mean=half, std=half).eval()
    state = model.backbone.state_dict()
    for k, (key, value) in enumerate(state.items(), 1):
        if value.is_floating_point():
            wave = torch.cos(torch.arange(value.numel(), dtype=torch.float64) * k)
            if value.ndim == 4:
                wave *= (2 / value[0].numel()) ** 0.5
            else:
                wave = wave * 0.1 + ("var" in key or "weight" in key)
            value.copy_(wave.reshape(value.shape))
    image = torch.arange(3 * 33**2).reshape(1, 3, 33, 33).remainder(256).to(torch.uint8)
    features = model.features(model.normalised(image))
    assert len(state) == n_tensors
    assert features.mean().item() == pytest.approx(mean, rel=1e-4)
    assert features.std().item() == pytest.approx(std, rel=1e-4)
