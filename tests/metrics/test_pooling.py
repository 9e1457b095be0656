import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from histoscope.errors import DataError, UnknownNameError
from histoscope.metrics import (
    Matches,
    Pixels,
    class_scores,
    compare,
    interval,
    per_image,
    pooled,
    pooled_by_class,
    pooled_statistic,
)
from histoscope.metrics.pooling import FORMULAS

NAMES = ["round", "misc"]
PATIENTS = ["a", "a", "b", "b", "b", "c", "d"]


@pytest.fixture(scope="module")
def tables(nuclei):
    """Two methods on seven images of four patients; ``misc`` occurs in two patients only."""
    made = []
    for shift in (0, 100):
        rows = []
        for k, patient in enumerate(PATIENTS):
            true, _ = nuclei(k, side=3)
            pred = nuclei(k, side=3)[1] if shift == 0 else np.roll(true, 2, axis=0)
            classes = np.ones(1000, np.uint8)
            if patient in "ac":
                classes[4:7] = 2
            scores = class_scores(true, pred, classes, classes, NAMES, mpp=0.25)
            rows.append({"name": f"image {k}", "patient": patient, **per_image(true, pred), **scores})
        made.append(pd.DataFrame(rows))
    return made


def test_each_formula_is_the_pooled_score(tables):
    table = tables[0]
    matches = Matches(*(table[name].sum().item() for name in ("tp", "fp", "fn", "sum_iou")))
    area = Pixels(*(table[f"pixels_{name}"].sum().item() for name in ("tp", "fp", "fn", "tn")))
    counted = {name: getattr(area, name) for name in ("precision", "recall", "dice", "iou", "mcc")}
    counted |= {name: getattr(matches, name) for name in ("pq", "dq", "sq")}
    counted |= {"pixel_accuracy": area.accuracy, "f1_50": matches.f1, "ap_50": matches.ap}
    assert pooled(table) == pytest.approx(counted)
    expected = {**counted, **pooled_by_class(table, NAMES)}
    assert set(FORMULAS) <= set(expected)
    for name, value in expected.items():
        assert pooled_statistic(table, name).of(table) == pytest.approx(value), name


def orders(drawn):
    """In how many orders the same patients can be drawn."""
    return math.factorial(len(drawn)) // math.prod(math.factorial(drawn.count(k)) for k in set(drawn))


@pytest.mark.parametrize("metric", ["pq", "dice", "pq_round", "pq_misc", "detection_f1_misc", "mpq_plus"])
def test_the_interval_is_that_of_a_loop_over_patients(tables, metric, rng):
    table = tables[0]
    parts = [part for _, part in table.groupby("patient")]
    draws = []
    for drawn in itertools.combinations_with_replacement(range(4), 4):
        several = pd.concat([parts[k] for k in drawn])
        score = {**pooled(several), **pooled_by_class(several, NAMES)}[metric]
        draws += [score] * orders(drawn)
    assert len(draws) == 4**4  # every resample there is
    draws = np.array(draws)
    low, high = np.nanquantile(draws, [0.1, 0.9])
    got = interval(table, metric, pooled=True, n=20_000, level=0.8, method="percentile", rng=rng)
    spread = np.nanmax(draws) - np.nanmin(draws)
    assert [got.low, got.high] == pytest.approx([low, high], abs=0.03 * spread)
    assert got.estimate == pytest.approx({**pooled(table), **pooled_by_class(table)}[metric])
    rare = metric.endswith("misc")
    assert (got.n_clusters, got.n_images, got.n_undefined) == ((2, 3, 4) if rare else (4, 7, 0))


@pytest.mark.parametrize("method", ["jackknife", "percentile", "bca"])
def test_a_class_in_one_patient_has_a_score_and_no_interval(tables, method, rng):
    table = tables[0].copy()
    got = interval(table, "pq_misc", pooled=True, method=method, rng=rng)
    assert 0 <= got.low <= got.estimate <= got.high <= 1
    assert str(got).endswith("(2 patients)")  # of four: the others have none of that class
    table.loc[table["patient"] == "a", ["tp_misc", "fp_misc", "fn_misc", "sum_iou_misc"]] = 0
    alone = interval(table, "pq_misc", pooled=True, method=method, rng=rng)
    assert 0 <= alone.estimate <= 1
    assert str(alone).endswith("[no interval] (1 patient)")
    assert math.isnan(interval(table, "mpq_plus", pooled=True).low)  # a mean that one patient decides
    nowhere = table.assign(tp_misc=0, fp_misc=0, fn_misc=0, sum_iou_misc=0.0)
    nothing = interval(nowhere, "pq_misc", pooled=True, method=method, rng=rng)
    assert all(math.isnan(value) for value in (nothing.estimate, nothing.low, nothing.high))
    every = interval(nowhere, "mpq_plus", pooled=True, rng=rng)
    assert every.estimate == pytest.approx(pooled_by_class(table)["pq_round"])


