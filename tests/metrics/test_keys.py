import unicodedata

import numpy as np
import pandas as pd
import pytest

from histoscope.errors import DataError
from histoscope.metrics import (
    bpq_pannuke,
    kernel_distance_with_null,
    match,
    mpq_pannuke,
    paired_permutation,
    patch_interval,
    patch_scores,
)
from histoscope.metrics.keys import as_text, cluster_codes, row_keys


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        ([1, 2], ["1", "2"]),
        ([1.0, float("nan")], ["1", ""]),
        ([1.5, 2.0], ["1.5", "2"]),
        (["005", "NA", "None"], ["005", "NA", "None"]),
        ([np.int64(3), np.float32(3.0), True, None], ["3", "3", "True", ""]),
        ([2**53 + 1], ["9007199254740993"]),
        ([unicodedata.normalize("NFD", "Müller")], ["Müller"]),
        ([], []),
    ],
)
def test_names_become_text(names, texts):
    for series in (pd.Series(names), pd.Series(names, dtype=object)):
        if series.dtype != np.float64 or len(set(map(type, names))) == 1:
            assert as_text(series).tolist() == texts


def test_infinite_numbers_are_names_like_others():
    assert as_text(pd.Series([np.inf])).tolist() == ["inf"]


def test_keys_that_are_only_in_one_table_are_no_fault():
    a, b = (pd.DataFrame({"name": names}) for names in (["1", "x", "NA"], ["1", "y", "007"]))
    left, right = row_keys((a, b), ["name"])
    assert left["name"].tolist() == ["1", "x", "NA"]
    assert right["name"].tolist() == ["1", "y", "007"]


def test_keys_that_were_changed_on_the_way_are():
    a = pd.DataFrame({"name": ["1.0", "2"]})
    with pytest.raises(DataError, match=r"name '1.0' of one table is 1 in the other"):
        row_keys((a, pd.DataFrame({"name": [1, 2]})), ["name"])


def test_clusters_are_numbered_by_name():
    table = pd.DataFrame({"patient": ["b", 7, "a", "7", 7.0]})
    assert cluster_codes(table, "patient").tolist() == [2, 0, 1, 0, 0]
    with pytest.raises(DataError, match="empty in 1 of 6 rows"):
        cluster_codes(pd.concat([table, pd.DataFrame({"patient": ["  "]})]), "patient")


@pytest.mark.parametrize("missing", [None, float("nan"), "", np.nan])
def test_a_group_that_is_not_known_is_an_error_everywhere(missing, rng):
    """It would be a group of its own, or one with all others that are not known."""
    groups = ["a", "a", "b", missing]
    maps = [match([[1, 1]], [[1, 1]])] * 4
    for call in (
        lambda: paired_permutation([1.0] * 4, [0.0] * 4, clusters=groups, rng=rng),
        lambda: paired_permutation([1.0] * 4, [0.0] * 4, clusters=np.array(groups, object), rng=rng),
        lambda: bpq_pannuke(maps, groups),
        lambda: mpq_pannuke([{1: each} for each in maps], groups),
        lambda: kernel_distance_with_null(np.eye(4), np.eye(4), real_groups=groups),
    ):
        with pytest.raises(DataError, match="missing in 1 of 4 rows"):
            call()


def test_numbers_of_patches_by_seed_are_names_too(rng):
    """A seed that is a gap, or text, loses no patch."""
    p = rng.uniform(size=12)
    table = pd.DataFrame({"group": np.arange(12) % 4, "true": np.arange(12) % 2, "p_a": p, "p_b": 1 - p})
    for seeds in ([None] * 12, [float("nan")] * 12, ["NA"] * 12, [0.0] * 12):
        found = patch_interval(table.assign(seed=seeds), "accuracy")
        assert found == patch_interval(table, "accuracy")
    halves = [0, 0.0, "0"] * 2 + [1, "1", 1.0] * 2
    mixed = patch_scores(table.assign(seed=pd.Series(halves, dtype=object)))
    assert mixed == patch_scores(table.assign(seed=[0] * 6 + [1] * 6))
