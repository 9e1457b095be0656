"""Training: it learns, it resumes exactly, it stops when told, and it fails with words."""

import dataclasses
import functools
import json
import math
import sys

import pytest
import torch

from histoscope import models, stain, train
from histoscope.augment import AUGMENTATIONS
from histoscope.errors import ConfigError, CorruptDataError, DataError, TrainingError
from histoscope.models.nuclei.unet import UNet
from histoscope.train.log import read
from histoscope.train.schedule import warmup_cosine


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


def test_a_checkpoint_goes_on_with_its_own_samples_alone(samples, fresh_model, config, tmp_path):
    first, longer = dataclasses.replace(config, steps=2), dataclasses.replace(config, steps=3)
    fit = functools.partial(train.fit, out=tmp_path, keep_checkpoint=True)
    fit(fresh_model(), samples[:3], samples[3:], first)
    darker = dataclasses.replace(samples[0], image=samples[0].image // 2)
    fewer = dataclasses.replace(samples[0], instances=samples[0].instances * (samples[0].instances != 1))
    for others in ([darker, *samples[1:3]], [fewer, *samples[1:3]], samples[:2], samples[2::-1]):
        with pytest.raises(ConfigError, match=r"from a run on other samples \(digest .*, got "):
            fit(fresh_model(), others, samples[3:], longer)
    with pytest.raises(ConfigError, match="on other samples"):
        fit(fresh_model(), samples[:3], [], longer)
    assert fit(fresh_model(), samples[:3], samples[3:], longer).best_step


def test_it_trains_within_a_job_of_slurm(samples, fresh_model, config, tmp_path, monkeypatch):
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")  # such a node has it; warnings are errors here
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "array")
    monkeypatch.setenv("SLURM_PROCID", "3")
    config = dataclasses.replace(config, steps=2, evaluate_every=2)
    assert train.fit(fresh_model(), samples[:1], samples[3:4], config, out=tmp_path / "run").model is not None


