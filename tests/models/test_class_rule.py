"""Votes become classes by the rule on a model's card, in every family of networks alike."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from histoscope import models
from histoscope.errors import ConfigError, CorruptDataError
from histoscope.models.card import CARD, RULE
from histoscope.models.class_rule import ClassRule

VOTES = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.0, 0.0, 1.0]], np.float32)
RULE_OF_THREE = ClassRule((-3.0, 0.5, 0.0), 1.5, 0.6)


def test_without_a_rule_votes_stay_as_they_are():
    class_id, probability = ClassRule()(VOTES)
    assert probability is VOTES
    assert class_id.tolist() == [1, 2, 3]
    assert class_id.dtype == np.uint8
    assert ClassRule().names(["a", "b", "c"]) == ("a", "b", "c")


def test_offsets_move_the_odds_of_a_class_and_nothing_else():
    _, probability = ClassRule((-3.0, 0.0, 0.0))(VOTES[:2])
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-6)
    before, after = (p[:, 0] / p[:, 1] for p in (VOTES[:2], probability))
    np.testing.assert_allclose(after, before * np.exp(-3), rtol=1e-5)
    np.testing.assert_allclose(probability[:, 1] / probability[:, 2], VOTES[:2, 1] / VOTES[:2, 2], rtol=1e-5)


def test_temperature_flattens_and_keeps_the_class():
    class_id, probability = ClassRule(temperature=2.0)(VOTES)
    assert class_id.tolist() == [1, 2, 3]
    np.testing.assert_allclose(probability[0, 0] / probability[0, 1], np.sqrt(3.5), rtol=1e-5)


def test_an_unsure_nucleus_has_class_0_and_keeps_its_probabilities():
    class_id, probability = ClassRule(unsure_below=0.6)(VOTES)
    assert class_id.tolist() == [1, 0, 3]
    assert probability is VOTES
    assert ClassRule(unsure_below=0.6).names("abc") == ("a", "b", "c", "unsure")
    assert ClassRule(unsure_below=0.6)(VOTES[:0])[0].tolist() == []
    assert ClassRule()(np.zeros((2, 0), np.float32))[0].tolist() == [0, 0]
    many = np.full((1, 255), 1 / 255, np.float32)
    assert ClassRule(unsure_below=0.6)(many)[0].tolist() == [0]


@pytest.mark.parametrize("bad", [{"temperature": 0.0}, {"unsure_below": 1.0}, {"offsets": (np.nan,)}])
def test_impossible_numbers_are_refused(bad):
    with pytest.raises(ConfigError, match="class rule"):
        ClassRule(**bad)


@pytest.fixture
def star():
    torch.manual_seed(0)
    small = {"width": 4, "depth": 2, "n_rays": 8, "head_width": 8, "grid": 1}
    return models.create("stardist", mpp=0.25, classes=["a", "b"], **small).eval()


@pytest.fixture(params=["star", "regions"])
def network(request, star):
    """One of each family."""
    if request.param == "star":
        return star
    return models.wrap(torch.nn.Conv2d(3, 5, 3, padding=1), mpp=0.25, classes=["a", "b"]).eval()


def heads_of_truth(model, sample):
    """Heads that say where the nuclei are, and random classes."""
    targets = {key: torch.from_numpy(value)[None].float() for key, value in model.targets(sample).items()}
    noise = torch.randn(1, 2, *sample.image.shape[:2], generator=torch.Generator().manual_seed(0))
    if "regions" in targets:
        regions = torch.nn.functional.one_hot(targets["regions"].long(), 3).movedim(3, 1).float()
        return {"regions": 20 * regions, "classes": noise}
    heads = {"probability": 20 * (targets["probability"] - 0.3), "distances": targets["distances"]}
    heads["inside"] = 20 * (targets["inside"] - 0.5)
    return heads | {"classes": torch.cat([torch.zeros_like(noise[:, :1]), noise], dim=1)}


def test_every_family_decodes_by_its_rule(network, disks):
    heads = heads_of_truth(network, disks)
    plain = network.decode(heads, disks.image.shape[:2], disks.mpp)
    assert len(plain) == 6
    network.class_rule = ClassRule((-1.0, 1.0), 1.3, 0.9)
    ruled = network.decode(heads, disks.image.shape[:2], disks.mpp)
    class_id, probability = network.class_rule(plain.class_probability)
    np.testing.assert_array_equal(ruled.class_id, class_id)
    np.testing.assert_allclose(ruled.class_probability, probability)
    np.testing.assert_array_equal(ruled.instances, plain.instances)
    assert set(class_id.tolist()) != set(plain.class_id.tolist())


def test_the_rule_is_kept_on_the_card_and_changes_the_fingerprint(star, tmp_path):
    models.save(star, tmp_path / "plain")
    assert RULE not in models.read_card(tmp_path / "plain")  # models of before keep their card and answers
    star.class_rule = ClassRule((-1.0, 1.0), 1.3, 0.6)
    models.save(star, tmp_path / "ruled")
    plain, ruled = (models.open_model(tmp_path / name) for name in ("plain", "ruled"))
    assert ruled.network.class_rule == star.class_rule
    assert plain.network.class_rule == ClassRule()
    assert plain.fingerprint != ruled.fingerprint


@pytest.mark.parametrize(
    ("key", "value"), [("offsets", [1.0]), ("temperature", "warm"), ("unsure_below", 2.0), ("more", 1)]
)
def test_a_broken_rule_names_the_card(star, tmp_path, key, value):
    star.class_rule = ClassRule((-1.0, 1.0), 1.3, 0.6)
    models.save(star, tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    card[RULE][key] = value
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(CorruptDataError, match=r"card\.json.*class rule"):
        models.load(tmp_path)


def test_images_without_classes_teach_no_class(network, disks):
    """Not by their background either: heads of classes get no gradient from them."""
    plain = replace(disks, classes=None)
    nameless = replace(disks, classes=np.zeros(7, np.uint8))
    pair = [network.targets(sample) for sample in (disks, plain)]
    target = {key: torch.stack([torch.from_numpy(each[key]) for each in pair]) for key in pair[0]}
    image = torch.from_numpy(np.ascontiguousarray(disks.image.transpose(2, 0, 1)))[None].repeat(2, 1, 1, 1)
    heads = {name: head.detach().requires_grad_() for name, head in network(image).items()}
    network.loss(heads, target)["class_loss"].backward()
    gradient = heads["classes"].grad
    assert gradient[0].abs().sum() > 0
    assert gradient[1].abs().sum() == 0
    for key, value in network.targets(nameless).items():
        np.testing.assert_array_equal(value, pair[1][key])


def test_the_rest_of_an_image_with_classes_is_known(network, disks):
    """Its nuclei without a class are left out; a patch of its ground is ground."""
    some = replace(disks, classes=np.array([0, 0, 2, 1, 2, 1, 2], np.uint8))
    classes = network.targets(some)["classes"]
    assert set(classes[disks.instances == 1].tolist()) == {-1}
    assert set(classes[disks.instances == 0].tolist()) == {0}
