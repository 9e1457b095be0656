"""Losses against the definitions, written out slowly."""

import numpy as np
import pytest
import torch

from histoscope.models.losses import dice_cross_entropy, soft_dice


def test_soft_dice_is_its_definition():
    rng = np.random.default_rng(0)
    p, t = rng.random((2, 3, 5, 4)), (rng.random((2, 3, 5, 4)) > 0.5).astype(float)
    slow = np.mean(
        [1 - (2 * (p[:, c] * t[:, c]).sum() + 1) / (p[:, c].sum() + t[:, c].sum() + 1) for c in range(3)]
    )
    assert soft_dice(torch.tensor(p), torch.tensor(t)).item() == pytest.approx(slow)


def test_perfect_logits_cost_nothing_and_wrong_ones_much():
    target = torch.randint(0, 3, (2, 16, 16), generator=torch.Generator().manual_seed(0))
    right = 50.0 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1).float()
    assert dice_cross_entropy(right, target)["total"].item() < 1e-3
    assert dice_cross_entropy(-right, target)["total"].item() > 10


def test_an_empty_patch_is_finite():
    losses = dice_cross_entropy(torch.zeros(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long))
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses["cross_entropy"].item() == pytest.approx(np.log(3), rel=1e-5)
