"""Splits: no group in two parts, nothing lost, nothing that depends on the order of files."""

from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from histoscope import data
from histoscope.data.assignment import SHARE_TOLERANCE
from histoscope.errors import ConfigError, DataError, LeakError
from histoscope.types import Record


def _dataset(records: list[Record]) -> data.Dataset:
    return data.InMemory(data.Datasheet("made", mpp=1), records, [])


def _names(part: data.Dataset) -> set[str]:
    return {record.name for record in part.records}


def _parts(split: data.Split) -> dict[str, set[str]]:
    return {name: _names(part) for name, part in split}


records = st.lists(st.integers(0, 12), min_size=3, max_size=60).map(
    lambda patients: [
        Record(f"image{k}", patient=f"p{p}", label=p % 2, tags={"site": f"s{p % 4}"})
        for k, p in enumerate(patients)
    ]
)


@settings(deadline=None)
@given(records, st.integers(0, 5), st.sampled_from(["patient", "name", "site"]))
def test_parts_are_disjoint_by_group_and_lose_nothing(records: list[Record], seed: int, by: str) -> None:
    groups = {record.group(by) for record in records}
    if len(groups) < 3:
        with pytest.raises(DataError, match="too few"):
            data.split_by(_dataset(records), by, seed=seed)
        return
    split = data.split_by(_dataset(records), by, seed=seed)
    inside = [{record.group(by) for record in part.records} for _, part in split]
    assert sum(map(len, inside)) == len(set().union(*inside)) == len(groups)
    assert Counter(record.name for _, part in split for record in part.records) == Counter(
        r.name for r in records
    )
    assert all(inside)


@settings(deadline=None)
@given(records, st.integers(0, 5), st.randoms(use_true_random=False))
def test_order_of_files_does_not_matter(records: list[Record], seed: int, random: object) -> None:
    shuffled = list(records)
    random.shuffle(shuffled)
    if len({record.patient for record in records}) < 3:
        return
    first = data.split_by(_dataset(records), seed=seed, stratify="label")
    assert _parts(first) == _parts(data.split_by(_dataset(shuffled), seed=seed, stratify="label"))
    assert _parts(first) == _parts(data.split_by(_dataset(records), seed=seed, stratify="label"))


def test_seeds_differ() -> None:
    dataset = _dataset([Record(f"i{k}", patient=f"p{k // 2}") for k in range(60)])
    assert len({frozenset(_names(data.split_by(dataset, seed=seed).test)) for seed in range(8)}) > 5


def test_shares_are_met_and_strata_are_spread() -> None:
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 60, 600)
    dataset = _dataset(
        [
            Record(f"i{k}", patient=f"p{p}", tags={"organ": "lung" if p < 15 else "colon"})
            for k, p in enumerate(patients)
        ]
    )
    split = data.split_by(dataset, train=0.6, val=0.2, test=0.2, stratify="organ", seed=1)
    lungs = (patients < 15).mean()
    for (_, part), share in zip(split, (0.6, 0.2, 0.2), strict=True):
        assert len(part) / 600 == pytest.approx(share, abs=0.03)
        organs = Counter(record.group("organ") for record in part.records)
        assert organs["lung"] / len(part) == pytest.approx(lungs, abs=0.05)


def test_every_part_gets_a_group_even_when_one_patient_has_nearly_all() -> None:
    dataset = _dataset([Record(f"i{k}", patient="big" if k < 50 else f"p{k}") for k in range(52)])
    split = data.split_by(dataset)
    assert all(len(part) for _, part in split)


def test_shares_are_scaled_and_zero_means_empty() -> None:
    dataset = _dataset([Record(f"i{k}", patient=f"p{k}") for k in range(40)])
    split = data.split_by(dataset, train=3, val=0, test=1)
    assert [len(part) for _, part in split] == [30, 0, 10]
    assert list(split.parts()) == ["train", "test"]


