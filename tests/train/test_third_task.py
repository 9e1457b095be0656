"""A third task is one file: here it counts nuclei, and is trained, validated and tested by the usual way."""

import sys
from types import ModuleType

import pandas as pd
import pytest

from histoscope import models
from histoscope.data import Datasheet, InMemory
from histoscope.errors import DataError
from histoscope.models.inference import predict
from histoscope.train.config import TrainConfig
from histoscope.train.parts import at_model
from histoscope.train.recipe import Recipe
from histoscope.train.tasks import Listener, task_of
from histoscope.train.tasks.labelled import LabelledTask
from histoscope.train.training import TestSets, Training, train_and_test


class CountNuclei(LabelledTask):
    """Each image has a number of nuclei."""

    first_class, takes_tta, skips_unreadable = 1, False, False

    def check(self, model, train, val, config):
        for sample in (*train, *val):
            if sample.instances is None:
                raise DataError(f"sample {sample.name!r} has no instance map to count in")

    def check_remedies(self, model, config):
        pass

    def check_experiment(self, experiment, model):
        pass

    def samples(self, plan, model, listener):
        return tuple(at_model(part, model.spec.mpp) for part in (plan.shown.train, plan.shown.val))

    def remedies(self, model, train, config):
        return None

    def monitor(self, config):
        return "miscounted"

    def falls(self, monitor):
        return True

    def evaluate(self, model, samples, *, on_sample=None, on_skip=None, tta=False, more=()):
        rows = []
        for sample in samples:
            n_true, n_found = int(sample.instances.max()), len(predict(sample.image, model, sample.mpp))
            rows.append({"name": sample.name, "true": n_true, "found": n_found})
        return pd.DataFrame(rows)

    def summary(self, table, *more):
        return {"miscounted": float((table["true"] - table["found"]).abs().mean())}


@pytest.fixture
def model(monkeypatch, fresh_model):
    lab = ModuleType("my_lab")
    lab.CountNuclei = CountNuclei
    monkeypatch.setitem(sys.modules, "my_lab", lab)
    made = fresh_model()
    monkeypatch.setattr(type(made), "task", "my_lab:CountNuclei")
    return made


def test_it_is_trained_validated_and_tested(model, samples, tmp_path):
    config = TrainConfig(steps=6, batch_size=2, patch_px=32, evaluate_every=2, tensorboard=False)
    test = TestSets(sets={"test": InMemory.of(samples[3:], Datasheet("lab", mpp=0.5))})
    settings = Training(
        model=model, train=samples[:3], val=samples[3:], recipe=Recipe(config=config), test=test
    )
    tested = train_and_test(task_of(model), settings, tmp_path, Listener())
    assert tested.tables["test"].columns.tolist() == ["name", "true", "found"]
    best = models.read_card(tmp_path / "model")["validation"]["miscounted"]
    logged = pd.read_json(tmp_path / "log.jsonl", lines=True)["val"].dropna()
    assert best == pytest.approx(min(each["miscounted"] for each in logged), abs=1e-5)
