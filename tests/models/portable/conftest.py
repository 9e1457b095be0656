"""Networks of a card that are small, and settled as after training."""

import pytest
import torch

from histoscope import models


@pytest.fixture(scope="session")
def trained():
    """Make a model whose normalisation has seen images."""

    def make(name, **arguments):
        torch.manual_seed(0)
        model = models.create(name, **arguments).train()
        side = model.spec.patch_px or 2 * model.spec.divisible_by
        with torch.no_grad():
            model(torch.rand(4, 3, side, side))
        return model.eval()

    return make


@pytest.fixture(scope="session")
def stardist(trained):
    return trained("stardist", width=4, depth=2, n_rays=8, mpp=0.4, classes=["a", "b"])
