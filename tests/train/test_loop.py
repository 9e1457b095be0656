"""Training: it learns, it resumes exactly, it stops when told, and it fails with words."""

import dataclasses
import json
import math

import pytest
import torch

from histoscope import models, train
from histoscope.augment import AUGMENTATIONS
from histoscope.errors import ConfigError, CorruptDataError, DataError, TrainingError
from histoscope.train.log import read


class Stop(Exception):  # noqa: N818  # stands for Ctrl-C or a crash
    pass


def weights_equal(a, b):
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


def test_it_learns(samples, fresh_model, config, tmp_path):
    config = dataclasses.replace(config, steps=60, evaluate_every=60, lr=5e-3)
    before = train.evaluate(fresh_model().eval(), samples[3:])["dice"].mean()
    fitted = train.fit(fresh_model(), samples[:3], samples[3:], config, out=tmp_path)
    after = train.evaluate(fitted.model, samples[3:])["dice"].mean()
    assert after > max(before, 0.5)


def test_a_stopped_run_ends_where_an_unbroken_one_does(samples, fresh_model, config, tmp_path):
    augment = AUGMENTATIONS["default"]

    def stop_at_seven(step, losses):
        if step == 7:
            raise Stop

    unbroken = train.fit(fresh_model(), samples[:3], samples[3:], config, out=tmp_path / "a", augment=augment)
    with pytest.raises(Stop):
        train.fit(
            fresh_model(),
            samples[:3],
            samples[3:],
            config,
            out=tmp_path / "b",
            augment=augment,
            on_step=stop_at_seven,
        )
    assert (tmp_path / "b" / "checkpoint.safetensors").is_file()
    torch.manual_seed(99)  # the random state comes from the checkpoint, not from here
    resumed = train.fit(fresh_model(), samples[:3], samples[3:], config, out=tmp_path / "b", augment=augment)
    assert weights_equal(unbroken.model, resumed.model)
    assert resumed.best_step == unbroken.best_step
    assert not (tmp_path / "b" / "checkpoint.safetensors").exists()
    steps = [line["step"] for line in read(tmp_path / "b")]
    assert steps == [line["step"] for line in read(tmp_path / "a")]


def test_the_same_seed_gives_the_same_model_and_another_does_not(samples, fresh_model, config, tmp_path):
    first, again = (train.fit(fresh_model(), samples, [], config, out=tmp_path / name) for name in "ab")
    other = train.fit(fresh_model(), samples, [], dataclasses.replace(config, seed=1), out=tmp_path / "c")
    assert weights_equal(first.model, again.model)
    assert not weights_equal(first.model, other.model)
    assert math.isnan(first.best_score)
    assert first.best_step == config.steps  # without validation the last weights are kept


def test_patience_stops_early(samples, fresh_model, config, tmp_path, monkeypatch):
    scores = iter([0.5, 0.4, 0.3, 0.2, 0.1, 0.0])

    def falling(model, val):
        import pandas as pd

        return pd.DataFrame([dict.fromkeys(("dice", "aji", "pq", "f1_50"), next(scores))])

    monkeypatch.setattr("histoscope.train.loop.evaluate", falling)
    config = dataclasses.replace(config, steps=30, evaluate_every=3, patience=2)
    fitted = train.fit(fresh_model(), samples[:3], samples[3:], config, out=tmp_path)
    assert fitted.best_step == 3
    assert read(tmp_path)[-1]["step"] == 9


def test_divergence_is_an_error_that_keeps_the_best(samples, fresh_model, config, tmp_path, monkeypatch):
    model = fresh_model()
    loss, calls = model.loss, iter(range(100))

    def late_nan(heads, target):
        losses = loss(heads, target)
        return {name: value * (math.nan if next(calls) > 20 else 1) for name, value in losses.items()}

    monkeypatch.setattr(model, "loss", late_nan, raising=False)
    with pytest.raises(TrainingError, match=r"diverged.*train\.lr"):
        train.fit(model, samples[:3], samples[3:], config, out=tmp_path)
    assert models.load(tmp_path / "model").name == "unet"


def test_a_torn_checkpoint_says_what_to_do(samples, fresh_model, config, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\x08\x00")
    with pytest.raises(CorruptDataError, match="delete it"):
        train.fit(fresh_model(), samples, [], config, out=tmp_path)


def test_a_checkpoint_of_another_network_is_refused(samples, fresh_model, config, tmp_path):
    def stop(step, losses):
        if step == 5:
            raise Stop

    with pytest.raises(Stop):
        train.fit(fresh_model(), samples, [], config, out=tmp_path, on_step=stop)
    other = models.create("unet", width=5, depth=2, mpp=0.5)
    with pytest.raises(CorruptDataError, match="another network"):
        train.fit(other, samples, [], config, out=tmp_path)


def test_the_log_is_json_and_tensorboard(samples, fresh_model, config, tmp_path):
    config = dataclasses.replace(config, tensorboard=True)
    train.fit(fresh_model(), samples[:3], samples[3:], config, out=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {"loss", "cross_entropy", "dice_loss", "lr", "seconds"} <= set(lines[-2])
    assert set(lines[-1]["val"]) == {"dice", "aji", "pq", "f1_50"}
    assert list((tmp_path / "tensorboard").glob("events*"))


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"lr": 0.0}, {"warmup": 1.0}, {"patience": 0}, {"monitor": "ajii"}, {"on_nuclei": 2.0}],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        train.TrainConfig(**wrong)


def test_nothing_to_evaluate_is_an_error(fresh_model, samples):
    with pytest.raises(DataError, match="no images"):
        train.evaluate(fresh_model(), [])
    with pytest.raises(DataError, match="no instance map"):
        train.evaluate(fresh_model(), [dataclasses.replace(samples[0], instances=None, classes=None)])
