"""A small cohort, a small network, a short training."""

import pytest
import torch

from histoscope import models, synth
from histoscope.train import TrainConfig


@pytest.fixture(scope="session")
def samples():
    return synth.cohort(4, 1, shape_px=(96, 96), mpp=0.5, stains=("default",), seed=0)


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
