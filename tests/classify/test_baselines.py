import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from histoscope import metrics
from histoscope.classify.baselines import LogisticRegression, colour_features, predict_baseline
from histoscope.errors import DataError, ShapeError, UnknownNameError
from histoscope.stain import optical_density
from histoscope.types import Sample

CLASSES = ["pink", "purple"]
COLOURS = [(230, 160, 200), (120, 80, 170)]


def patches(n, seed=0, noise=25.0):
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n):
        label = k % 2
        image = np.clip(rng.normal(COLOURS[label], noise, (12, 12, 3)), 0, 255).astype(np.uint8)
        made.append(Sample(image, 0.5, label=label, name=f"t{k}", source=f"g{k // 2}"))
    return made


def test_features_are_means_and_spreads(rng):
    image = rng.integers(0, 256, (9, 7, 3), np.uint8)
    channels = [image / 255, optical_density(image)]
    expected = [part(values[..., k]) for values in channels for part in (np.mean, np.std) for k in range(3)]
    assert colour_features(image) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 4), st.sampled_from([0.1, 1.0, 10.0]))
def test_the_penalised_log_loss_is_least(seed, n_classes, l2):
    rng = np.random.default_rng(seed)
    labels = np.arange(60) % n_classes
    x = rng.normal(0, 1, (60, 5)) + rng.normal(0, 1, (n_classes, 5))[labels]
    standard = np.column_stack(((x - x.mean(0)) / x.std(0), np.ones(60)))
    truth, penalty = np.eye(n_classes)[labels], np.append(np.full(5, l2), 0.0)[:, None]

    def loss(flat):
        weights = flat.reshape(6, n_classes)
        logits = standard @ weights
        norm = logsumexp(logits, axis=1, keepdims=True)
        value = (norm[:, 0] - (logits * truth).sum(axis=1)).sum() + (penalty * weights**2).sum() / 2
        return value, (standard.T @ (np.exp(logits - norm) - truth) + penalty * weights).ravel()

    least = minimize(loss, np.zeros(6 * n_classes), jac=True, method="L-BFGS-B", tol=1e-12)
    fitted = LogisticRegression.fit(x, labels, n_classes, l2=l2)
    assert fitted(x) == pytest.approx(softmax(standard @ least.x.reshape(6, n_classes), axis=1), abs=1e-4)
    value, gradient = loss(fitted.weights.ravel())
    assert value == pytest.approx(least.fun, rel=1e-6)
    assert np.abs(gradient).max() < 1e-3


@pytest.mark.parametrize("present", [(0, 2), (1,), (0, 1, 3)])
def test_a_class_that_does_not_occur_has_no_chance(present, rng):
    labels = np.array(present)[np.arange(30) % len(present)]
    x = rng.normal(0, 1, (30, 3)) + labels[:, None]
    probability = LogisticRegression.fit(x, labels, 4)(x)
    absent = sorted({0, 1, 2, 3} - set(present))
    assert (probability[:, absent] == 0).all()
    assert probability.sum(axis=1) == pytest.approx(np.ones(30))


def test_constant_features_do_no_harm():
    x = np.column_stack((np.ones(6), np.arange(6)))
    fitted = LogisticRegression.fit(x, [0, 0, 0, 1, 1, 1], 2)
    assert np.isfinite(fitted(x)).all()
    assert fitted(x).argmax(1).tolist() == [0, 0, 0, 1, 1, 1]


def test_colour_beats_majority_where_colour_tells():
    train, test = patches(40), patches(20, seed=1)
    by_colour = predict_baseline("colour", train, test, CLASSES)
    by_majority = predict_baseline("majority", train[:-1], test, CLASSES)
    assert metrics.patch_scores(by_colour)["accuracy"] == 1
    assert metrics.patch_scores(by_majority)["accuracy"] == 0.5
    assert by_majority["p_pink"].tolist() == [20 / 39] * 20
    assert by_colour["group"].tolist() == [f"g{k // 2}" for k in range(20)]
    assert set(by_colour) >= {"name", "patient", "source", "group", "true", "predicted", "p_pink", "p_purple"}


def test_wrong_input_is_told():
    train = patches(4)
    with pytest.raises(UnknownNameError, match="colour"):
        predict_baseline("color", train, train, CLASSES)
    with pytest.raises(DataError, match="no label"):
        predict_baseline("colour", [Sample(train[0].image, 0.5, name="x")], train, CLASSES)
    with pytest.raises(ShapeError, match="at least one patch"):
        predict_baseline("colour", [], train, CLASSES)
