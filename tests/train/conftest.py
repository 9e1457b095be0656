"""A small cohort, a small network, a short training."""

import numpy as np
import pytest
import torch

from histoscope import models, synth
from histoscope.data import Datasheet, InMemory
from histoscope.train import TrainConfig
from histoscope.types import Sample


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


@pytest.fixture(scope="session")
def patches():
    """Twenty-four patches of two classes that a small network can tell apart, from eight photographs."""
    rng = np.random.default_rng(0)
    made = []
    for k in range(24):
        label = k % 2
        colour = np.array([(225, 170, 205), (150, 90, 170)][label])
        image = np.clip(colour + rng.normal(0, 25, (20, 20, 3)), 0, 255).astype(np.uint8)
        about = {"name": f"p{k}", "source": f"photo{k // 6}{label}"}
        made.append(Sample(image, 0.5, label=label, **about))
    return made


@pytest.fixture(scope="session")
def patch_set(patches):
    """The same as a data set with classes."""
    return InMemory.of(patches, Datasheet("drawn", classes={0: "normal", 1: "tumour"}, mpp=0.5))


@pytest.fixture
def fresh_classifier():
    def make(**more):
        torch.manual_seed(0)
        tiny = {"backbone": "unet", "options": {"width": 4, "depth": 2}, "patch_px": 20, "mpp": 0.5}
        return models.create("classifier", **{"classes": ["normal", "tumour"], **tiny, **more})

    return make
