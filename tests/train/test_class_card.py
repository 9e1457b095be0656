"""Training leaves on the card how classes are called, and what the images look like that taught them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from histoscope import models, synth
from histoscope.export.likeness import KEY, Likeness
from histoscope.models.base import InputSpec
from histoscope.models.card import RULE
from histoscope.models.class_rule import ClassRule
from histoscope.models.nuclei.region_segmenter import RegionSegmenter
from histoscope.train import TrainConfig, fit


class Dark(RegionSegmenter):
    """Nuclei are what is dark; the bluer, the surer of class 2."""

    name = "dark"

    def __init__(self) -> None:
        super().__init__(InputSpec(mpp=0.5, divisible_by=4, context_px=16, classes=("red", "blue")), {})
        self.weight = torch.nn.Parameter(torch.ones(1))

    def features(self, x):
        grey = functional.avg_pool2d(x.mean(dim=1, keepdim=True), 5, 1, 2, count_include_pad=False)
        inside = 6.0 * (0.7 - grey)
        blue = self.weight * (x[:, 2:] - x[:, :1])
        return torch.cat([-inside, inside, torch.full_like(inside, -1.0), -blue, blue], dim=1)


@pytest.fixture(scope="module")
def tiles():
    found = synth.cohort(8, 1, shape_px=(160, 160), mpp=0.5, stains=("default",), seed=0)
    classes = [np.where(np.arange(len(each.classes)) % 3, 1, 2).astype(np.uint8) for each in found]
    return [replace(each, classes=some) for each, some in zip(found, classes, strict=True)]


def trained(tiles, out, **settings):
    config = TrainConfig(
        steps=2, batch_size=2, patch_px=64, lr=1e-6, evaluate_every=2, tensorboard=False, **settings
    )
    fit(Dark(), tiles[:5], tiles[5:], config, out=out, balance="weights")
    return models.load(out / "model", network=Dark()), models.read_card(out / "model")


def test_the_card_has_rule_precision_and_looks(tiles, tmp_path):
    model, card = trained(tiles, tmp_path, class_precision=0.9)
    assert len(model.class_rule.offsets) == 2
    assert card[RULE] == model.class_rule.to_dict()
    told = card["validation"]
    assert told["wanted class precision"] == 0.9
    assert told["nuclei of known class"] > 20
    assert 0 < told["share with a class"] <= 1
    assert "pq" in told  # the scores of before stay
    looks = Likeness.of_card(card[KEY])
    assert looks.images == 5
    same, other = (tiles[6].image, tiles[6].image[:, :, ::-1].copy())
    assert looks.unlike(same, models.predict(same, model, 0.5)) <= 1
    assert looks.unlike(other, models.predict(same, model, 0.5)) > 1


def test_images_without_classes_leave_no_rule(tiles, tmp_path):
    plain = [replace(each, classes=None) for each in tiles]
    config = TrainConfig(steps=2, batch_size=2, patch_px=64, evaluate_every=2, tensorboard=False)
    fit(Dark(), plain[:5], plain[5:], config, out=tmp_path)
    card = models.read_card(tmp_path / "model")
    assert RULE not in card
    assert KEY not in card
    assert models.load(tmp_path / "model", network=Dark()).class_rule == ClassRule()


def test_images_without_classes_do_not_move_the_rule(tiles, tmp_path):
    """They are seen as nuclei alone: neither offsets nor looks come from them."""
    mixed = [*tiles[:5], *(replace(each, classes=None, image=255 - each.image // 2) for each in tiles[:3])]
    _, alone = trained(tiles, tmp_path / "alone")
    config = TrainConfig(steps=2, batch_size=2, patch_px=64, lr=1e-6, evaluate_every=2, tensorboard=False)
    fit(Dark(), mixed, tiles[5:], config, out=tmp_path / "mixed", balance="weights")
    card = models.read_card(tmp_path / "mixed" / "model")
    assert card[KEY] == alone[KEY]
    np.testing.assert_allclose(card[RULE]["offsets"], alone[RULE]["offsets"], atol=0.2)
