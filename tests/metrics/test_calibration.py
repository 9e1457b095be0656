import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from histoscope import metrics
from histoscope.errors import ConfigError


def drawn(seed, n=200, n_classes=3, spread=2.0, temperature=1.0):
    """Give truth drawn from probabilities, and the probabilities at another temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (n, n_classes))
    honest = softmax(logits, axis=1)
    true = np.array([rng.choice(n_classes, p=row) for row in honest])
    return true, softmax(logits * temperature, axis=1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.sampled_from([5, 10, 15]))
def test_ece_equals_torchmetrics(seed, n_classes, n_bins):
    true, p = drawn(seed, n=60, n_classes=n_classes)
    theirs = multiclass_calibration_error(
        torch.tensor(p), torch.tensor(true), num_classes=n_classes, n_bins=n_bins, norm="l1"
    )
    assert metrics.ece(true, p, n_bins=n_bins) == pytest.approx(float(theirs), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_table_equals_a_loop_over_patches(seed):
    true, p = drawn(seed, n=40)
    table = metrics.reliability(true, p, n_bins=10)
    for k in range(10):
        inside = [i for i in range(40) if table.edges[k] < p[i].max() <= table.edges[k + 1]]
        assert table.n[k] == len(inside)
        if inside:
            assert table.confidence[k] == pytest.approx(np.mean([p[i].max() for i in inside]))
            assert table.accuracy[k] == pytest.approx(np.mean([p[i].argmax() == true[i] for i in inside]))
        else:
            assert np.isnan(table.accuracy[k])


def test_honest_probabilities_have_a_small_error():
    honest = metrics.ece(*drawn(0, n=5000))
    assert honest < 0.03
    assert metrics.ece(*drawn(0, n=5000, temperature=3.0)) > honest + 0.1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 4.0))
def test_temperature_equals_a_search(seed, factor):
    true, p = drawn(seed, temperature=factor)
    found = metrics.fit_temperature(true, p)
    search = minimize_scalar(
        lambda log_t: metrics.nll(true, metrics.scaled(p, np.exp(log_t))), bounds=(-5, 5), method="bounded"
    )
    assert np.log(found) == pytest.approx(search.x, abs=1e-3)
    assert metrics.nll(true, metrics.scaled(p, found)) <= metrics.nll(true, p) + 1e-12


def test_temperature_is_found_again_and_keeps_the_predicted_class():
    true, p = drawn(1, n=20_000, temperature=2.5)
    found = metrics.fit_temperature(true, p)
    assert found == pytest.approx(2.5, rel=0.05)
    cooled = metrics.scaled(p, found)
    assert (cooled.argmax(1) == p.argmax(1)).all()
    assert metrics.ece(true, cooled) < metrics.ece(true, p) / 3
    assert np.allclose(metrics.scaled(p, 1.0), p)


def test_no_temperature_where_there_is_none():
    sure = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert np.isnan(metrics.fit_temperature([0, 1], sure))  # always right
    assert np.isnan(metrics.fit_temperature([1, 0], sure))  # always wrong
    assert np.isnan(metrics.fit_temperature([], np.empty((0, 2))))
    certain = np.array([[1.0, 0.0]] * 9)
    assert 1 < metrics.fit_temperature([0] * 8 + [1], certain) < np.inf  # certain and once wrong


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_impossible_temperatures_are_refused(temperature):
    with pytest.raises(ConfigError, match="temperature is"):
        metrics.scaled([[0.5, 0.5]], temperature)


def test_no_bins_are_refused():
    with pytest.raises(ConfigError, match="0 bins"):
        metrics.reliability([0], [[1.0, 0.0]], n_bins=0)
