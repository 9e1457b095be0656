"""Prediction of images of any size: tiles must not show."""

import numpy as np
import pytest
import torch

from histoscope import models
from histoscope.errors import ShapeError
from histoscope.models import inference


@pytest.fixture(params=["unet", "stardist"])
def model(request):
    torch.manual_seed(0)
    more = {"n_rays": 8, "head_width": 8} if request.param == "stardist" else {}
    return models.create(request.param, width=3, depth=3, mpp=0.5, **more).eval()


@pytest.mark.parametrize("turned", [False, True])
def test_tiled_is_whole(model, monkeypatch, turned):
    image = np.random.default_rng(0).integers(0, 255, (152, 216, 3), dtype=np.uint8)
    whole = inference.heads_of(model, image, turned=turned)
    monkeypatch.setattr(inference, "TILE_PX", 64)
    tiled = inference.heads_of(model, image, turned=turned)
    assert all(head.shape[2:] == (152 // model.spec.grid, 216 // model.spec.grid) for head in tiled.values())
    torch.testing.assert_close(tiled, whole, rtol=1e-3, atol=1e-4)


def test_heads_cover_odd_sizes(model):
    image = np.random.default_rng(0).integers(0, 255, (33, 47, 3), dtype=np.uint8)
    for head in inference.heads_of(model, image).values():
        assert head.shape[2:] == (-(-33 // model.spec.grid), -(-47 // model.spec.grid))


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["unet", "stardist"])
def test_context_is_all_that_a_prediction_depends_on(name, depth):
    """A change of a pixel farther away than the context changes nothing."""
    torch.manual_seed(0)
    net = models.create(name, width=2, depth=depth).eval()
    context, divisor = net.spec.context_px, net.spec.divisible_by
    half = -(-(context + 2 * divisor) // divisor) * divisor
    image = torch.rand(1, 3, 2 * half, 2 * half)
    other = image.clone()
    other[:, :, : half - context] = 0
    other[:, :, :, : half - context] = 0
    with torch.no_grad():
        heads, changed = net(image), net(other)
    middle = half // net.spec.grid
    for head in heads:
        torch.testing.assert_close(heads[head][:, :, middle:, middle:], changed[head][:, :, middle:, middle:])


def test_padding_reflects_without_repeating_the_edge():
    image = torch.arange(5.0).view(1, 1, 1, 5)
    assert inference.pad_to_multiple(image, 8)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert inference.pad_to_multiple(image[..., :1], 4)[0, 0, 0].tolist() == [0, 0, 0, 0]


def test_predicting_leaves_the_model_as_it_was(model):
    model.train()
    models.predict(model, np.zeros((32, 32, 3), np.uint8), 0.5)
    assert model.training


@pytest.mark.parametrize(
    ("image", "mpp", "word"),
    [
        (np.zeros((0, 4, 3), np.uint8), 0.5, "at least one pixel"),
        (np.zeros((4, 4), np.uint8), 0.5, "uint8 RGB"),
        (np.zeros((4, 4, 3)), 0.5, "uint8 RGB"),
        (np.zeros((4, 4, 3), np.uint8), 0.0, "--mpp"),
    ],
)
def test_wrong_images_are_refused(model, image, mpp, word):
    with pytest.raises(ShapeError, match=word):
        models.predict(model, image, mpp)
