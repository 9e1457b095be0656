"""A model that is settled as after training."""

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
