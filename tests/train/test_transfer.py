"""Rates by depth, and blocks that are unfrozen one after the other."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from histoscope import balance, models, train
from histoscope.balance import BalanceConfig
from histoscope.errors import ConfigError
from histoscope.train.config import TransferConfig
from histoscope.train.log import read
from histoscope.train.transfer import Unfreezing, parameter_groups


@pytest.fixture
def short(config):
    return dataclasses.replace(config, lr=5e-3, patch_px=20)


def test_rates_fall_towards_the_image(fresh_classifier):
    model = fresh_classifier(options={"width": 4, "depth": 3})
    groups = parameter_groups(model, TransferConfig(backbone_lr=0.5, layer_decay=0.1))
    assert [group["depth"] for group in groups] == [0, 1, 2, 3]
    assert [group["scale"] for group in groups] == pytest.approx([5e-4, 5e-3, 5e-2, 1.0])
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in model.parameters()}
    assert {id(p) for p in groups[-1]["params"]} == {id(p) for p in model.head.parameters()}


def test_without_settings_there_is_one_group(fresh_classifier, fresh_model):
    for model in (fresh_classifier(), fresh_model()):
        for config in (None, TransferConfig()):
            (group,) = parameter_groups(model, config)
            assert len(group["params"]) == len(list(model.parameters()))
            assert group["scale"] == 1.0


def test_a_network_without_an_encoder_has_nothing_to_unfreeze():
    with pytest.raises(ConfigError, match="has none, leave it out"):
        parameter_groups(models.create("resunet", width=4, depth=2), TransferConfig(layer_decay=0.5))


@given(st.integers(0, 50), st.integers(0, 12), st.integers(0, 300), st.integers(1, 20))
def test_blocks_unfreeze_from_the_head_down_and_never_freeze_again(every, frozen, step, top):
    config = TransferConfig(unfreeze_every=every, frozen=frozen)
    now, later = config.unfrozen_from(step, top), config.unfrozen_from(step + 1, top)
    assert min(frozen, top) <= later <= now <= top
    if every:
        assert config.unfrozen_from(0, top) == top
        assert config.unfrozen_from(every * top, top) == min(frozen, top)


def test_what_is_frozen_does_not_change(patches, fresh_classifier, short, tmp_path):
    start = fresh_classifier(options={"width": 4, "depth": 3})
    config = dataclasses.replace(short, steps=6, transfer=TransferConfig(unfreeze_every=3))
    fitted = train.fit(fresh_classifier(options={"width": 4, "depth": 3}), patches, [], config, out=tmp_path)
    before, after = start.state_dict(), fitted.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    # Three steps of the head alone, three of the lowest level as well.
    assert "head.weight" in changed
    assert "backbone.down.2.0.weight" in changed
    assert "backbone.down.2.1.running_mean" in changed
    assert not any("down.0" in name or "down.1" in name for name in changed)


def test_a_head_alone_is_learned_at_rate_zero(patches, fresh_classifier, short, tmp_path):
    config = dataclasses.replace(short, steps=4, transfer=TransferConfig(backbone_lr=0.0))
    fitted = train.fit(fresh_classifier(), patches, [], config, out=tmp_path)
    before, after = fresh_classifier().state_dict(), fitted.model.state_dict()
    assert {n for n in before if not torch.equal(before[n], after[n])} == {"head.weight", "head.bias"}


def test_unfreezing_goes_on_after_a_stop(patches, fresh_classifier, short, tmp_path):
    config = dataclasses.replace(
        short, steps=8, checkpoint_every=3, transfer=TransferConfig(unfreeze_every=2, layer_decay=0.5)
    )

    class Stop(Exception):  # noqa: N818
        pass

    def stop(step, _):
        if step == 5:
            raise Stop

    unbroken = train.fit(fresh_classifier(), patches, [], config, out=tmp_path / "a")
    with pytest.raises(Stop):
        train.fit(fresh_classifier(), patches, [], config, out=tmp_path / "b", on_step=stop)
    resumed = train.fit(fresh_classifier(), patches, [], config, out=tmp_path / "b")
    other = resumed.model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in unbroken.model.state_dict().items())


def test_a_classifier_learns_and_keeps_its_best_weights(patches, fresh_classifier, short, tmp_path):
    config = dataclasses.replace(short, steps=40, batch_size=8, evaluate_every=10)
    fitted = train.fit(fresh_classifier(), patches[:16], patches[16:], config, out=tmp_path)
    looks = [line["val"] for line in read(tmp_path) if "val" in line]
    assert {"nll", "accuracy", "balanced_accuracy", "auroc"} <= set(looks[0])
    assert fitted.best_score == pytest.approx(min(look["nll"] for look in looks), abs=1e-5)
    table = train.evaluate(fitted.model, patches[16:])
    assert (table["true"] == table["predicted"]).mean() == 1.0


def test_another_score_can_choose_the_weights(patches, fresh_classifier, fresh_model, short, tmp_path):
    config = dataclasses.replace(short, monitor="auroc")
    fitted = train.fit(fresh_classifier(), patches[:16], patches[16:], config, out=tmp_path / "a")
    looks = [line["val"]["auroc"] for line in read(tmp_path / "a") if "val" in line]
    assert fitted.best_score == pytest.approx(max(looks), abs=1e-5)
    with pytest.raises(ConfigError, match="'auroc' is for patches"):
        train.fit(fresh_model(), patches, [], config, out=tmp_path / "b")


def test_rare_classes_weigh_more(patches, fresh_classifier, short, tmp_path):
    few = [sample for k, sample in enumerate(patches) if sample.label == 0 or k % 6 == 1]
    model = fresh_classifier()
    train.fit(model, few, [], short, out=tmp_path / "a", balance=balance.get("weights"))
    counts = np.bincount([sample.label for sample in few])
    expected = balance.class_weights(counts, balance.get("weights").class_weights)
    assert model.class_weights.tolist() == pytest.approx(expected.tolist())
    assert model.class_weights[1] > model.class_weights[0]
    with pytest.raises(ConfigError, match="class weights alone"):
        train.fit(model, few, [], short, out=tmp_path / "b", balance=BalanceConfig(rare_patches=0.5))


def test_unfreezing_leaves_other_models_alone(fresh_model):
    model = fresh_model()
    Unfreezing(model, None)(0)
    Unfreezing(model, TransferConfig())(0)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    "wrong", [{"backbone_lr": 2.0}, {"layer_decay": 0.0}, {"unfreeze_every": -1}, {"frozen": -1}]
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TransferConfig(**wrong)


def test_depth_of_a_network_of_timm():
    model = models.create("classifier", backbone="test_efficientnet", classes=["a", "b"])
    groups = parameter_groups(model, TransferConfig(layer_decay=0.9))
    assert len(groups) > 4
    scales = [group["scale"] for group in groups]
    assert scales == sorted(scales)
