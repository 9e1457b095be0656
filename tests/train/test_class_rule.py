"""Rules of classes: what remedies add is undone, few nuclei move little, a stated precision is reached."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from histoscope import balance
from histoscope.balance import BalanceConfig
from histoscope.models.base import InputSpec, Segmenter
from histoscope.models.class_rule import ClassRule
from histoscope.predict import Detector
from histoscope.train import class_rule, evaluate
from histoscope.train.mixture import make_sampler
from histoscope.types import Nuclei, Sample

RNG = np.random.default_rng(0)


def tile(classes, name="a"):
    """Squares of 6 pixels with these classes, in a row."""
    labels = np.zeros((16, 10 * len(classes) + 4), np.int32)
    for k in range(len(classes)):
        labels[4:10, 10 * k + 4 :][:, :6] = k + 1
    image = np.full((*labels.shape, 3), 200, np.uint8)
    return Sample(image, 0.5, labels, np.array([0, *classes], np.uint8), name=name)


class Voter(Segmenter):
    """Finds every square of the tile that it is asked of, with given votes."""

    name = "voter"

    def __init__(self, votes, classes=("a", "b", "c")):
        super().__init__(InputSpec(mpp=0.5, divisible_by=1, classes=tuple(classes)), {})
        self.votes = np.asarray(votes, np.float32)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def heads(self, x):
        return {"nothing": x[:, :1] * 0}

    def decode(self, heads, shape, mpp):
        n = len(self.votes)
        class_id, probability = self.class_rule(self.votes)
        labels = tile([1] * n).instances
        return Nuclei(
            np.zeros((n, 2), np.float32), class_id, np.ones(n, np.float32), labels, mpp, probability
        )


def drawn_votes(true, *, shift, n_classes=3, rng=RNG):
    """Votes of a network whose logits are off by `shift`, for nuclei of true classes from 0."""
    logits = rng.normal(0, 1.5, (len(true), n_classes))
    logits[np.arange(len(true)), true] += 2.0
    powers = np.exp(logits + shift)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def test_loss_weights_are_undone():
    train = [tile([1] * 30 + [2] * 6 + [3] * 3)]
    remedies = balance.plan(BalanceConfig(class_weights="inverse"), train, 3)
    offsets = class_rule.undoing(train, make_sampler(train, 16), remedies)
    expected = -np.log(remedies.loss_weights)
    np.testing.assert_allclose(offsets, expected - expected.mean(), atol=0.4)
    assert offsets[0] > 1 > offsets[1] > offsets[2]


def test_oversampling_is_undone_and_classes_that_do_not_occur_stay():
    train = [tile([1] * 40), tile([1] * 40), tile([2] * 2 + [1] * 38)]
    remedies = balance.plan(BalanceConfig(rare_patches=1.0, rare_power=1.0), train, 3)
    on_nuclei, weights = remedies.nuclei()
    sampler = make_sampler(train, 16, on_nuclei=on_nuclei, class_weights=weights)
    offsets = class_rule.undoing(train, sampler, remedies)
    assert offsets[0] - offsets[1] > 2  # half of the patches show a class of a sixtieth of the nuclei
    assert offsets[2] == 0


def test_many_images_find_the_offsets_and_one_stays_near_the_prior():
    shift, images = np.array([2.0, 0.0, -2.0]), []
    for _ in range(40):
        true = RNG.integers(0, 3, 60)
        images.append((drawn_votes(true, shift=shift), true))
    many, one = (class_rule.fitted(part, np.zeros(3)) for part in (images, images[:1]))
    ratio = many.temperature
    np.testing.assert_allclose(many.offsets, -shift / ratio, atol=0.35)
    assert np.abs(one.offsets).max() < 0.75 * np.abs(many.offsets).max()
    kept = class_rule.fitted(images[:1], -shift)
    np.testing.assert_allclose(kept.offsets, -shift, atol=0.8)


def test_a_class_without_nuclei_is_not_driven_away():
    """Images that happen to hold none of a class say little of it."""
    true = np.repeat([0, 1], 200)
    votes = drawn_votes(true, shift=np.zeros(3))
    found = class_rule.fitted([(votes, true)], np.zeros(3))
    assert -1.0 < found.offsets[2] < 0.0


def test_the_threshold_reaches_the_precision_with_as_many_nuclei_as_can_be():
    sure = np.sort(RNG.random(2000)).astype(np.float32)
    right = RNG.random(2000) < sure
    for wanted in (0.6, 0.8, 0.9):
        low = class_rule.threshold(sure, right, wanted)
        assert right[sure >= low].mean() >= wanted - 0.002  # the threshold is rounded down
        lower = [t for t in sure[sure < low - 1e-3] if right[sure >= t].mean() >= wanted]
        assert not lower
    assert class_rule.threshold(sure, right, 0.2) == 0.0  # good enough without one
    assert class_rule.threshold(sure, np.zeros(2000, bool), 0.9) > 0.0  # the best that there is
    assert class_rule.threshold(np.full(50, 0.7, np.float32), np.arange(50) < 10, 0.5) == 0.0  # all alike


@pytest.fixture
def voted():
    """A model and an image whose votes are wrong where they are unsure."""
    true = np.arange(120) % 3
    votes = np.full((120, 3), 0.05, np.float32)
    votes[np.arange(120), true] = 0.9
    wrong = np.arange(120) % 4 == 0
    votes[wrong] = 0.3
    votes[wrong, (true[wrong] + 1) % 3] = 0.4
    return Voter(votes), tile(true + 1)


def test_precision_and_share_are_told_and_kept(voted):
    model, sample = voted
    plain = replace(sample, name="plain", classes=None)
    scores = class_rule.tune_classes(model, [sample, plain], prior=np.zeros(3), precision=0.8)
    assert scores["nuclei of known class"] == 120
    assert scores["class precision"] >= 0.8
    assert 0 < model.class_rule.unsure_below < 1
    nuclei = model.decode({}, sample.image.shape[:2], sample.mpp)
    unsure = nuclei.class_id == 0
    assert unsure.mean() == pytest.approx(1 - scores["share with a class"], abs=1e-4)
    right = nuclei.class_id[~unsure] == sample.classes[1:][~unsure]
    assert right.mean() == pytest.approx(scores["class precision"], abs=1e-4)


def test_no_precision_wanted_and_no_classes_known_call_none_unsure(voted):
    model, sample = voted
    class_rule.tune_classes(model, [sample], prior=np.zeros(3), precision=0.0)
    assert model.class_rule.unsure_below == 0
    assert model.class_rule.offsets
    scores = class_rule.tune_classes(model, [], prior=np.array([1.0, 0, -1.0]), precision=0.8)
    assert scores["nuclei of known class"] == 0
    assert model.class_rule == ClassRule((1.0, 0.0, -1.0))


def test_a_class_of_that_name_keeps_it(voted):
    model, sample = voted
    model = Voter(model.votes, ("a", "Unsure", "c"))
    class_rule.tune_classes(model, [sample], prior=np.zeros(3), precision=0.8)
    assert model.class_rule.unsure_below == 0


def test_an_unsure_nucleus_is_not_found_for_its_class_and_false_for_none(voted):
    model, sample = voted
    before = evaluate(model, [sample])
    model.class_rule = ClassRule(unsure_below=0.5)
    after = evaluate(model, [sample])
    assert after["pq"][0] == before["pq"][0] == 1.0
    for name in "abc":
        assert before[f"fp_{name}"][0] == 10
        assert after[f"fp_{name}"][0] == 0
        assert after[f"fn_{name}"][0] == before[f"fn_{name}"][0] == 10


def test_of_its_own_answer_a_detector_misses_no_class_and_calls_none_false(voted):
    model, sample = voted
    model.class_rule = ClassRule(unsure_below=0.5)
    detector = Detector(model, least_area_um2=0.0)
    nuclei = detector(sample.image, sample.mpp)
    assert set(nuclei.class_id.tolist()) == {0, 1, 2, 3}
    assert (nuclei.class_id == 0).sum() == 30
    kinds = np.append(0, nuclei.class_id)
    assert (
        np.array(["none", *detector.classes])[kinds].shape == kinds.shape
    )  # numbers are those of its classes
    own = evaluate(model, [replace(sample, instances=nuclei.instances, classes=kinds.astype(np.uint8))])
    assert own["pq"][0] == 1.0
    for name, number in zip("abc", (1, 2, 3), strict=True):
        assert own[f"tp_{name}"][0] == (nuclei.class_id == number).sum()
        assert own[f"fp_{name}"][0] == own[f"fn_{name}"][0] == 0


def test_remedies_are_computed_on_nuclei_with_classes_alone():
    labelled = [tile([1] * 30 + [2] * 6 + [3] * 3)]
    plain = [replace(tile([1] * 40, f"p{k}"), classes=None) for k in range(3)]
    for name in ("both", "weights"):
        one, other = (
            balance.plan(balance.BALANCES[name], some, 3) for some in (labelled, [*labelled, *plain])
        )
        np.testing.assert_array_equal(one.loss_weights, other.loss_weights)
        np.testing.assert_array_equal(one.patch_class_weights, other.patch_class_weights)
        assert other.patch_class_weights[0] == 0
