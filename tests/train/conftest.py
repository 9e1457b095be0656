"""A small network and a short training."""

import pytest
import torch

from histoscope import models
from histoscope.train import TrainConfig


@pytest.fixture
def fresh_model():
    def make():
        torch.manual_seed(0)
        return models.create("unet", width=4, depth=2, mpp=0.5)

    return make


@pytest.fixture
def config():
    return TrainConfig(
        steps=12, batch_size=2, patch_px=32, evaluate_every=6, checkpoint_every=4, tensorboard=False
    )