def test_records_without_the_group_are_named() -> None:
    dataset = _dataset([Record("a", patient="p"), Record("b", tags={"site": "x"}), Record("c")])
    with pytest.raises(DataError, match=r"2 of 3 records .* have no 'patient' \(first: 'b'\).*site"):
        data.split_by(dataset)
    with pytest.raises(DataError, match="to stratify by"):
        data.split_by(dataset, "name", stratify="organ")


@pytest.mark.parametrize("shares", [(0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1), (float("inf"), 1, 1)])
def test_impossible_shares(shares: tuple[float, float, float]) -> None:
    dataset = _dataset([Record(f"i{k}") for k in range(9)])
    with pytest.raises(ConfigError, match="0 or more"):
        data.split_by(dataset, "name", train=shares[0], val=shares[1], test=shares[2])


def _published(n: int = 20) -> list[Record]:
    return [Record(f"i{k}", patient=f"p{k // 2}", split="train" if k < n - 4 else "test") for k in range(n)]


def test_published_parts_with_validation_cut_by_patient() -> None:
    split = data.split_published(_dataset(_published()), val=0.25, seed=3)
    assert _names(split.test) == {"i16", "i17", "i18", "i19"}
    assert (len(split.train), len(split.val)) == (12, 4)
    assert not {r.patient for r in split.train.records} & {r.patient for r in split.val.records}
    again = data.split_published(_dataset(_published()[::-1]), val=0.25, seed=3)
    assert _parts(again) == _parts(split)


def test_published_parts_alone() -> None:
    split = data.split_published(_dataset(_published()))
    assert [len(part) for _, part in split] == [16, 0, 4]


@pytest.mark.parametrize("key", ["patient", "source"])
def test_a_patient_on_both_sides_is_a_leak(key: str) -> None:
    records = [Record("a", split="Train", **{key: "x"}), Record("b", split="TEST", **{key: "x"})]
    with pytest.raises(LeakError, match=f"{key} 'x' is in train and test"):
        data.split_published(_dataset(records))
    with pytest.warns(UserWarning, match="leak"):
        split = data.split_published(_dataset(records), on_leak="warn")
    assert _names(split.test) == {"b"}


def test_published_split_missing_unknown_or_complete() -> None:
    with pytest.raises(DataError, match=r"published part ''.*split_by"):
        data.split_published(_dataset([Record("a")]))
    with pytest.raises(DataError, match="fold1"):
        data.split_published(_dataset([Record("a", split="fold1")]))
    whole = _dataset([Record("a", split="train"), Record("b", split="validation"), Record("c", split="test")])
    with pytest.raises(DataError, match="published validation"):
        data.split_published(whole, val=0.2)
    with pytest.raises(ConfigError, match="val is 1"):
        data.split_published(whole, val=1.0)
    with pytest.raises(ConfigError, match="on_leak"):
        data.split_published(whole, on_leak="ignore")


def _patches(n_groups: int = 40, seed: int = 0) -> list[Record]:
    rng = np.random.default_rng(seed)
    return [
        Record(f"i{g}_{k}", source=f"g{g}", label=g % 2)
        for g in range(n_groups)
        for k in range(rng.integers(1, 6))
    ]


def test_subsets_of_groups_are_nested_and_whole() -> None:
    dataset = _dataset(_patches())
    sizes = [data.group_subset(dataset, n, seed=3) for n in (1, 4, 16, None)]
    for small, large in pairwise(sizes):
        assert _names(small) < _names(large)
    sixteen = Counter(label for _, label in {(r.source, r.label) for r in sizes[2].records})
    assert sixteen == {0: 16, 1: 16}
    kept = {record.source for record in sizes[1].records}
    assert _names(sizes[1]) == {record.name for record in dataset.records if record.source in kept}
    shuffled = _dataset(dataset.records[::-1])
    assert _names(data.group_subset(shuffled, 4, seed=3)) == _names(sizes[1])
    assert _names(data.group_subset(dataset, 4, seed=4)) != _names(sizes[1])


