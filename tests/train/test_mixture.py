"""Real and synthetic samples in a chosen share, and subsets of tiles that are nested."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope import data
from histoscope.data import Datasheet, InMemory
from histoscope.errors import ConfigError, DataError
from histoscope.train.loader import make_loader
from histoscope.train.mixture import MixedSampler, Mixture, make_sampler
from histoscope.train.patches import PatchSampler
from histoscope.types import Record, Sample


def tile(name, value=0, mpp=0.5):
    labels = np.zeros((48, 48), np.int32)
    labels[10:20, 10:20] = 1
    return Sample(np.full((48, 48, 3), value, np.uint8), mpp, labels, name=name)


REAL, DRAWN = [tile("real", 10)], [tile(f"drawn{k}", 200) for k in range(9)]


@pytest.mark.parametrize("on_nuclei", [0.0, 1.0])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_share_holds_however_many_tiles_there_are(share, on_nuclei):
    sampler = make_sampler(Mixture(REAL, DRAWN, share), 16, on_nuclei=on_nuclei)
    rng = np.random.default_rng(0)
    drawn = sum(sampler.draw(rng).name.startswith("drawn") for _ in range(2000))
    assert abs(drawn / 2000 - share) < 0.04  # more than three standard deviations of 2000 draws


@pytest.mark.parametrize(("share", "kind"), [(0.0, REAL), (1.0, DRAWN)])
def test_a_share_of_nothing_or_all_draws_as_if_there_were_one_kind(share, kind):
    mixed, plain = make_sampler(Mixture(REAL, DRAWN, share), 16), PatchSampler(kind, 16)
    for seed in range(5):
        one, other = (sampler.draw(np.random.default_rng(seed)) for sampler in (mixed, plain))
        assert one.name == other.name
        np.testing.assert_array_equal(one.image, other.image)


def test_patches_are_the_same_with_processes_and_after_a_stop():
    mixture = Mixture(REAL, DRAWN, 0.5)
    options = {"patch_px": 16, "batch_size": 2, "steps": 4, "seed": 3}

    def targets(sample):
        return {"mean": np.float32(sample.image.mean())}

    whole = [batch.target["mean"].tolist() for batch in make_loader(mixture, targets, **options)]
    rest = [b.target["mean"].tolist() for b in make_loader(mixture, targets, start_step=2, **options)]
    assert whole[2:] == rest
    assert len({value for batch in whole for value in batch}) == 2


def test_a_mixture_is_a_sequence_of_all():
    mixture = Mixture(REAL, DRAWN, 0.5)
    assert [sample.name for sample in mixture] == ["real", *(f"drawn{k}" for k in range(9))]
    assert len(mixture) == 10
    assert mixture[0].name == "real"
    assert len(mixture[1:]) == 9


@pytest.mark.parametrize(
    ("real", "drawn", "share", "error", "said"),
    [
        (REAL, DRAWN, 1.5, ConfigError, "expected 0 to 1"),
        (REAL, [], 0.5, DataError, "no synthetic samples"),
        ([], DRAWN, 0.5, DataError, "no real samples"),
    ],
)
def test_mixtures_that_cannot_be_drawn_from_are_refused(real, drawn, share, error, said):
    with pytest.raises(error, match=said):
        Mixture(real, drawn, share)


def test_kinds_of_two_resolutions_are_refused():
    with pytest.raises(DataError, match=r"0\.25"):
        MixedSampler(PatchSampler(REAL, 16), PatchSampler([tile("fine", mpp=0.25)], 16), 0.5)


people = st.lists(st.sampled_from(["", "anna", "bert", "cora", "dora"]), min_size=1, max_size=20)


@given(people, st.integers(0, 5))
def test_subsets_are_nested_and_cut_at_most_one_patient(patients, seed):
    records = [Record(f"t{k:02}", patient) for k, patient in enumerate(patients)]
    order = data.tile_order(records, seed=seed)
    assert sorted(order) == list(range(len(records)))
    for n in range(len(order) + 1):
        inside, outside = ({records[k].patient for k in part} - {""} for part in (order[:n], order[n:]))
        assert len(inside & outside) <= 1
    backwards = data.tile_order(records[::-1], seed=seed)
    assert [records[k].name for k in order] == [records[::-1][k].name for k in backwards]


def test_tiles_are_chosen_by_seed_and_counted():
    dataset = InMemory.of(
        [replace(tile(f"t{k}"), patient=f"p{k}") for k in range(8)], Datasheet("lab", mpp=0.5)
    )
    names = [{r.name for r in data.tile_subset(dataset, 3, seed=seed).records} for seed in range(6)]
    assert all(len(chosen) == 3 for chosen in names)
    assert len({frozenset(chosen) for chosen in names}) > 1
    assert data.tile_subset(dataset, None) is dataset
    for wrong in (0, 9):
        with pytest.raises(ConfigError, match="1 to 8"):
            data.tile_subset(dataset, wrong)


def labelled(name):
    return replace(tile(name), classes=np.array([0, 1], np.uint8))


@pytest.mark.parametrize("on_nuclei", [0.0, 1.0])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_the_share_of_tiles_with_classes_holds_however_few_they_are(share, on_nuclei):
    tiles = [*DRAWN, labelled("known")]
    sampler = make_sampler(tiles, 16, on_nuclei=on_nuclei, class_weights=(0.0, 1.0), labelled_share=share)
    rng = np.random.default_rng(0)
    drawn = sum(sampler.draw(rng).name == "known" for _ in range(2000))
    assert abs(drawn / 2000 - share) < 0.04
    plain = make_sampler(tiles, 16)
    assert sum(plain.draw(rng).name == "known" for _ in range(2000)) / 2000 < 0.15


def test_a_share_of_tiles_with_classes_holds_within_each_kind():
    real = [*REAL * 3, labelled("real known")]
    sampler = make_sampler(Mixture(real, DRAWN, 0.5), 16, labelled_share=0.8)
    rng = np.random.default_rng(0)
    names = [sampler.draw(rng).name for _ in range(2000)]
    assert abs(sum(name.startswith("drawn") for name in names) / 2000 - 0.5) < 0.04
    assert abs(names.count("real known") / 2000 - 0.4) < 0.04


def test_a_share_of_tiles_with_classes_is_of_nothing_where_none_has_any():
    with pytest.raises(DataError, match="no training image has classes"):
        make_sampler(DRAWN, 16, labelled_share=0.5)
    one, other = (make_sampler([labelled("a")], 16, labelled_share=share) for share in (0.0, 0.5))
    np.testing.assert_array_equal(one.draw(0).image, other.draw(0).image)
