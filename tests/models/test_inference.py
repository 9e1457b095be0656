"""Prediction of images of any size: tiles must not show."""

import numpy as np
import pytest
import torch

from histoscope import models
from histoscope.errors import ShapeError
from histoscope.models import inference


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.create("unet", width=3, depth=3, mpp=0.5).eval()


def test_tiled_is_whole(model, monkeypatch):
    image = np.random.default_rng(0).integers(0, 255, (150, 210, 3), dtype=np.uint8)
    whole = inference.heads_of(model, image)["regions"]
    monkeypatch.setattr(inference, "TILE_PX", 64)
    monkeypatch.setattr(inference, "HALO_PX", 48)
    tiled = inference.heads_of(model, image)["regions"]
    assert tiled.shape == (1, 3, 150, 210)
    torch.testing.assert_close(tiled, whole, rtol=1e-3, atol=1e-4)


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
