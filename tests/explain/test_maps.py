import sys

import numpy as np
import pytest
import torch
from torch import nn

from histoscope import models
from histoscope.errors import ConfigError, MissingDependencyError, ShapeError
from histoscope.explain import blend, explain, grad_cam, rollout

SMALL = {"width": 4, "depth": 3}
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 2, "num_heads": 3}


def classifier(backbone="unet", options=SMALL, **more):
    torch.manual_seed(0)
    return models.create(
        "classifier", backbone=backbone, options=options, classes=["a", "b", "c"], patch_px=32, **more
    ).eval()


def patches(n=3, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), np.uint8))


def batch(model, images):
    return model.normalised(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("backbone", "options"),
    [("unet", SMALL), ("test_efficientnet", {}), ("test_convnext", {}), ("test_resnet", {})],
)
def test_grad_cam_equals_gradients_by_hand(backbone, options):
    model = classifier(backbone, options)
    x = batch(model, patches())
    target = [0, 1, 2]
    features = model.backbone.forward_features(x).detach().requires_grad_()
    pooled = (
        model.backbone.forward_head(features)
        if hasattr(model.backbone, "forward_head")
        else features.mean((2, 3))
    )
    model.head(pooled)[range(3), target].sum().backward()
    weight = features.grad.mean((2, 3), keepdim=True)
    expected = torch.relu((weight * features).sum(1)).detach()
    assert torch.allclose(grad_cam(model, x, target), expected, atol=1e-5)


def test_grad_cam_finds_the_place_that_spoke():
    """A network that counts red pixels must be explained by the red corner, for that class alone."""
    model = classifier()

    class Red(nn.Module):
        def forward_features(self, x):
            return nn.functional.avg_pool2d(torch.relu(x[:, :1] - x[:, 1:2]), 4)

        def forward(self, x):
            return self.forward_features(x).mean((2, 3))

    model.backbone, model.head = Red(), nn.Linear(1, 3)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[5.0], [-5.0], [0.0]]))
    patch = np.full((32, 32, 3), 120, np.uint8)
    patch[:8, 24:] = 250, 20, 20
    found = explain(model, [patch, patch], [0, 1])
    assert found.method == "Grad-CAM"
    hottest = np.unravel_index(found.heat[0].argmax(), (32, 32))
    assert hottest[0] < 8
    assert hottest[1] >= 24
    assert found.heat[0][16:].max() < 0.1
    assert not found.heat[1].any()  # red spoke against the second class, and nothing for it


@pytest.mark.parametrize("more", [{}, {"pooling": "cls_mean"}])
@pytest.mark.parametrize("extra", [{}, {"reg_tokens": 2}, {"global_pool": "avg", "class_token": False}])
def test_rollout_equals_a_walk_over_the_layers(extra, more):
    if more and extra.get("class_token") is False:
        pytest.skip("without a class token there is none to read")
    options = {**VIT, **extra, **({"global_pool": ""} if more else {})}
    model = classifier("vit_tiny_patch16_224", options, **more)
    x = batch(model, patches(2))
    found = rollout(model, x)
    assert found.shape == (2, 4, 4)
    assert (found >= 0).all()
    backbone = model.backbone
    with torch.no_grad():  # the same network, layer by layer
        tokens = backbone._pos_embed(backbone.patch_embed(x))
        tokens = backbone.norm_pre(backbone.patch_drop(tokens))
        flow = torch.eye(tokens.shape[1]).expand(2, -1, -1)
        for block in backbone.blocks:
            attn, y = block.attn, block.norm1(tokens)
            q, k, _ = attn.qkv(y).reshape(*y.shape[:2], 3, 3, 4).permute(2, 0, 3, 1, 4)
            weights = (q @ k.transpose(-2, -1) * 4**-0.5).softmax(-1).mean(1)
            flow = (weights + torch.eye(weights.shape[-1])) / 2 @ flow
            tokens = block(tokens)
    prefix = backbone.num_prefix_tokens
    rows = {
        "class": flow[:, 0],
        "mean": flow[:, prefix:].mean(1),
        "both": (flow[:, 0] + flow[:, prefix:].mean(1)) / 2,
    }["both" if more else "mean" if extra.get("class_token") is False else "class"]
    assert torch.allclose(found.reshape(2, -1), rows[:, prefix:], atol=1e-5)
    assert (rows.sum(1) - 1).abs().max() < 1e-5


