"""Remedies for rare classes, as training takes them."""

import numpy as np
import pytest
import torch

from histoscope import balance, models, synth, train
from histoscope.errors import ConfigError
from histoscope.train import loop


@pytest.fixture
def star():
    def make():
        torch.manual_seed(0)
        return models.create("stardist", width=4, depth=2, n_rays=8, mpp=0.5, classes=list(synth.CLASSES))

    return make


@pytest.mark.parametrize("name", balance.BALANCES)
def test_every_preset_trains_and_tests_by_class(name, star, samples, config, tmp_path):
    fitted = train.fit(star(), samples, samples[:1], config, out=tmp_path, balance=balance.get(name))
    assert set(fitted.model.thresholds) == {"probability", "iou"}
    table = train.evaluate(fitted.model, samples[:1])
    assert {f"pq_{name}" for name in synth.CLASSES} <= set(table)
    truth = np.bincount(samples[0].classes[1:], minlength=len(synth.CLASSES) + 1)[1:]
    counted = [table[f"tp_{c}"][0] + table[f"fn_{c}"][0] for c in synth.CLASSES]
    assert counted == truth.tolist()


def test_weights_reach_the_loss(star, samples):
    model = star()
    made = loop._remedies(model, samples, balance.get("weights"))
    assert model.class_weights.tolist() == pytest.approx([1.0, *made.loss_weights])
    target = {name: torch.from_numpy(value)[None] for name, value in model.targets(samples[0]).items()}
    image = torch.from_numpy(samples[0].image.copy()).permute(2, 0, 1)[None]
    heads = model(image)
    weighted = model.loss(heads, target)["class_loss"]
    model.class_weights = None
    assert model.loss(heads, target)["class_loss"].item() != pytest.approx(weighted.item())


def test_no_remedy_is_no_change(star, samples):
    model = star()
    assert loop._remedies(model, samples, balance.get("none")) is None
    assert model.class_weights is None


def test_models_without_classes_are_refused(samples, fresh_model):
    with pytest.raises(ConfigError, match="has no classes"):
        loop._remedies(fresh_model(), samples, balance.get("both"))


def test_a_class_that_the_model_does_not_know_is_refused(samples):
    model = models.create("stardist", width=2, depth=2, mpp=0.5, classes=["only"])
    with pytest.raises(ConfigError, match="the model knows 1"):
        model.targets(samples[0])
