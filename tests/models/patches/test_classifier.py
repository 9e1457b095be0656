"""Classifiers: the contract, patches of any image, and model folders that need no hub."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope import models
from histoscope.errors import ConfigError, DataError, ShapeError, UnknownNameError
from histoscope.models.patches.classifier import fit_patch
from histoscope.types import Sample

SMALL = {
    "unet": {"backbone": "unet", "options": {"width": 4, "depth": 2}, "patch_px": 16},
    "convolutions": {"backbone": "test_efficientnet", "patch_px": 32},
    "transformer": {"backbone": "test_vit", "patch_px": 32, "mean": (0.5, 0.5, 0.5)},
}
CLASSES = ["normal", "tumour", "stroma"]


@pytest.fixture(scope="module", params=SMALL)
def model(request):
    torch.manual_seed(0)
    return models.create("classifier", classes=CLASSES, mpp=0.5, **SMALL[request.param]).eval()


@pytest.fixture
def batch(model):
    side = model.spec.patch_px
    return torch.randint(0, 255, (3, 3, side, side), generator=torch.manual_seed(1), dtype=torch.uint8)


@torch.no_grad()
def test_heads_features_and_probabilities_have_a_row_a_patch(model, batch):
    heads = model(batch)
    assert heads["logits"].shape == (3, 3)
    features = model.features(model.normalised(batch))
    assert features.shape == (3, model.n_features)
    torch.testing.assert_close(model.head(features), heads["logits"])
    probabilities = model.probabilities(heads)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(3))
    assert probabilities.argmax(dim=1).tolist() == heads["logits"].argmax(dim=1).tolist()


@torch.no_grad()
def test_a_batch_is_its_patches(model, batch):
    alone = torch.cat([model(patch[None])["logits"] for patch in batch])
    torch.testing.assert_close(model(batch)["logits"], alone, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_folder_holds_all_that_it_takes(model, batch, tmp_path):
    model.temperature.fill_(2.0)
    models.save(model, tmp_path, {"weights licence": "CC0"})
    again = models.load(tmp_path, models.Classifier)
    torch.testing.assert_close(again.probabilities(again(batch)), model.probabilities(model(batch)))
    assert again.spec == model.spec
    assert again.freeze_norm == model.freeze_norm
    assert json.loads((tmp_path / "card.json").read_text())["input"]["classes"] == CLASSES
    model.temperature.fill_(1.0)


def test_a_gradient_reaches_every_weight(model, batch):
    model.train()
    loss = model.loss(model(batch), {"label": torch.tensor([0, 1, 2])})
    loss["total"].backward()
    assert set(loss) == {"classification_loss", "total"}
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    model.zero_grad()
    model.eval()


def test_depths_rise_from_image_to_head(model):
    depth = model.depths()
    assert set(depth) == {name for name, _ in model.named_parameters()}
    top = max(depth.values())
    assert {name for name, d in depth.items() if d == top} == {"head.weight", "head.bias"}
    assert sorted(set(depth.values())) == list(range(top + 1))


def test_the_loss_is_cross_entropy_with_weights():
    model = models.create("classifier", classes=CLASSES, **SMALL["unet"])
    logits, label = torch.randn(5, 3, generator=torch.manual_seed(0)), torch.tensor([0, 1, 2, 1, 0])
    chosen = torch.log_softmax(logits, dim=1)[torch.arange(5), label]
    target = {"label": label}
    assert model.loss({"logits": logits}, target)["total"].item() == pytest.approx(-chosen.mean().item())
    model.weigh_classes([1.0, 2.0, 0.0])
    w = torch.tensor([1.0, 2.0, 0.0])[label]
    expected = -(w * chosen).sum() / w.sum()
    assert model.loss({"logits": logits}, target)["total"].item() == pytest.approx(expected.item())


def test_targets_are_labels_and_say_what_is_wrong():
    model = models.create("classifier", classes=CLASSES, **SMALL["unet"])
    sample = Sample(np.zeros((16, 16, 3), np.uint8), 0.5, label=2, name="p")
    target = model.targets(sample)["label"]
    assert target == 2
    assert target.dtype == np.int64
    with pytest.raises(DataError, match="'p' has no class"):
        model.targets(replace(sample, label=None))
    with pytest.raises(ConfigError, match=r"class 3.*normal, tumour, stroma"):
        model.targets(replace(sample, label=3))


def test_frozen_normalisation_stays_as_it_is():
    model = models.create("classifier", classes=CLASSES, freeze_norm=True, **SMALL["convolutions"]).train()
    before = {k: v.clone() for k, v in model.state_dict().items() if "running" in k}
    model(torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8))
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in before.items())
    free = models.create("classifier", classes=CLASSES, **SMALL["convolutions"]).train()
    assert not free.freeze_norm
    before = free.backbone.bn1.running_mean.clone()
    free(torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8))
    assert not torch.equal(before, free.backbone.bn1.running_mean)


@given(
    height=st.integers(1, 80),
    width=st.integers(1, 80),
    scale=st.floats(0.2, 4.0),
    side=st.integers(1, 48),
)
@settings(max_examples=60, deadline=None)
def test_a_patch_has_its_size_whatever_the_image(height, width, scale, side):
    image = np.full((height, width, 3), (10, 100, 200), np.uint8)
    patch = fit_patch(image, scale, side)
    assert patch.shape == (side, side, 3)
    assert (patch == (10, 100, 200)).all()


def test_a_patch_is_the_middle_of_a_larger_image():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (20, 24, 3), np.uint8)
    np.testing.assert_array_equal(fit_patch(image, 1.0, 8), image[6:14, 8:16])
    assert fit_patch(image[:8, :8], 1.0, 8).base is image  # nothing copied where nothing is to be done
    ramp = np.repeat(np.arange(0, 240, 3, dtype=np.uint8)[None, :, None], 80, axis=0).repeat(3, axis=2)
    halved = fit_patch(ramp, 0.5, 20)  # columns 20 to 59, two in one
    expected = (3 * (20.5 + 2 * np.arange(20)))[None, :, None]
    assert np.abs(halved - expected).max() <= 1


def test_wrong_arguments_are_named():
    with pytest.raises(UnknownNameError, match="did you mean 'resnet18'"):
        models.create("classifier", backbone="resnett18", classes=CLASSES)
    with pytest.raises(ConfigError, match="two or more"):
        models.create("classifier", classes=["one"], **SMALL["unet"])
    with pytest.raises(ConfigError, match="two or more"):
        models.create("classifier", classes=["a", "a"], **SMALL["unet"])
    with pytest.raises(ConfigError, match="dropout"):
        models.create("classifier", classes=CLASSES, dropout=1.0, **SMALL["unet"])
    with pytest.raises(ConfigError, match="exclude each other"):
        models.create("classifier", backbone="resnet18", pretrained=True, weights="a.npz")
    with pytest.raises(ConfigError, match="cannot be made"):
        models.create("classifier", backbone="resnet18", options={"nonsense": 1})


def test_sizes_that_a_transformer_does_not_take_are_refused():
    model = models.create("classifier", classes=CLASSES, **SMALL["transformer"])
    with pytest.raises(ShapeError, match=r"32 x 32.*Classifier\.patch"):
        model(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_a_backbone_alone_gives_features_and_no_classes():
    model = models.create("classifier", **SMALL["unet"])
    assert model.features(model.normalised(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))).shape == (1, 8)
    with pytest.raises(ConfigError, match="without classes"):
        model(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


def test_a_folder_of_another_kind_is_refused(tmp_path):
    models.save(models.create("unet", width=2, depth=1), tmp_path)
    with pytest.raises(ConfigError, match="unet, expected a classifier"):
        models.load(tmp_path, models.Classifier)


def test_classes_come_from_a_data_set_of_patches():
    model = models.create_for({0: "normal", 1: "tumour"}, "classifier", SMALL["unet"])
    assert model.spec.classes == ("normal", "tumour")


def test_a_resolution_is_never_guessed(tmp_path):
    """Nobody said how large a pixel is, so no patch can be shown, also after a way through a folder."""
    image = np.zeros((40, 40, 3), np.uint8)
    fresh = models.create(
        "classifier", backbone="unet", options={"width": 4, "depth": 2}, patch_px=20, classes=["a", "b"]
    )
    models.save(fresh, tmp_path)
    assert json.loads((tmp_path / "card.json").read_text())["input"]["mpp"] is None
    for model in (fresh, models.load(tmp_path)):
        with pytest.raises(ConfigError, match=r"not set: give it mpp=.*show_at"):
            model.patch(image, 0.5)
        model.show_at(1.0)
        assert model.patch(image, 0.5).shape == (20, 20, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"patch_px": value} for value in (0, -5, "20", 20.0, True)),
        *({"mpp": value} for value in (0, float("nan"), -1.0)),
        {"interpolation": "foo"},
        {"pooling": "foo"},
        {"std": (0.0, 1.0, 1.0)},
        {"mean": [1, 2]},
        {"options": 3},
        {"dropout": 1},
    ],
    ids=str,
)
def test_arguments_that_cannot_be_are_refused(wrong):
    given = {"backbone": "unet", "options": {"width": 4, "depth": 2}, "patch_px": 20} | wrong
    with pytest.raises(ConfigError):
        models.create("classifier", **given)