def test_subset_of_a_class_with_too_few_groups() -> None:
    with pytest.raises(ConfigError, match=r"21 groups of class '0'.*has 20 by 'source'"):
        data.group_subset(_dataset(_patches()), 21)
    with pytest.raises(ConfigError, match="0 groups"):
        data.group_subset(_dataset(_patches()), 0)
    with pytest.raises(DataError, match="'a' has no label"):
        data.group_subset(_dataset([Record("a", source="g")]), 1)


def test_a_group_of_two_classes_counts_for_its_commonest() -> None:
    records = [Record("a", source="g", label=1), Record("b", source="g", label=1)]
    records += [Record("c", source="g", label=0), Record("d", source="h", label=0)]
    assert _names(data.group_subset(_dataset(records), 1)) == {"a", "b", "c", "d"}


def test_classes_that_training_never_sees() -> None:
    info = data.Datasheet("made", mpp=1, classes={0: "normal", 1: "tumour"})
    train, test = (data.InMemory(info, [Record("a", label=k)], []) for k in (0, 1))
    assert data.unseen_classes(train, test) == ["tumour"]
    assert data.unseen_classes(train, train) == []


def test_one_patch_of_a_rare_class_turns_no_split_upside_down() -> None:
    records = [Record(f"a{k}", patient="A", label=k % 2) for k in range(37)]
    records += [Record("b0", patient="B", label=0), Record("b1", patient="B", label=1)]
    records += [Record("c0", patient="C", label=0), Record("c1", patient="C", label=7)]
    for seed in range(10):
        split = data.split_by(_dataset(records), stratify="label", seed=seed)
        assert [len(part) for _, part in split] == [37, 2, 2]


def _miss(sizes: dict[str, int], parts: list[set[str]], shares: list[float]) -> float:
    total = sum(sizes.values())
    held = [sum(sizes[group] for group in part) / total for part in parts]
    return max(abs(share - have) for share, have in zip(shares, held, strict=True))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.lists(st.sampled_from("aaaabbc"), min_size=1, max_size=30), min_size=3, max_size=6), st.data()
)
def test_shares_are_as_near_as_whole_groups_allow(groups: list[list[str]], drawn: st.DataObject) -> None:
    """Against every way to deal the groups, with and without strata."""
    shares = drawn.draw(st.sampled_from([[0.7, 0.15, 0.15], [0.5, 0.25, 0.25], [0.34, 0.33, 0.33]]))
    seed = drawn.draw(st.integers(0, 3))
    records = [
        Record(f"{number}-{k}", patient=f"p{number}", tags={"kind": kind})
        for number, kinds in enumerate(groups)
        for k, kind in enumerate(kinds)
    ]
    sizes = {f"p{number}": len(kinds) for number, kinds in enumerate(groups)}
    best = min(
        _miss(
            sizes,
            [{g for g, at in zip(sizes, places, strict=True) if at == part} for part in range(3)],
            shares,
        )
        for places in product(range(3), repeat=len(sizes))
        if len(set(places)) == 3
    )
    misses = []
    for stratify in (None, "kind"):
        options = dict(zip(("train", "val", "test"), shares, strict=True))
        split = data.split_by(_dataset(records), stratify=stratify, seed=seed, **options)
        again = data.split_by(_dataset(records[::-1]), stratify=stratify, seed=seed, **options)
        assert _parts(split) == _parts(again)
        misses.append(
            _miss(sizes, [{record.patient for record in part.records} for _, part in split], shares)
        )
    assert misses[0] <= best + 0.15
    assert misses[1] <= misses[0] + SHARE_TOLERANCE + 1e-6


@pytest.mark.parametrize("split", [data.split_by, data.split_published])
def test_a_name_that_stands_twice_is_not_split(split: object) -> None:
    records = [Record(name, patient=name, split="train") for name in "abca"]
    with pytest.raises(DataError, match=r"1 name\(s\) of 'made' occur more than once, such as 'a'"):
        split(_dataset(records))