def test_rows_without_counts_are_left_out_and_told(tables, rng):
    table = tables[0].copy()
    table.loc[0, "tp"] = np.nan
    got = interval(table, "pq", pooled=True, rng=rng)
    assert got.n_undefined == 1
    assert got.estimate == pytest.approx(pooled(table.iloc[1:])["pq"])


@pytest.mark.parametrize("metric", ["pq", "pq_misc", "mpq_plus"])
def test_the_comparison_is_that_of_loops(tables, metric, rng):
    first, second = tables

    def score(table):
        return {**pooled(table), **pooled_by_class(table, NAMES)}[metric]

    got = compare(
        first, second.sample(frac=1, random_state=0), metric, pooled=True, n=20_000, level=0.8, rng=rng
    )
    observed = score(first) - score(second)
    assert got.difference == pytest.approx(observed)
    swaps = []
    for swapped in itertools.product([False, True], repeat=4):
        who = dict(zip("abcd", swapped, strict=True))
        moved = first["patient"].map(who).to_numpy()
        one = pd.concat([first[~moved], second[moved]])
        other = pd.concat([second[~moved], first[moved]])
        swaps.append(abs(score(one) - score(other)) >= abs(observed) - 1e-12)
    assert got.p_permutation == pytest.approx(np.mean(swaps))
    without = [
        score(first[first["patient"] != k]) - score(second[second["patient"] != k])
        for k in ("ac" if metric == "pq_misc" else "abcd")
    ]
    assert got.n == len(without)
    moves = (got.n - 1) * (observed - np.array(without))
    error = np.sqrt((moves**2).sum() / (got.n - 1) / got.n)
    narrowest = stats.t.ppf(0.9, got.n - 1) * error
    assert got.low <= max(-1, observed - narrowest) < min(1, observed + narrowest) <= got.high
    assert (got.n_images, got.n_dropped) == (7, 0)


def test_seeds_are_averaged_before_anything_is_compared(tables, rng):
    """Twice the same run changes nothing, whichever of the tables holds it."""
    first, second = tables
    twice = pd.concat([first.assign(seed=0), first.assign(seed=1)])
    once = compare(first, second, "pq_misc", pooled=True, rng=np.random.default_rng(0))
    assert compare(twice, second, "pq_misc", pooled=True, rng=np.random.default_rng(0)) == once
    both = compare(twice, second.assign(seed=3), "pq_misc", pooled=True, rng=np.random.default_rng(0))
    assert both == once
    short = compare(first.iloc[1:], second, "pq_misc", pooled=True, rng=rng)
    assert (short.n_images, short.n_dropped) == (6, 1)
    with pytest.raises(DataError, match="occurs more than once"):
        compare(pd.concat([first, first]), second, "pq_misc", pooled=True, rng=rng)


def test_a_method_does_not_differ_from_itself(tables, rng):
    """On these patients: as many others as the level allows may still differ."""
    same = compare(tables[0], tables[0], "pq_round", pooled=True, rng=rng)
    assert (same.difference, same.p_permutation) == (0, 1)
    assert 1 - 0.025 ** (1 / 4) <= same.high == -same.low < 1


def test_wrong_names_are_told_the_nearest(tables, rng):
    with pytest.raises(UnknownNameError, match="did you mean 'pq_misc'"):
        interval(tables[0], "pq_misk", pooled=True, rng=rng)
    with pytest.raises(UnknownNameError, match="unknown pooled metric 'aji'"):
        compare(*tables, "aji", pooled=True, rng=rng)
    with pytest.raises(DataError, match="lacks the counts fp_misc"):
        pooled_by_class(tables[0].drop(columns="fp_misc"), NAMES)
    with pytest.raises(DataError, match="not numbers"):
        pooled_statistic(tables[0], "pq").of(tables[0].assign(tp="many"))
