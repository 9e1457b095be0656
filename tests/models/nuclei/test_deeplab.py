"""DeepLabV3+ at a small size, from scratch."""

import pytest
import torch

from histoscope import models
from histoscope.errors import ConfigError, UnknownNameError

SMALL = {"encoder": "mobilenetv2_050", "width": 16, "mpp": 0.5}


def test_it_learns_from_scratch_what_it_is_shown():
    torch.manual_seed(0)
    model = models.create("deeplab", **SMALL).train()
    image = torch.full((2, 3, 32, 32), 220, dtype=torch.uint8)
    image[:, :, 8:20, 8:20] = 90
    regions = torch.zeros(2, 32, 32, dtype=torch.long)
    regions[:, 8:20, 8:20] = 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        loss = model.loss(model(image), {"regions": regions})["total"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_it_asks_no_hub_and_is_small_enough_for_a_processor(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = models.create("deeplab", **SMALL)
    assert sum(p.numel() for p in model.parameters()) < 1e6
    assert model.spec.divisible_by == 16


def test_settings_that_cannot_be_are_refused():
    for wrong in ({"width": 0}, {"rates": (1, 2)}, {"rates": (0, 1, 2)}):
        with pytest.raises(ConfigError, match="three dilation rates"):
            models.create("deeplab", **SMALL | wrong)
    with pytest.raises(UnknownNameError, match="encoder"):
        models.create("deeplab", encoder="mobilenettv2")
    with pytest.raises(ConfigError, match="batches of 2"):
        models.create("deeplab", **SMALL).train()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
