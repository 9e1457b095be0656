"""The models that come with the package, as a user gets them."""

import json
import warnings

import numpy as np
import pytest

from histoscope import metrics, models, synth, weights
from histoscope.errors import UnknownNameError
from histoscope.train import provenance

NAMES = sorted(weights.WEIGHTS)
NON_COMMERCIAL = pytest.mark.filterwarnings("ignore:.*non-commercial use only")
CARD = {"about", "weights licence", "training data", "training command", "test", "known failures"}


@pytest.mark.parametrize("name", NAMES)
class TestShipped:
    def test_is_small_and_its_card_says_what_must_be_known(self, name):
        folder = weights.find(name)
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        assert card["name"] == name
        assert card.keys() >= CARD
        for mean, low, high, n in _scores(card["test"]):
            assert n >= 2
            assert low <= mean <= high
        assert {part["unit"] for part in card["test"].values()} <= {"patient", "name"}
        assert (folder / "model.safetensors").stat().st_size < 16e6

    def test_only_free_weights_come_without_a_notice(self, name):
        assert bool(weights.licence_notice(weights.find(name))) == (name != "nuclei-free")

    @pytest.mark.parametrize("opened", [models.load, models.open_model])
    def test_its_licence_is_told_once(self, name, opened):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            opened(name)
        assert [str(warning.message) for warning in said] == [
            notice for notice in [weights.licence_notice(weights.find(name))] if notice
        ]

    @NON_COMMERCIAL
    def test_is_opened_by_its_name(self, name):
        network = models.load(name)
        state = models.load(weights.find(name)).state_dict()
        assert all((state[key] == value).all() for key, value in network.state_dict().items())
        assert models.read_card(name)["name"] == name
        assert models.normalizer_of(name) is None

    @NON_COMMERCIAL
    def test_finds_drawn_nuclei(self, name):
        sample = synth.generate((256, 256), mpp=0.25, rng=np.random.default_rng(5))
        found = models.predict(sample.image, models.load(weights.find(name)), sample.mpp)
        assert metrics.dice(sample.instances > 0, found.instances > 0) > 0.6


def test_a_name_that_is_none_is_told_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'nuclei-free'"):
        models.load("nuclei-fre")


def test_what_was_learned_from_is_listed():
    listed = provenance.read(weights.find("nuclei-research"))
    assert listed.groupby(["data", "part"]).size().to_dict() == {
        ("consep", "train"): 24,
        ("consep", "val"): 3,
        ("monuseg", "train"): 27,
        ("monuseg", "val"): 3,
    }
    assert listed["pixels"].is_unique
    assert not listed["file"].any()
    assert not len(provenance.read(weights.find("nuclei-free")))  # drawn tissue is of nobody


def _scores(test):
    return [values for scores in test.values() for values in scores.values() if isinstance(values, list)]
