"""What cannot end well is refused before the first step, and leaves no trace in the run folder."""

import dataclasses

import numpy as np
import pytest
import torch

from histoscope import models, train
from histoscope.errors import ConfigError, DataError, TrainingError, UnknownNameError
from histoscope.generate.training import GeneratorConfig
from histoscope.train import TrainConfig
from histoscope.train.checks import check_fit
from histoscope.train.config import TransferConfig

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: value} for name in ("lr", "weight_decay") for value in (NAN, INF, -1.0)),
        *(
            {name: 0}
            for name in ("steps", "batch_size", "patch_px", "evaluate_every", "checkpoint_every", "lr")
        ),
        *({"seed": value} for value in (-1, 2**63, 0.5, True)),
        *({"devices": value} for value in (0, 2, -1)),
        *({"accelerator": value} for value in ("tpu", "GPU", "", 0)),
        *({"precision": value} for value in ("foo", "64-true", 16, "")),
        *({"warmup": value} for value in (1.0, 200, -0.1, NAN)),
        {"workers": -1},
        {"patience": 1.5},
        {"steps": "300"},
        {"steps": 3.0},
        {"tensorboard": 1},
        {"on_nuclei": NAN},
        {"transfer": {"frozen": 1}},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_named(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ConfigError, match=rf"train[.:].*{name}") as refused:
        TrainConfig(**wrong)
    assert str(value) in str(refused.value)


@pytest.mark.parametrize(
    "wrong", [{"backbone_lr": NAN}, {"layer_decay": 0}, {"frozen": -1}, {"unfreeze_every": 0.5}], ids=str
)
def test_rates_that_cannot_be_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TransferConfig(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"precision": "foo"}, {"seed": -1}, {"accelerator": "tpu"}, {"lr": NAN}, {"steps": 0}], ids=str
)
def test_a_generator_is_held_to_the_same(wrong):
    with pytest.raises(ConfigError, match=rf"generator.*{next(iter(wrong))}"):
        GeneratorConfig(**wrong)


def test_whole_numbers_of_numpy_and_whole_rates_are_fine():
    assert TrainConfig(steps=np.int64(3), lr=1, weight_decay=0).steps == 3


def test_numbers_of_numpy_are_written_like_others(samples, fresh_model, config, tmp_path):
    chosen = dataclasses.replace(config, steps=np.int64(2), lr=np.float32(0.01), seed=np.uint8(1))
    card = {"magnification": np.float32(40), "fields": np.arange(2), "list": tmp_path / "list.csv"}
    train.fit(fresh_model(), samples, [], chosen, out=tmp_path, card=card)
    about = models.read_card(tmp_path / "model")
    assert (about["train"]["steps"], about["train"]["seed"]) == (2, 1)
    assert about["magnification"] == 40
    assert about["fields"] == [0, 1]


def test_a_loss_without_its_sum_is_named(samples, fresh_model, config, tmp_path, monkeypatch):
    model = fresh_model()
    monkeypatch.setattr(model, "loss", lambda heads, target: {"cells": next(iter(heads.values())).mean()})
    with pytest.raises(TrainingError, match="has cells, expected 'total'"):
        train.fit(model, samples, [], config, out=tmp_path)


