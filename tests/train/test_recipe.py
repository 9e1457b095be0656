"""Every field of a recipe reaches the loop, the card or the list of what was learned from."""

import dataclasses
from types import SimpleNamespace

import pytest

from histoscope import models, stain
from histoscope.balance import BalanceConfig
from histoscope.data import Datasheet, InMemory
from histoscope.data.origins import FILE
from histoscope.stain import JITTERS
from histoscope.tables import read_table
from histoscope.train import loop, provenance
from histoscope.train.recipe import Recipe, card_of
from histoscope.train.tasks import Listener, task_of
from histoscope.train.training import Training, train_and_test

GIVEN_TO_FIT = {
    "augment": "default",
    "color": JITTERS["stain"],
    "balance": BalanceConfig(),
    "keep_checkpoint": True,
}


@pytest.fixture
def given(monkeypatch):
    """What the loop is given, in place of training."""
    seen = SimpleNamespace()

    def fit(model, train, val, config, **how):
        seen.parts, seen.config, seen.how = (train, val), config, how
        return loop.Fitted(model, 1, 0.5, 2.0)

    monkeypatch.setattr(loop, "fit", fit)
    return seen


@pytest.fixture
def learned(samples):
    return {"train": InMemory.of(samples[:3], Datasheet("lab", licence="CC BY 4.0", mpp=0.5))}


def test_what_the_loop_is_given(given, learned, fresh_model, samples, config, tmp_path):
    normalizer = stain.Macenko.default()
    chosen = Recipe(config=config, learned=learned, normalizer=normalizer, **GIVEN_TO_FIT)
    model, steps = fresh_model(), []
    settings = Training(model=model, train=samples[:3], val=samples[3:], recipe=chosen)
    train_and_test(task_of(model), settings, tmp_path, Listener(step=steps.append))
    assert given.parts == (samples[:3], samples[3:])
    assert given.config is config
    assert GIVEN_TO_FIT.items() <= given.how.items()
    assert given.how["normalizer"] is normalizer
    assert given.how["out"] == tmp_path
    assert given.how["on_step"] == steps.append
    tested = {"config", "learned", "normalizer", "begun_from", "about", *GIVEN_TO_FIT}
    assert {field.name for field in dataclasses.fields(Recipe)} == tested  # a new one needs a test


def test_what_the_card_and_the_list_say(learned, samples, config, tmp_path):
    reference = samples[3]  # is not learned from
    normalizer = stain.Macenko.fit(reference.image, origin=reference.name)
    about = {"run": "macenko-unet-seed0"}
    chosen = Recipe(config=config, learned=learned, normalizer=normalizer, about=about)
    card = card_of(chosen, tmp_path)
    assert card["run"] == "macenko-unet-seed0"
    assert card["weights licence"] == "CC BY 4.0"
    listed = provenance.learned_from(learned)
    table = read_table(tmp_path / "model" / FILE)
    assert set(listed["name"]) <= set(table["name"])
    assert table["part"].tolist().count(provenance.REFERENCE) == 1


def test_weights_begun_from_are_listed(config, fresh_model, tmp_path):
    begun = models.save(fresh_model(), tmp_path / "first")  # without a list of its own
    chosen = Recipe(config=config, learned={}, begun_from=(begun,))
    card_of(chosen, tmp_path / "second")
    table = read_table(tmp_path / "second" / "model" / FILE)
    assert provenance.UNKNOWN in table["part"].tolist()
