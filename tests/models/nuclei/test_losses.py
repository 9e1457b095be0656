"""Losses against the definitions, written out slowly."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from histoscope.models.nuclei.losses import cross_entropy, dice_cross_entropy, focal, soft_dice, tversky


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


def some_logits(seed=0, shape=(2, 4, 5, 3)):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, shape), rng.integers(0, shape[1], (shape[0], *shape[2:]))


def slow_focal(logits, target, gamma, weight):
    """One pixel after the other: -w (1 - p)^gamma log p, over the sum of w."""
    total = mass = 0.0
    for b, y, x in np.ndindex(target.shape):
        c = target[b, y, x]
        if c < 0:
            continue
        e = np.exp(logits[b, :, y, x])
        p = e[c] / e.sum()
        total += -weight[c] * (1 - p) ** gamma * np.log(p)
        mass += weight[c]
    return total / mass


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("weight", [(1, 1, 1, 1), (0, 2, 0.5, 7)])
def test_focal_is_its_definition(gamma, weight):
    logits, target = some_logits()
    target[0, :2] = -1
    found = focal(
        torch.tensor(logits),
        torch.tensor(target),
        gamma=gamma,
        weight=torch.tensor(weight, dtype=torch.float),
    )
    assert found.item() == pytest.approx(slow_focal(logits, target, gamma, weight), rel=1e-4)


def test_cross_entropy_is_that_of_pytorch():
    logits, target = (torch.tensor(each) for each in some_logits(1))
    weight = torch.tensor([1.0, 0.2, 3.0, 0.0])
    for each in (None, weight):
        ours = cross_entropy(logits, target, weight=each)
        theirs = functional.cross_entropy(logits.float(), target, weight=each)
        torch.testing.assert_close(ours, theirs)


def test_without_known_pixels_losses_are_0_and_have_a_gradient():
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    nothing = torch.full((1, 4, 4), -1)
    for gamma in (0.0, 0.5, 2.0):
        cost = focal(logits, nothing, gamma=gamma)
        cost.backward()
        assert cost.item() == 0.0
        assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_of_sure_pixels_has_a_finite_gradient(gamma):
    target = torch.tensor([[[0, 1]]])
    logits = torch.tensor([[[[200.0, 200.0]], [[-200.0, -200.0]]]], requires_grad=True)
    focal(logits, target, gamma=gamma).backward()
    assert torch.isfinite(logits.grad).all()


def slow_tversky(p, t, alpha):
    costs = []
    for c in range(p.shape[1]):
        hit = sum(p[b, c, y, x] * t[b, c, y, x] for b, y, x in np.ndindex(p[:, c].shape))
        missed = sum((1 - p[b, c, y, x]) * t[b, c, y, x] for b, y, x in np.ndindex(p[:, c].shape))
        false = sum(p[b, c, y, x] * (1 - t[b, c, y, x]) for b, y, x in np.ndindex(p[:, c].shape))
        costs.append(1 - (hit + 1) / (hit + alpha * missed + (1 - alpha) * false + 1))
    return np.mean(costs)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.7, 1.0])
def test_tversky_is_its_definition(alpha):
    rng = np.random.default_rng(0)
    p, t = rng.random((2, 3, 5, 4)), (rng.random((2, 3, 5, 4)) > 0.7).astype(float)
    found = tversky(torch.tensor(p), torch.tensor(t), alpha=alpha)
    assert found.item() == pytest.approx(slow_tversky(p, t, alpha), rel=1e-5)


def test_tversky_at_one_half_is_dice():
    rng = np.random.default_rng(1)
    p, t = torch.tensor(rng.random((2, 3, 5, 4))), torch.tensor(rng.random((2, 3, 5, 4)) > 0.7).double()
    torch.testing.assert_close(tversky(p, t, alpha=0.5, smooth=0.5), soft_dice(p, t).float())


def test_tversky_of_nothing_is_0():
    empty = torch.zeros(1, 2, 3, 3)
    assert tversky(empty, empty).item() == 0.0
