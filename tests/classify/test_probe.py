"""Linear probes: the regression itself, as a head."""

import numpy as np
import pytest
import torch

from histoscope.classify import classification
from histoscope.classify.features import Features, extract
from histoscope.classify.probe import L2, ProbeConfig, fit_probe
from histoscope.errors import ConfigError, DataError


def made(values, labels):
    return Features(np.asarray(values, np.float32), np.asarray(labels), np.arange(len(labels)), len(labels))


@pytest.fixture
def drawn(fresh_classifier):
    """Features of three classes around three points, with values of very different size."""
    model = fresh_classifier(classes=["a", "b", "c"])
    rng = np.random.default_rng(0)
    centres, scale = rng.normal(0, 1.0, (3, 8)), 10.0 ** rng.uniform(-2, 2, 8)

    def draw(n):
        labels = rng.integers(0, 3, n)
        return made((centres[labels] + rng.normal(0, 0.8, (n, 8))) * scale, labels)

    return model, draw(120), draw(60), draw(200)


@torch.no_grad()
def probabilities(model, features):
    return model.probabilities({"logits": model.head(torch.from_numpy(features.values))}).numpy()


@pytest.mark.parametrize("l2", [0.3, 10.0])
def test_it_is_the_regression_of_scikit_learn(drawn, l2):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model, train, _, test = drawn
    fit_probe(model, train, None, l2=[l2])
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=1 / l2, tol=1e-8, max_iter=10_000))
    theirs.fit(train.values.astype(np.float64), train.labels)
    np.testing.assert_allclose(probabilities(model, test), theirs.predict_proba(test.values), atol=1e-4)


def test_the_penalty_is_chosen_on_the_validation_part(drawn):
    model, train, val, _ = drawn
    probed = fit_probe(model, train, val)
    assert set(probed.nll) == set(L2)
    assert probed.nll[probed.l2] == min(probed.nll.values())
    p = probabilities(model, val)[np.arange(len(val)), val.labels]
    assert -np.log(p).mean() == pytest.approx(probed.nll[probed.l2], rel=1e-3)
    assert probed.to_dict()["l2"] == probed.l2


def test_a_temperature_of_before_is_forgotten(drawn):
    model, train, val, _ = drawn
    model.temperature.fill_(5.0)
    fit_probe(model, train, val)
    assert model.temperature.item() == 1.0


def test_what_cannot_be_fitted_says_why(drawn, fresh_classifier):
    model, train, val, _ = drawn
    two = made(train.values[train.labels != 1], train.labels[train.labels != 1])
    with pytest.raises(DataError, match=r"'b'.*cannot be learned"):
        fit_probe(model, two, val)
    with pytest.raises(DataError, match="class -1"):
        fit_probe(model, made(train.values, train.labels - 1), val)
    with pytest.raises(ConfigError, match="validation part"):
        fit_probe(model, train, None)
    with pytest.raises(ConfigError, match="l2"):
        ProbeConfig(l2=(0.0,))
    backbone = fresh_classifier(classes=[])
    with pytest.raises((ConfigError, DataError)):
        fit_probe(backbone, train, val)


def test_probe_and_prediction_agree_patch_by_patch(patch_set, fresh_classifier):
    model = fresh_classifier()
    features = extract(model, patch_set)
    fit_probe(model, features, features)
    cached = classification.classify_features(model, features, patch_set)
    seen = classification.predict_classes(model, patch_set)
    assert list(cached) == list(seen)
    np.testing.assert_allclose(cached["p_tumour"], seen["p_tumour"], atol=1e-5)
    assert (seen["predicted"] == seen["true"]).mean() == 1.0
