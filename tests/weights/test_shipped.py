"""The models that come with the package, as a user gets them."""

import json
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest

from histoscope import metrics, models, synth, weights
from histoscope.errors import UnknownNameError
from histoscope.models.pixel_sizes import Curve
from histoscope.train import provenance

DOCS = Path(__file__).resolve().parents[2] / "docs"
LABORATORIES = {
    *("MoNuSeg, published test part", "TNBC, two test patients", "TNBC, all eleven patients", "CPM-15"),
    "Lower grade glioma, four of five patients",
    *("CoNSeP, published test part", "Data Science Bowl 2018, purple stains"),
}
SCORES = ("aji", "pq", "f1_50", "dice")
SCORED = {"images", "nuclei", "unit", "worst", *SCORES}
NAMES = sorted(weights.WEIGHTS)
NON_COMMERCIAL = pytest.mark.filterwarnings("ignore:.*non-commercial use only")
CARD = {
    *(
        "about",
        "weights licence",
        "credit",
        "training data",
        "training command",
        "known failures",
        "pictures",
    ),
    *("test", "pixel sizes"),
}


@pytest.mark.parametrize("name", NAMES)
class TestShipped:
    def test_is_small_and_its_card_says_what_must_be_known(self, name):
        folder = weights.find(name)
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        assert card["name"] == name
        assert card.keys() >= CARD
        for part in card["test"].values():
            assert part.keys() >= {"tissue", "licence", "citation", "saw"}
            assert part.keys() >= SCORED or part["saw"].startswith("not measured")
        for mean, low, high, n in _scores(card["test"]):
            assert n >= 2 or low is None
            assert low is None or low <= mean <= high
        assert (folder / "model.safetensors").stat().st_size < 16e6

    def test_says_which_laboratories_it_never_saw_and_how_it_does_on_each_organ(self, name):
        tests = weights.card(name)["test"]
        assert tests.keys() == LABORATORIES
        assert sum(part["saw"].startswith("the model never saw") for part in tests.values()) >= 1
        organs = tests["MoNuSeg, published test part"]["by organ"]
        assert {organ: each["images"] for organ, each in organs.items()} == {
            **dict.fromkeys(["bladder", "brain", "breast", "lung", "prostate"], 2),
            "colon": 1,
            "kidney": 3,
        }
        assert all(len(each[score]) == 4 for each in organs.values() for score in SCORES)

    def test_says_at_which_pixel_sizes_it_works(self, name):
        found = weights.card(name)["pixel sizes"]
        assert tuple(found["range"]) == Curve.of(weights.card(name)).range
        assert found["range"][0] <= 0.25 < 0.5 <= found["range"][1]  # 40x and 20x

    def test_is_shown_on_pictures_that_are_not_large(self, name):
        pictures = sorted((DOCS / "img" / "models").glob(f"{name}_*.jpg"))
        assert {f"{name}_{shown}.jpg" for shown in ("monuseg", "failures")} <= {one.name for one in pictures}
        assert all(20_000 < one.stat().st_size <= 150_000 for one in pictures)

    def test_only_free_weights_come_without_a_notice(self, name):
        assert bool(weights.licence_notice(weights.find(name))) == (name == "nuclei-research")

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
        ("consep", "train"): 22,
        ("consep", "val"): 5,
        ("lgg_tcga_emory", "train"): 24,
        ("lgg_tcga_emory", "val"): 4,
        ("monuseg", "train"): 27,
        ("monuseg", "val"): 3,
        ("tnbc", "train"): 33,
        ("tnbc", "val"): 11,
    }
    assert listed["pixels"].is_unique
    assert not listed["file"].any()
    # Drawn tissue is of nobody; real images chose the thresholds alone.
    free = provenance.read(weights.find("nuclei-free"))
    assert free.groupby(["data", "part"]).size().to_dict() == {("tnbc", "val"): 11}
    begun = provenance.read(weights.find("nuclei"))
    assert begun.groupby(["data", "part"]).size().to_dict() == {
        ("pseudo_labelled", "train"): 32,
        ("pseudo_labelled", "val"): 1,
        ("synth", "synthetic"): 400,
        ("tnbc", "train"): 33,
        ("tnbc", "val"): 11,
    }


def test_their_page_is_current(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "make")
    page = runpy.run_path(str(DOCS / "make" / "models_page.py"))["page"]()
    assert (DOCS / "models.md").read_text(encoding="utf-8") == page, "run python docs/make/models_page.py"


def _scores(test):
    return [values for scores in test.values() for values in scores.values() if isinstance(values, list)]