def test_a_file_in_the_place_of_the_folder_is_named(samples, fresh_model, config, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="file is a file; choose a folder"):
        train.fit(fresh_model(), samples[:3], [], config, out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_same_seed_gives_the_same_model_and_another_does_not(samples, fresh_model, config, tmp_path):
    first, again = (train.fit(fresh_model(), samples, [], config, out=tmp_path / name) for name in "ab")
    other = train.fit(fresh_model(), samples, [], dataclasses.replace(config, seed=1), out=tmp_path / "c")
    assert weights_equal(first.model, again.model)
    assert not weights_equal(first.model, other.model)
    assert math.isnan(first.best_score)
    assert first.best_step == config.steps  # without validation the last weights are kept


def test_patience_stops_early(samples, fresh_model, config, tmp_path, monkeypatch):
    scores = iter([0.5, 0.4, 0.3, 0.2, 0.1, 0.0])

    def falling(model, val, more):
        import pandas as pd

        return pd.DataFrame([dict.fromkeys(("dice", "aji", "pq", "f1_50"), next(scores))])

    monkeypatch.setattr("histoscope.train.loop.evaluate", falling)
    config = dataclasses.replace(config, steps=30, evaluate_every=3, patience=2)
    fitted = train.fit(fresh_model(), samples[:3], samples[3:], config, out=tmp_path)
    assert fitted.best_step == 3
    assert read(tmp_path)[-1]["step"] == 9


OTHERS = """
from histoscope.metrics import Metric
calls = []

def number(true, pred):
    calls.append(1)
    return 1.0 / len(calls)

fewer = Metric("Fewer", number, higher_is_better=False)
"""


@pytest.mark.parametrize(("name", "best"), [("number", 6), ("fewer", 12)])
def test_a_metric_of_others_chooses_the_weights(
    name, best, samples, fresh_model, config, tmp_path, monkeypatch
):
    (tmp_path / "metrics_of_others.py").write_text(OTHERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "metrics_of_others", raising=False)
    config = dataclasses.replace(config, monitor=f"metrics_of_others:{name}")
    fitted = train.fit(fresh_model(), samples[:3], samples[3:4], config, out=tmp_path / "run")
    assert fitted.best_step == best
    scores = [line["val"][name] for line in read(tmp_path / "run") if "val" in line]
    assert scores == [1.0, 0.5]
    assert models.read_card(tmp_path / "run")["validation"][name] == fitted.best_score
    wrong = dataclasses.replace(config, monitor="metrics_of_others:nothing")
    with pytest.raises(ConfigError, match="cannot be imported"):
        train.fit(fresh_model(), samples[:3], samples[3:4], wrong, out=tmp_path / "other")


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


class Own(UNet):
    """A network of one's own, with an argument that no card could give back."""

    def __init__(self, secret: object) -> None:
        super().__init__(width=4, depth=2, mpp=0.5)
        self.secret = secret


def test_a_network_of_ones_own_is_given_back_with_its_best_weights(samples, config, tmp_path):
    torch.manual_seed(0)
    network = Own(object())
    fitted = train.fit(network, samples[:3], samples[3:], config, out=tmp_path)
    assert fitted.model is network
    assert not network.training
    again = models.load(tmp_path, network=Own(None))
    assert weights_equal(network, again)
    looks = [line["val"]["aji"] for line in read(tmp_path) if "val" in line]
    assert train.evaluate(network, samples[3:])["aji"].mean() == pytest.approx(max(looks), abs=1e-5)


def test_the_folder_says_from_the_first_look_what_prediction_needs(samples, fresh_model, config, tmp_path):
    def stop_after_the_first_look(step, losses):
        if step == config.evaluate_every + 1:
            raise Stop

    with pytest.raises(Stop):
        train.fit(
            fresh_model(),
            samples[:3],
            samples[3:],
            config,
            out=tmp_path,
            on_step=stop_after_the_first_look,
            card={"weights licence": "CC BY-NC 4.0"},
            normalizer=stain.get("macenko").default(),
        )
    card = models.read_card(tmp_path / "model")
    assert (card["weights licence"], card["stain normaliser"], card["step"]) == ("CC BY-NC 4.0", "macenko", 6)
    assert models.normalizer_of(tmp_path).name == "macenko"


def test_thresholds_that_are_tuned_lose_neither_card_nor_normaliser(samples, config, tmp_path):
    torch.manual_seed(0)
    model = models.create("stardist", width=4, depth=2, n_rays=8, mpp=0.5, grid=1)
    train.fit(
        model,
        samples[:1],
        samples[1:2],
        dataclasses.replace(config, steps=1),
        out=tmp_path,
        card={"weights licence": "CC0"},
        normalizer=stain.get("reinhard").default(),
    )
    card = models.read_card(tmp_path / "model")
    assert "pq with tuned thresholds" in card["validation"]
    assert (card["weights licence"], card["stain normaliser"]) == ("CC0", "reinhard")
    assert models.normalizer_of(tmp_path).name == "reinhard"


def test_more_steps_go_on_along_the_longer_schedule(samples, fresh_model, config, tmp_path):
    short = dataclasses.replace(config, steps=6)
    train.fit(fresh_model(), samples[:3], [], short, out=tmp_path, keep_checkpoint=True)
    rates = []
    longer = dataclasses.replace(config, steps=12)

    def spy(step, losses):
        rates.append(step)

    fitted = train.fit(
        fresh_model(), samples[:3], [], longer, out=tmp_path, on_step=spy, keep_checkpoint=True
    )
    assert rates == [7, 8, 9, 10, 11, 12]
    assert fitted.best_step == 12
    logged = {line["step"]: line["lr"] for line in read(tmp_path) if "lr" in line}
    assert logged[6] == pytest.approx(config.lr * warmup_cosine(5, 6), abs=1e-6)
    assert logged[12] == pytest.approx(config.lr * warmup_cosine(11, 12), abs=1e-6)
    card = models.read_card(tmp_path / "model")
    assert card["learning rate"] == "up to step 6 along 6 steps, then along 12"
    with pytest.raises(ConfigError, match=r"step 12, but train\.steps is 6"):
        train.fit(fresh_model(), samples[:3], [], short, out=tmp_path)