def test_a_device_that_is_not_there_is_refused_before_anything(
    samples, fresh_model, config, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for accelerator in ("gpu", "cuda", "mps"):
        chosen = dataclasses.replace(config, accelerator=accelerator)
        with pytest.raises(ConfigError, match=f"'{accelerator}'.*available: auto, cpu"):
            train.fit(fresh_model(), samples, [], chosen, out=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"16-mixed.*GPU"):
        train.fit(
            fresh_model(),
            samples,
            [],
            dataclasses.replace(config, precision="16-mixed"),
            out=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


def bare(sample):
    return dataclasses.replace(sample, instances=None, classes=None)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda c, s: (c, [], []), DataError, "no training samples"),
        (lambda c, s: (c, [dataclasses.replace(s[0], mpp=0.25), *s[1:]], []), DataError, r"0\.25 .*at 0\.5"),
        (lambda c, s: (c, [dataclasses.replace(each, mpp=0.25) for each in s], []), DataError, "resample"),
        (lambda c, s: (c, [s[0], bare(s[1])], []), DataError, "no instance map to learn from"),
        (lambda c, s: (c, s, [bare(s[1])]), DataError, "no instance map to learn from"),
        (
            lambda c, s: (dataclasses.replace(c, patch_px=33), s, []),
            ConfigError,
            "multiples of 2, such as 32",
        ),
        (lambda c, s: ({"steps": 3}, s, []), ConfigError, "dict"),
        (lambda c, s: (c, iter(s), []), DataError, "train is a .*list"),
        (lambda c, s: (c, s, iter(s)), DataError, "val is a .*list"),
        (lambda c, s: (dataclasses.replace(c, monitor="auroc"), s, []), ConfigError, "for patches"),
    ],
)
def test_what_does_not_fit_is_refused(samples, fresh_model, config, tmp_path, change, error, words):
    chosen, learned, val = change(config, list(samples))
    with pytest.raises(error, match=words):
        train.fit(fresh_model(), learned, val, chosen, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_class_that_the_model_does_not_know_is_named(samples, config, tmp_path):
    model = models.create("stardist", width=4, depth=2, n_rays=8, mpp=0.5, grid=1, classes=["one", "two"])
    odd = dataclasses.replace(samples[0], name="odd", classes=np.minimum(samples[0].classes, 1) * np.uint8(3))
    with pytest.raises(DataError, match=r"'odd' has nuclei of class 3.*1 to 2: one, two"):
        train.fit(model, [odd], [], config, out=tmp_path / "run")


def test_patches_without_or_of_other_classes_are_named(patches, fresh_classifier, config, tmp_path):
    config = dataclasses.replace(config, patch_px=20)
    for label, words in ((None, "no class to learn from"), (2, "of class 2")):
        odd = dataclasses.replace(patches[0], label=label)
        with pytest.raises((ConfigError, DataError), match=words):
            train.fit(fresh_classifier(), [*patches, odd], [], config, out=tmp_path / "run")


@pytest.mark.parametrize("what", ["augment", "color", "balance"])
def test_names_are_taken_and_wrong_ones_refused(samples, fresh_model, config, tmp_path, what):
    with pytest.raises(UnknownNameError, match="Known"):
        train.fit(fresh_model(), samples, [], config, out=tmp_path / "run", **{what: "defualt"})
    with pytest.raises(ConfigError, match="3"):
        train.fit(fresh_model(), samples, [], config, out=tmp_path / "run", **{what: 3})


def test_a_normaliser_is_fitted_already(samples, fresh_model, config, tmp_path):
    with pytest.raises(ConfigError, match=r"'macenko', expected a fitted one"):
        train.fit(fresh_model(), samples, [], config, out=tmp_path / "run", normalizer="macenko")
    assert not (tmp_path / "run").exists()


def test_a_name_means_what_it_names(samples, fresh_model, config, tmp_path):
    from histoscope import augment, stain

    chosen = dataclasses.replace(config, steps=2)
    named = train.fit(fresh_model(), samples, [], chosen, out=tmp_path / "a", augment="strong", color="stain")
    given = train.fit(
        fresh_model(),
        samples,
        [],
        chosen,
        out=tmp_path / "b",
        augment=augment.get("strong"),
        color=stain.JITTERS["stain"],
    )
    for name, value in named.model.state_dict().items():
        assert torch.equal(value, given.model.state_dict()[name])


@pytest.mark.parametrize(
    ("setting", "value"), [("patch_px", 64), ("on_nuclei", 0.5), ("monitor", "pq"), ("monitor", "dice")]
)
def test_a_classifier_refuses_settings_of_nuclei(setting, value, patches, fresh_classifier):
    config = TrainConfig(steps=2, batch_size=4, **{setting: value})
    with pytest.raises(ConfigError, match=rf"train\.{setting} is .*does not use"):
        check_fit(fresh_classifier(), patches, [], config)


@pytest.mark.parametrize("settings", [{}, {"patch_px": 20}, {"monitor": "accuracy"}])
def test_a_classifier_takes_its_own(settings, patches, fresh_classifier):
    check_fit(fresh_classifier(), patches, [], TrainConfig(steps=2, batch_size=4, **settings))


def test_a_class_that_no_score_can_be_named_after_is_refused_before_training(samples, config):
    small = {"width": 4, "depth": 2, "n_rays": 8, "head_width": 8, "mpp": 0.5}
    model = models.create("stardist", classes=["tumour", "50"], **small)
    with pytest.raises(ConfigError, match="f1_50 is also the name of a score of all nuclei"):
        check_fit(model, samples, [], config)
