"""Thresholds are those that a search over every one would find."""

import numpy as np
import pytest
import torch

from histoscope import metrics, models
from histoscope.models.inference import predict
from histoscope.train import thresholds
from histoscope.types import Nuclei


@pytest.fixture(scope="module")
def learned(samples):
    """A StarDist that has seen one image often enough to be better than chance."""
    torch.manual_seed(0)
    model = models.create("stardist", width=8, depth=3, head_width=16, n_rays=16, mpp=0.5, grid=1)
    image = torch.from_numpy(samples[0].image.copy()).permute(2, 0, 1)[None]
    target = {name: torch.from_numpy(value)[None] for name, value in model.targets(samples[0]).items()}
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        model.loss(model(image), target)["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def test_the_best_of_all_is_found(learned, samples, monkeypatch):
    monkeypatch.setattr(thresholds, "PROBABILITIES", (0.3, 0.4, 0.5, 0.6, 0.7))
    val = samples[:2]
    best = thresholds.tune(learned, val, metric="pq")
    chosen = dict(learned.thresholds)
    scores = {}
    for iou in thresholds.OVERLAPS:
        for probability in thresholds.PROBABILITIES:
            learned.thresholds = {"probability": probability, "iou": iou}
            found = [predict(sample.image, learned, sample.mpp).instances for sample in val]
            pq = [metrics.METRICS["pq"].function(s.instances, f) for s, f in zip(val, found, strict=True)]
            scores[probability, iou] = float(np.nan_to_num(pq).mean())
    assert best == pytest.approx(max(scores.values()))
    assert scores[chosen["probability"], chosen["iou"]] == pytest.approx(best)
    assert max(scores.values()) > min(scores.values())


def test_nothing_to_tune_changes_nothing(samples):
    model = models.create("unet", width=2, depth=2)
    assert np.isnan(thresholds.tune(model, samples))
    star = models.create("stardist", width=2, depth=2)
    assert np.isnan(thresholds.tune(star, []))
    assert star.thresholds == {"probability": 0.5, "iou": 0.4}


@pytest.mark.parametrize("probability", [0.45, 0.9])
def test_a_network_that_has_not_learned_is_not_decoded_everywhere(probability, samples, monkeypatch):
    model = models.create("stardist", width=2, depth=2)
    logits = torch.full((1, 1, 16, 16), float(np.log(probability / (1 - probability))))
    asked = []

    def decode(heads, shape, mpp):
        asked.append(model.thresholds["probability"])
        return Nuclei.from_labels(np.zeros(shape, np.int32), mpp=mpp)

    monkeypatch.setattr(thresholds, "heads_of", lambda *_: {"probability": logits})
    monkeypatch.setattr(model, "decode", decode)
    assert thresholds.tune(model, samples[:1]) == 0.0
    assert all(each >= probability for each in asked)
    assert model.thresholds == {"probability": 0.5, "iou": 0.4}  # nothing to choose by
