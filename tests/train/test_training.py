"""The one way to train and test: order of what happens, and that each setting arrives."""

import dataclasses

import pytest
import torch

from histoscope.data import Datasheet, InMemory
from histoscope.errors import ConfigError, DataError
from histoscope.train import evaluate
from histoscope.train.loop import Fitted
from histoscope.train.recipe import Recipe
from histoscope.train.tasks import Listener, task_of
from histoscope.train.training import TestSets, Training, score, train_and_test


@pytest.fixture
def heard():
    """What a listener is told, in order."""
    return []


@pytest.fixture
def listener(heard):
    return Listener(
        start=lambda: heard.append("start"),
        step=lambda step, _: heard.append(f"step {step}"),
        trained=lambda seconds: heard.append("trained"),
        test=lambda name: heard.append(f"test {name}"),
        sample=lambda sample, *_: heard.append(sample.name),
    )


def sets_of(**parts):
    return TestSets(sets={name: InMemory.of(part, Datasheet("lab", mpp=0.5)) for name, part in parts.items()})


def test_order_and_tables(fresh_model, samples, config, tmp_path, listener, heard):
    model, test = fresh_model(), sets_of(own=samples[3:], other=samples[:2])
    settings = Training(
        model=model, train=samples[:3], val=samples[3:], recipe=Recipe(config=config), test=test
    )
    tested = train_and_test(task_of(model), settings, tmp_path, listener)
    steps = [f"step {k}" for k in range(1, config.steps + 1)]
    own, other = ([sample.name for sample in part] for part in (samples[3:], samples[:2]))
    assert heard == ["start", *steps, "trained", "test own", *own, "test other", *other]
    assert tested.tables["other"]["name"].tolist() == other
    assert tested.tables["own"].equals(evaluate(tested.model, test.sets["own"]))
    assert tested.seconds.keys() == {"train", "evaluate"}
    assert (tmp_path / "model" / "card.json").is_file()


def test_nothing_is_written_where_settings_do_not_fit(
    fresh_model, samples, config, tmp_path, listener, heard
):
    model, recipe = fresh_model(), Recipe(config=dataclasses.replace(config, monitor="accuracy"))
    with pytest.raises(ConfigError, match="is for patches"):
        train_and_test(
            task_of(model), Training(model=model, train=samples, recipe=recipe), tmp_path, listener
        )
    assert not heard
    assert not list(tmp_path.iterdir())


def test_without_test_sets_nothing_is_predicted(fresh_model, samples, config, tmp_path, listener, heard):
    model = fresh_model()
    settings = Training(model=model, train=samples[:3], recipe=Recipe(config=config))
    assert train_and_test(task_of(model), settings, tmp_path, listener).tables == {}
    assert heard[-1] == "trained"


def test_each_setting_of_a_test_arrives(fresh_model, samples):
    model, given = fresh_model(), {}

    class Task(type(task_of(model))):
        def evaluate(self, model, samples, **how):
            given.update(how, samples=samples)

    def skip(name, why):
        raise DataError(f"{name}: {why}")

    sets = sets_of(own=samples).sets
    chosen = TestSets(sets=sets, tta=True, metrics=("sq",))
    score(Task(), model, chosen, Listener(skip=skip))
    assert given["samples"] is sets["own"]
    assert given["tta"]
    assert list(given["more"]) == ["sq"]
    assert given["on_skip"] is skip
    assert {field.name for field in dataclasses.fields(TestSets)} == {"sets", "tta", "metrics"}


@pytest.mark.parametrize(("accelerator", "device"), [("cpu", "cpu"), ("auto", "meta")])
def test_testing_runs_where_the_settings_say(
    fresh_model, samples, config, tmp_path, monkeypatch, accelerator, device
):
    model, moved = fresh_model(), []

    class Task(type(task_of(model))):
        def train(self, settings, folder, card, listener):
            return Fitted(model, 0, 0.0, 0.0)

        def evaluate(self, model, samples, **how):
            moved.append(str(model.to.device))

    monkeypatch.setattr("histoscope.train.training.fastest", lambda: torch.device("meta"))
    monkeypatch.setattr(model, "to", lambda place: setattr(model.to, "device", place))
    recipe = Recipe(config=dataclasses.replace(config, accelerator=accelerator))
    settings = Training(model=model, train=samples[:3], recipe=recipe, test=sets_of(own=samples[3:]))
    train_and_test(Task(), settings, tmp_path)
    assert moved == [device]
