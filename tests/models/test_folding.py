"""Folding changes nothing but the time."""

import pytest
import torch
from torch import nn

from histoscope import models
from histoscope.models.folding import folded, folded_sequences

NETWORKS = ["test_efficientnet", "test_resnet", "resnetv2_50", "test_vit", "unet"]


def settled(network, side):
    """Statistics as after training, and not those of a network that is just made."""
    network.train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.rand(4, 3, side, side) * 2 - 0.5)
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_a_quick_copy_sees_the_same(name):
    torch.manual_seed(0)
    side = 32
    model = models.create("classifier", backbone=name, classes=["a", "b"], patch_px=side)
    settled(model.backbone, side)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    quick = model.train().quick()
    assert model.training
    assert not quick.training
    batch = torch.randint(0, 255, (3, 3, side, side), dtype=torch.uint8)
    expected = model.eval()(batch)["logits"]
    torch.testing.assert_close(quick(batch)["logits"], expected, rtol=1e-3, atol=1e-3)
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    left = [m for m in quick.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if name in {"test_efficientnet", "unet"}:
        assert not left


class Crossed(nn.Module):
    """Names its layers in an order that is not the one it uses them in."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return torch.relu(self.first(torch.relu(self.norm(x))))


@torch.no_grad()
def test_what_would_not_be_the_same_is_left_alone():
    torch.manual_seed(0)
    network = settled(Crossed(), 8)
    x = torch.rand(2, 3, 8, 8)
    quick = folded(network, x)
    assert isinstance(quick.norm, nn.BatchNorm2d)
    torch.testing.assert_close(quick(x), network(x))


def test_weights_that_are_not_folded_are_shared():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)).eval()
    quick = folded(network, torch.rand(1, 3, 4, 4))
    assert quick[2].weight is network[2].weight
    assert isinstance(network[1], nn.BatchNorm2d)


@pytest.mark.parametrize("name", ["unet", "stardist"])
def test_a_folded_segmenter_says_the_same_and_leaves_the_other_as_it_was(name):
    torch.manual_seed(0)
    model = models.create(name, width=2, depth=3).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
                module.weight.normal_()
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        image = torch.randint(0, 255, (1, 3, 32, 32), dtype=torch.uint8)
        folded = folded_sequences(model)
        torch.testing.assert_close(folded(image), model(image), rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
