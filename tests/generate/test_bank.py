"""A bank holds what was cut, survives a file, and layouts drawn from it keep their promises."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope import synth
from histoscope.errors import ConfigError, CorruptDataError, DataError, DatasetNotFoundError
from histoscope.generate.arrange import arrange
from histoscope.generate.bank import cut_bank, load_bank
from histoscope.generate.bank_dyes import CANONICAL, dyes_of, pictured, stain_of
from histoscope.generate.bank_maps import N_PLAIN, chromatin_of, ground_of, maps_of, tones_of
from histoscope.types import Sample


@pytest.fixture(scope="module")
def tiles():
    return synth.cohort(3, 1, shape_px=(160, 160), mpp=0.5, seed=1)


class _Bank:
    """Hypothesis writes arguments out; a bank of arrays is too long for that."""

    def __init__(self, bank):
        self.bank = bank


@pytest.fixture(scope="module")
def bank(tiles):
    return cut_bank(tiles, synth.CLASSES)


@pytest.fixture(scope="module")
def hidden(bank):
    return _Bank(bank)


def _disc(radius, side=64):
    image = np.full((side, side, 3), 200, np.uint8)
    instances = np.zeros((side, side), np.int32)
    cv2.ellipse(instances, (side // 2, side // 2), (2 * radius, radius), 0, 0, 360, 1, -1)
    return Sample(image, 0.5, instances, np.array([0, 1], np.uint8), name="disc")


def test_a_nucleus_is_measured_in_micrometres():
    nuclei = cut_bank([_disc(6)], ["round"]).nuclei
    assert len(nuclei) == 1
    assert nuclei.area_um2[0] == pytest.approx((_disc(6).instances > 0).sum() * 0.25)
    assert nuclei.stretch[0] == pytest.approx(2.0, abs=0.1)
    assert abs(nuclei.angle[0]) < 0.05
    assert (nuclei.x_um[0], nuclei.y_um[0]) == pytest.approx((16.25, 16.25), abs=0.1)
    inside = (nuclei.shape[0] > 128).sum() * (nuclei.side_um[0] / 32) ** 2
    assert inside == pytest.approx(nuclei.area_um2[0], rel=0.1)


def test_a_nucleus_on_the_border_gives_a_place_but_no_shape(bank, tiles):
    rims = [np.r_[m[0], m[-1], m[:, 0], m[:, -1]] for m in (tile.instances for tile in tiles)]
    cut = sum(len(np.unique(rim[rim > 0])) for rim in rims)
    assert 0 < (~bank.nuclei.whole).sum() <= cut


def test_it_survives_a_file(bank, tmp_path):
    bank.save(tmp_path / "bank.npz")
    again = load_bank(tmp_path / "bank.npz")
    assert again.classes == bank.classes
    assert [t.stain for t in again.tiles] == [t.stain for t in bank.tiles]
    one, two = (arrange(b, (64, 64), mpp=0.5, rng=np.random.default_rng(0)) for b in (bank, again))
    np.testing.assert_array_equal(one.instances, two.instances)
    np.testing.assert_array_equal(one.ground, two.ground)


def test_what_cannot_be_read_says_so(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="fit the generator again"):
        load_bank(tmp_path / "none.npz")
    (tmp_path / "bank.npz").write_bytes(b"PK half")
    with pytest.raises(CorruptDataError, match="cannot be read"):
        load_bank(tmp_path / "bank.npz")


def test_tiles_without_nuclei_or_labels_are_refused(tiles):
    empty = Sample(tiles[0].image, 0.5, np.zeros((160, 160), np.int32), name="empty")
    with pytest.raises(DataError, match="no whole nucleus"):
        cut_bank([empty])
    with pytest.raises(DataError, match="no instance map"):
        cut_bank([Sample(tiles[0].image, 0.5, name="bare")])
    with pytest.raises(DataError, match="0 tile"):
        cut_bank([])


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), density=st.floats(0.2, 3.0), rows=st.integers(32, 90))
def test_every_layout_is_a_proper_label_map(hidden, seed, density, rows):
    new = arrange(hidden.bank, (rows, 71), mpp=0.5, rng=np.random.default_rng(seed), density=density)
    n = len(new.classes) - 1
    ids = np.unique(new.instances)
    np.testing.assert_array_equal(ids[ids > 0], np.arange(1, n + 1))
    assert new.tone.shape == (n + 1, 3)
    assert new.spread.shape == (n + 1,)
    assert new.ground.shape == (rows, 71, 6)
    assert np.isfinite(new.ground).all()
    assert new.placed <= new.wanted
    assert (new.classes[1:] > 0).all()
    for number in range(1, n + 1):
        assert cv2.connectedComponents((new.instances == number).astype(np.uint8), connectivity=4)[0] == 2


def test_density_follows_and_ends_where_nothing_fits(bank):
    def drawn(density):
        return arrange(bank, (160, 160), mpp=0.5, rng=np.random.default_rng(4), tile=0, density=density)

    thin, usual, absurd = drawn(0.4), drawn(1.0), drawn(10.0)
    assert thin.placed < 0.6 * usual.placed
    assert usual.placed > 0.7 * usual.wanted
    assert absurd.placed < 0.5 * absurd.wanted


def test_sizes_and_classes_are_those_of_the_tiles(bank):
    own = bank.nuclei.area_um2[bank.nuclei.whole]
    areas, kinds = [], []
    for seed in range(6):
        new = arrange(bank, (160, 160), mpp=0.5, rng=np.random.default_rng(seed), tile=seed % 3)
        areas.append(np.bincount(new.instances.ravel())[1:] * 0.25)
        kinds.append(new.classes[1:])
    areas, kinds = np.concatenate(areas), np.concatenate(kinds)
    assert np.median(areas) == pytest.approx(np.median(own), rel=0.2)
    share = np.bincount(bank.nuclei.kind, minlength=5) / len(bank.nuclei)
    np.testing.assert_allclose(np.bincount(kinds, minlength=5) / len(kinds), share, atol=0.1)


def test_wrong_wishes_are_refused(bank):
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="density is 0"):
        arrange(bank, (64, 64), mpp=0.5, rng=rng, density=0)
    with pytest.raises(ConfigError, match="tile is 3"):
        arrange(bank, (64, 64), mpp=0.5, rng=rng, tile=3)
    with pytest.raises(ConfigError, match="shape_px"):
        arrange(bank, (64, 0), mpp=0.5, rng=rng)


@pytest.mark.parametrize("stain", ["default", "purple", "pink", "blue"])
def test_dyes_come_back_and_stains_lie_near_the_true_ones(stain):
    sample = synth.generate((200, 200), mpp=0.5, stain=synth.STAINS[stain], rng=np.random.default_rng(2))
    found = stain_of(sample.image)
    back = pictured(dyes_of(sample.image, found), found)
    assert np.abs(back.astype(int) - sample.image).max() <= 1
    true = synth.STAINS[stain].vectors()[0]
    assert found.vectors()[0] @ true / np.linalg.norm(true) / found.h_amount > 0.97


def test_one_layout_in_two_stains_differs_in_colour_alone(tiles):
    dyes = dyes_of(tiles[0].image, stain_of(tiles[0].image))
    blue = pictured(dyes, synth.STAINS["blue"])
    again = dyes_of(blue, synth.STAINS["blue"])
    light = (blue > 8).all(axis=2) & (blue < 240).all(axis=2)
    assert np.abs(again - dyes)[light].max() < 0.25


def test_the_ground_does_not_know_the_nuclei():
    dyes = np.full((64, 64, 3), 0.3, np.float32)
    inside = np.zeros((64, 64), bool)
    inside[20:40, 20:40] = True
    dyes[inside] = 2.0
    assert ground_of(dyes, inside, 0.5)[..., :3].max() < 0.31


def test_chromatin_does_not_know_the_ground():
    dyes = np.full((32, 32, 3), 9.0, np.float32)
    inside = np.zeros((32, 32), bool)
    inside[8:24, 8:24] = True
    dyes[inside, 0] = 1.0
    np.testing.assert_allclose(chromatin_of(dyes, inside, 0.5)[inside], 1.0, atol=1e-3)


def test_maps_say_what_stands_where():
    sample = _disc(6)
    dyes = dyes_of(sample.image, CANONICAL)
    tone, spread = tones_of(dyes, sample.instances)
    assert (tone[0] == 0).all()
    np.testing.assert_allclose(tone[1], dyes[32, 32], rtol=1e-4)
    ground = ground_of(dyes, sample.instances > 0, 0.5)
    chromatin, kinds = np.full((64, 64), 0.25, np.float32), np.array([0, 2], np.uint8)
    maps = maps_of(sample.instances, kinds, tone, spread, ground, chromatin, n_classes=2, mpp=0.5)
    assert maps[4, 32, 32] == pytest.approx(tone[1, 0] + 0.25)
    assert maps[4, 0, 0] == pytest.approx(ground[0, 0, 0])
    assert maps.shape == (N_PLAIN + 2, 64, 64)
    np.testing.assert_array_equal(maps[0] > 0, sample.instances > 0)
    assert maps[N_PLAIN].max() == 0
    np.testing.assert_array_equal(maps[N_PLAIN + 1] > 0, sample.instances > 0)
    assert maps[2, 32, 32] > maps[2, 32, 22]
    assert maps[3, 0, 0] == 1.0
    assert 0 < (maps[1] * (maps[0] == 0)).sum() + maps[1].sum() < sample.instances.sum()


def test_copies_of_the_tile_that_are_too_far_away_to_show_change_nothing(bank, monkeypatch):
    def drawn():
        return arrange(bank, (200, 120), mpp=0.5, rng=np.random.default_rng(4), tile=0)

    near = drawn()
    monkeypatch.setattr("histoscope.generate.arrange._FAR_UM", 1e6)
    assert np.array_equal(near.instances, drawn().instances)
