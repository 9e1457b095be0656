import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from histoscope import metrics
from histoscope.errors import ConfigError, DataError, ShapeError, UnknownNameError


def table(seed=0, n_groups=8, each=4, n_classes=3, seeds=(None,)):
    """Give patches of groups that differ in how hard they are."""
    rng = np.random.default_rng(seed)
    parts = []
    for run in seeds:
        true = np.repeat(np.arange(n_groups) % n_classes, each)
        hard = np.repeat(rng.normal(1, 1.5, n_groups), each)
        logits = rng.normal(0, 1, (len(true), n_classes))
        logits[np.arange(len(true)), true] += hard
        p = softmax(logits, axis=1)
        columns = {f"p_{'abcde'[k]}": p[:, k] for k in range(n_classes)}
        about = {"name": [f"t{k}" for k in range(len(true))], "group": np.repeat(np.arange(n_groups), each)}
        parts.append(
            pd.DataFrame({**about, "true": true, **columns, **({} if run is None else {"seed": run})})
        )
    return pd.concat(parts, ignore_index=True)


def arrays(rows):
    _, true, p = metrics.probabilities(rows)
    return true, p


@pytest.mark.parametrize("name", metrics.PATCH_METRICS)
def test_scores_are_those_of_the_functions(name):
    rows = table()
    assert metrics.patch_scores(rows)[name] == pytest.approx(getattr(metrics, name)(*arrays(rows)))
    sheet = metrics.PATCH_METRICS[name]
    assert sheet.range[0] <= metrics.patch_scores(rows)[name] <= sheet.range[1]


def test_undefined_classes_are_counted():
    rows = table(n_groups=2, n_classes=3)  # nothing of the third class
    assert metrics.patch_scores(rows)["n_undefined"] == 1
    rows = table(n_groups=1, n_classes=3)
    assert metrics.patch_scores(rows)["n_undefined"] == 3
    assert np.isnan(metrics.patch_scores(rows)["auroc"])


@pytest.mark.parametrize("name", metrics.PATCH_METRICS)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000))
def test_an_interval_equals_copying_the_rows_of_drawn_groups(name, seed):
    rows = table(seed, n_groups=5, each=3, n_classes=2)
    n, level = 40, 0.9
    ask = {"n": n, "level": level, "method": "percentile"}
    found = metrics.patch_interval(rows, name, **ask, rng=np.random.default_rng(seed))
    drawn = np.random.default_rng(seed).integers(0, 5, (n, 5))
    true, p = arrays(rows)
    groups = rows["group"].to_numpy()
    scores = []
    for draw in drawn:
        index = np.concatenate([np.flatnonzero(groups == group) for group in draw])
        scores.append(getattr(metrics, name)(true[index], p[index]))
    scores = np.array(scores)[~np.isnan(scores)]
    low, high = np.quantile(scores, [0.05, 0.95])
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.estimate == pytest.approx(getattr(metrics, name)(true, p))
    assert (found.n_clusters, found.n_images) == (5, 15)


def test_the_interval_of_accuracy_is_that_of_a_mean(rng):
    rows = metrics.per_patch(table(n_groups=12))
    ours = metrics.patch_interval(rows, "accuracy", n=4000, rng=rng)
    plain = metrics.interval(rows, "correct", cluster="group", n=4000, rng=rng)
    assert ours.estimate == pytest.approx(plain.estimate)
    assert (ours.low, ours.high) == pytest.approx((plain.low, plain.high), abs=0.02)


def test_groups_widen_the_interval(rng):
    rows = table(n_groups=10, each=20)
    by_group = metrics.patch_interval(rows, "accuracy", rng=rng)
    by_patch = metrics.patch_interval(rows, "accuracy", cluster="name", rng=rng)
    assert by_group.high - by_group.low > 1.5 * (by_patch.high - by_patch.low)


def test_seeds_are_scored_apart_and_averaged(rng):
    rows = table(seeds=(0, 1))
    halves = [metrics.patch_scores(rows[rows["seed"] == seed])["auroc"] for seed in (0, 1)]
    assert metrics.patch_scores(rows)["auroc"] == pytest.approx(np.mean(halves))
    found = metrics.patch_interval(rows, "auroc", n=50, rng=rng)
    assert found.low <= found.estimate == pytest.approx(np.mean(halves))
    assert found.n_clusters == 8


def test_one_group_has_no_interval(rng):
    found = metrics.patch_interval(table(n_groups=1), "accuracy", rng=rng)
    assert np.isnan([found.low, found.high]).all()


def test_per_patch_averages_to_the_scores():
    rows = metrics.per_patch(table())
    scores = metrics.patch_scores(rows)
    means = rows[["correct", "brier", "nll"]].mean()
    assert means.tolist() == pytest.approx([scores["accuracy"], scores["brier"], scores["nll"]])


def test_paired_comparison_of_two_models(rng):
    good, bad = table(0, n_groups=10), table(1, n_groups=10)
    a, b = metrics.per_patch(good), metrics.per_patch(bad)
    found = metrics.compare(a, b, "correct", cluster="group", rng=rng)
    expected = metrics.accuracy(*arrays(good)) - metrics.accuracy(*arrays(bad))
    assert found.difference == pytest.approx(expected)
    assert found.n == 10
    same = metrics.compare(a, a, "correct", cluster="group", rng=rng)
    assert (same.difference, same.p_permutation) == (0, 1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_mcnemar_equals_the_binomial_sum(pairs):
    from math import comb

    right = np.array(pairs)
    found = metrics.mcnemar(np.zeros(len(right), int), ~right[:, 0], ~right[:, 1])
    a, b = int((right[:, 0] & ~right[:, 1]).sum()), int((right[:, 1] & ~right[:, 0]).sum())
    assert (found.only_first, found.only_second) == (a, b)
    expected = min(1.0, 2 * sum(comb(a + b, k) for k in range(min(a, b) + 1)) / 2 ** (a + b))
    assert found.p == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (lambda rows: rows.drop(columns=["p_a", "p_b", "p_c"]), DataError, "p_CLASS"),
        (lambda rows: rows.drop(columns="true"), DataError, "p_CLASS"),
        (lambda rows: rows.assign(p_a="much"), DataError, "not numbers"),
        (lambda rows: rows.assign(p_a=np.nan), DataError, "row 0"),
        (lambda rows: rows.assign(true="a"), ShapeError, "whole numbers"),
        (lambda rows: rows.assign(true=7), DataError, "expected 0 to 2"),
    ],
)
def test_wrong_tables_are_told(change, error, told):
    with pytest.raises(error, match=told):
        metrics.patch_scores(change(table()))


def test_wrong_questions_are_told(rng):
    with pytest.raises(UnknownNameError, match="auroc"):
        metrics.patch_interval(table(), "auroz", rng=rng)
    with pytest.raises(UnknownNameError, match="column"):
        metrics.patch_interval(table(), "auroc", cluster="slide", rng=rng)
    with pytest.raises(DataError, match="group is empty"):
        metrics.patch_interval(table().assign(group=""), "auroc", rng=rng)
    with pytest.raises(ConfigError, match="resamples"):
        metrics.patch_interval(table(), "auroc", n=0, rng=rng)
    with pytest.raises(ShapeError, match="three lists"):
        metrics.mcnemar([0, 1], [0, 1], [0])
