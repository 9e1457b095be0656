"""Numbers of StarDist's loss and of its test-time augmentation, from their definitions."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from histoscope import models


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.create(
        "stardist", width=4, depth=2, n_rays=8, head_width=8, mpp=0.25, classes=["a", "b"]
    ).eval()


@pytest.fixture
def batch(model, disks):
    image = torch.from_numpy(np.ascontiguousarray(disks.image.transpose(2, 0, 1)))[None]
    target = {name: torch.from_numpy(value)[None] for name, value in model.targets(disks).items()}
    with torch.no_grad():
        return model(image), target


def test_terms_of_the_loss_have_the_published_weights(model, batch):
    """Distances count a fifth of the other terms, and the background a hundredth within them."""
    heads, target = batch
    terms = model.loss(heads, target)
    truth = target["probability"]
    probability = functional.binary_cross_entropy_with_logits(heads["probability"], truth)
    error = (heads["distances"] - target["distances"]).abs().mean(dim=1, keepdim=True)
    outside = ((truth == 0) * heads["distances"].abs().mean(dim=1, keepdim=True)).mean()
    distance = (truth * error).sum() / truth.sum() + 0.01 * outside
    assert float(terms["probability_loss"]) == pytest.approx(float(probability), rel=1e-5)
    assert float(terms["distance_loss"]) == pytest.approx(0.2 * float(distance), rel=1e-5)


def test_mask_and_classes_count_once(model, batch):
    heads, target = batch
    terms = model.loss(heads, target)
    mask, truth = heads["inside"], target["inside"]
    share = torch.sigmoid(mask)
    overlap = 2 * (share * truth).sum(dim=(0, 2, 3)) / (share + truth).sum(dim=(0, 2, 3))
    plain = functional.binary_cross_entropy_with_logits(mask, truth)
    assert float(plain) < float(terms["inside_loss"]) < float(plain) + 1  # a Dice loss lies in [0, 1]
    assert float(terms["inside_loss"]) == pytest.approx(float(plain + 1 - overlap.mean()), abs=0.02)
    total = sum(float(value) for name, value in terms.items() if name != "total")
    assert float(terms["total"]) == pytest.approx(total, rel=1e-6)


def test_of_eight_views_the_probability_is_the_median_and_the_rest_the_mean(model):
    rng = np.random.default_rng(0)
    views = [
        {
            "probability": torch.from_numpy(rng.normal(0, 2, (1, 1, 6, 5))),
            "distances": torch.from_numpy(rng.uniform(1, 9, (1, 8, 6, 5))),
            "inside": torch.from_numpy(rng.normal(0, 2, (1, 4, 6, 5))),
            "classes": torch.from_numpy(rng.normal(0, 2, (1, 3, 6, 5))),
        }
        for _ in range(8)
    ]
    merged = {name: head.numpy() for name, head in model.merged(views).items()}
    stacked = {name: np.stack([view[name].numpy() for view in views]) for name in views[0]}
    np.testing.assert_allclose(merged["probability"], np.median(stacked["probability"], axis=0), rtol=1e-5)
    np.testing.assert_allclose(merged["distances"], stacked["distances"].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(merged["inside"], stacked["inside"].mean(axis=0), rtol=1e-5, atol=1e-6)
    classes = np.exp(stacked["classes"]) / np.exp(stacked["classes"]).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(np.exp(merged["classes"]), classes.mean(axis=0), rtol=1e-5)
