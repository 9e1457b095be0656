"""What a backbone can begin from: everything of it, or an error that says why."""

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from histoscope import models
from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError
from histoscope.models.patches.initial import initialise

NET = "test_efficientnet"
UNET = {"backbone": "unet", "options": {"width": 4, "depth": 2}, "patch_px": 16}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return timm.create_model(NET, num_classes=7)


def begun(path, **more):
    return models.create("classifier", backbone=NET, classes=["a", "b"], weights=path, **more)


def same(model, network):
    found = model.backbone.state_dict()
    return all(torch.equal(v, found[k]) for k, v in network.state_dict().items() if k in found)


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone.", "teacher.backbone."])
def test_names_may_be_wrapped(prefix, network, tmp_path):
    state = {prefix + name: value for name, value in network.state_dict().items()}
    state["projector.0.weight"] = torch.zeros(2)
    if not prefix:
        state.pop("projector.0.weight")
    save_file(state, tmp_path / "w.safetensors")
    model = begun(tmp_path / "w.safetensors")
    assert same(model, network)
    assert set(model.loaded.loaded) == {f"backbone.{name}" for name in model.backbone.state_dict()}
    assert any("classifier" in name for name in model.loaded.skipped)
    assert model.loaded.made == ("head.weight", "head.bias")
    assert "skipped" in str(model.loaded)


@pytest.mark.parametrize("suffix", [".pth", ".npz"])
def test_other_kinds_of_files(suffix, network, tmp_path):
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save({"epoch": 3, "state_dict": network.state_dict()}, path)
    else:
        np.savez(path, **{name: value.numpy() for name, value in network.state_dict().items()})
    assert same(begun(path), network)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (exit, ())

    torch.save({"state_dict": Evil()}, tmp_path / "w.pth")
    with pytest.raises(CorruptDataError, match="cannot be read as weights"):
        begun(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: s.pop("conv_stem.weight"), r"1 names are missing.*conv_stem\.weight"),
        (lambda s: s.update({"conv_extra.weight": torch.zeros(1)}), r"1 names are left over.*conv_extra"),
        (
            lambda s: s.update({"conv_stem.weight": torch.zeros(1, 3, 3, 3)}),
            r"1 shapes differ.*\(1, 3, 3, 3\)",
        ),
    ],
)
def test_what_does_not_fit_is_an_error_and_loads_nothing(spoil, words, network, tmp_path):
    state = dict(network.state_dict())
    spoil(state)
    save_file(state, tmp_path / "w.safetensors")
    model = models.create("classifier", backbone=NET, classes=["a", "b"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ConfigError, match=f"(?s){words}.*Nothing was loaded"):
        initialise(model, tmp_path / "w.safetensors")
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


def test_weights_of_another_architecture_are_refused(tmp_path):
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match="does not fit the backbone"):
        begun(tmp_path / "w.safetensors")


class TestOurOwnModels:
    def test_the_down_path_of_a_unet(self, tmp_path):
        unet = models.create("unet", width=4, depth=2)
        models.save(unet, tmp_path / "model")
        model = models.create("classifier", classes=["a", "b"], weights=tmp_path, **UNET)  # a run folder
        found = model.backbone.down.state_dict()
        assert all(torch.equal(value, found[name]) for name, value in unet.body.down.state_dict().items())
        assert "head.weight" in model.loaded.skipped

    def test_the_down_path_of_stardist(self, tmp_path):
        star = models.create("stardist", width=4, depth=2, grid=2, n_rays=8)
        models.save(star, tmp_path)
        options = {"width": 4, "depth": 2, "grid": 2}
        model = models.create(
            "classifier", classes=["a", "b"], backbone="unet", options=options, weights=tmp_path
        )
        found = model.backbone.down.state_dict()
        assert all(torch.equal(value, found[name]) for name, value in star.body[1].down.state_dict().items())

    def test_the_encoder_of_smp(self, tmp_path):
        smp = models.create("smp", encoder="resnet18")
        models.save(smp, tmp_path)
        model = models.create("classifier", backbone="resnet18", classes=["a", "b"], weights=tmp_path)
        encoder = smp.network.encoder.model.state_dict()
        assert all(torch.equal(value, model.backbone.state_dict()[name]) for name, value in encoder.items())

    def test_a_classifier_and_a_backbone(self, tmp_path):
        for classes in (["a", "b", "c"], []):
            source = models.create("classifier", classes=classes, **UNET)
            models.save(source, tmp_path)
            model = models.create("classifier", classes=["a", "b"], weights=tmp_path, **UNET)
            assert torch.equal(model.backbone.down[0][0].weight, source.backbone.down[0][0].weight)
            assert model.head.out_features == 2

    def test_another_size_names_what_the_card_says(self, tmp_path):
        models.save(models.create("unet", width=8, depth=2), tmp_path)
        with pytest.raises(ConfigError, match=r"'width': 8, 'depth': 2.*same backbone"):
            models.create("classifier", classes=["a", "b"], weights=tmp_path, **UNET)

    def test_a_model_without_a_backbone_for_us(self, tmp_path):
        models.save(models.create("resunet", width=2, depth=1), tmp_path)
        with pytest.raises(ConfigError, match="'resunet', which has no backbone"):
            models.create("classifier", classes=["a", "b"], weights=tmp_path, **UNET)


def test_files_that_are_no_weights(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="no weights at"):
        begun(tmp_path / "nowhere.npz")
    for name in ("w.safetensors", "w.pth", "w.npz"):
        (tmp_path / name).write_bytes(b"these are no weights at all")
        with pytest.raises(CorruptDataError, match=r"w\."):
            begun(tmp_path / name)
    (tmp_path / "w.onnx").write_bytes(b"")
    with pytest.raises(CorruptDataError, match=r"suffix '\.onnx'"):
        begun(tmp_path / "w.onnx")
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(CorruptDataError, match="no dictionary of tensors"):
        begun(tmp_path / "w.pth")