def test_the_model_is_left_as_it_was():
    model = classifier("vit_tiny_patch16_224", VIT).train()
    fused = [module.fused_attn for module in model.modules() if hasattr(module, "fused_attn")]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explain(model, patches(2))
    assert model.training
    assert [module.fused_attn for module in model.modules() if hasattr(module, "fused_attn")] == fused
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_maps_are_of_the_patches_and_of_what_the_model_predicts():
    model = classifier()
    images = patches(9)  # more than a batch
    found = explain(model, images)
    assert found.heat.shape == (9, 32, 32)
    assert found.heat.min() >= 0
    assert found.heat.max() <= 1
    with torch.no_grad():
        predicted = model.heads(batch(model, images))["logits"].argmax(1).tolist()
    assert found.target.tolist() == predicted
    one = explain(model, images[:1], [int(found.target[0])])
    assert one.heat[0] == pytest.approx(found.heat[0], abs=1e-4)


def test_a_blend_leaves_cold_places_alone():
    patch = patches(1)[0]
    heat = np.zeros((32, 32), np.float32)
    heat[:4] = 1
    mixed = blend(patch, heat)
    assert (mixed[4:] == patch[4:]).all()
    assert (mixed[:4] != patch[:4]).any(axis=2).mean() > 0.9
    with pytest.raises(ShapeError, match="same size"):
        blend(patch, heat[:5])


def test_wrong_input_is_told(monkeypatch):
    model, vit = classifier(), classifier("vit_tiny_patch16_224", VIT)
    with pytest.raises(ShapeError, match="0 patches"):
        explain(model, [])
    with pytest.raises(ShapeError, match="3 patches and 1"):
        explain(model, patches(), [0])
    with pytest.raises(ConfigError, match="Grad-CAM"):
        rollout(model, batch(model, patches()))
    with pytest.raises(ConfigError, match="use rollout"):
        grad_cam(vit, batch(vit, patches()), [0, 0, 0])
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'histoscope\[explain\]'"):
        explain(model, patches())


class Own(nn.Module):
    """Counts red pixels, behind an activation that works in place."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Conv2d(3, 3, 1)
        self.last = nn.Sequential(nn.Conv2d(3, 1, 4, stride=4, bias=False), nn.ReLU(inplace=True))
        self.outputs = nn.Linear(1, 2)
        with torch.no_grad():
            self.last[0].weight.copy_(torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4))
            self.outputs.weight.copy_(torch.tensor([[1.0], [-1.0]]))

    def forward(self, x):
        return self.outputs(self.last(x).mean(dim=(2, 3)))


def test_a_classifier_of_ones_own_is_explained_by_its_last_convolution():
    model = models.wrap(Own(), kind="patches", classes=["red", "other"], mpp=0.5, patch_px=32)
    patch = np.full((32, 32, 3), 120, np.uint8)
    patch[:8, 24:] = 250, 20, 20
    found = explain(model, [patch, patch], [0, 1])
    assert found.method == "Grad-CAM"
    hottest = np.unravel_index(found.heat[0].argmax(), (32, 32))
    assert (hottest[0] < 8, hottest[1] >= 24) == (True, True)


def test_what_cannot_be_explained_is_told():
    class Pooled(nn.Linear):
        def forward(self, x):
            return super().forward(x.mean(dim=(2, 3)))

    model = models.wrap(Pooled(3, 2), kind="patches", classes=["a", "b"], mpp=0.5, patch_px=32)
    with pytest.raises(ConfigError, match=r"Pooled has no convolution"):
        explain(model, patches())
    segmenter = models.wrap(nn.Conv2d(3, 3, 1), mpp=0.5)
    with pytest.raises(ConfigError, match=r"got a WrappedSegmenter; .*kind='patches'"):
        explain(segmenter, patches())
