"""Features without labels."""

import numpy as np
import pytest
import torch
import yaml

from histoscope import augment, models
from histoscope.errors import ConfigError
from histoscope.train import TrainConfig, selfsup
from histoscope.train.log import read
from histoscope.train.selfsup import pretrain, vicreg


@pytest.fixture
def backbone(fresh_classifier):
    return lambda: fresh_classifier(classes=[], patch_px=12)


def test_each_term_is_about_one_thing():
    rng = torch.Generator().manual_seed(0)
    white = torch.linalg.qr(torch.randn(64, 8, generator=rng) - 0.0).Q
    white = (white - white.mean(dim=0)) * 64**0.5
    good = vicreg(white, white)
    assert good["invariance"] == 0
    assert good["variance"] < 1
    assert good["covariance"] < 1
    still = torch.ones(64, 8)
    assert vicreg(still, still)["variance"].item() == pytest.approx(25 * (1 - 0.01), rel=1e-3)
    copied = white[:, :1].expand(-1, 8)
    assert vicreg(copied, copied)["covariance"] > 10 * good["covariance"]
    assert vicreg(white, white.flip(0))["invariance"] > 1
    terms = vicreg(white, copied)
    assert terms["total"].item() == pytest.approx(sum(v.item() for k, v in terms.items() if k != "total"))


def test_two_views_of_one_tile_and_the_same_again(patches):
    pairs = selfsup._Pairs(patches, 12, augment.get("basic"), None, 3)
    image, other = pairs[5][0], pairs[5][1]["other"]
    assert image.shape == other.shape == (12, 12, 3)
    assert not np.array_equal(image, other)
    np.testing.assert_array_equal(pairs[5][0], image)
    # Both are of one tile, and so of one colour.
    apart = [
        np.abs(a.mean((0, 1)) - b["other"].mean((0, 1))).max() for a, b in map(pairs.__getitem__, range(20))
    ]
    assert np.median(apart) < 40


def test_it_learns_and_a_classifier_begins_from_it(patches, backbone, fresh_classifier, tmp_path):
    config = TrainConfig(steps=30, batch_size=12, lr=3e-3, tensorboard=False)
    model = backbone()
    pretrain(model, patches, config, out=tmp_path, augment=augment.get("light"))
    losses = [line["loss"] for line in read(tmp_path)]
    assert len(losses) == 2
    assert losses[-1] < losses[0]
    assert not model.training
    begun = fresh_classifier(weights=tmp_path)
    assert torch.equal(begun.backbone.down[0][0].weight, model.backbone.down[0][0].weight)
    again = backbone()
    pretrain(again, patches, config, out=tmp_path / "b", augment=augment.get("light"))
    assert torch.equal(again.backbone.down[0][0].weight, model.backbone.down[0][0].weight)


def test_stopped_it_goes_on_from_its_checkpoint(patches, backbone, tmp_path):
    config = TrainConfig(steps=8, batch_size=6, checkpoint_every=3, tensorboard=False)
    whole, halves = backbone(), backbone()
    pretrain(whole, patches, config, out=tmp_path / "a", augment=augment.get("light"))

    def stop(step, losses):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(backbone(), patches, config, out=tmp_path / "b", augment=augment.get("light"), on_step=stop)
    assert (tmp_path / "b" / "checkpoint.safetensors").is_file()
    pretrain(halves, patches, config, out=tmp_path / "b", augment=augment.get("light"))
    assert not (tmp_path / "b" / "checkpoint.safetensors").is_file()
    for name, value in whole.state_dict().items():
        assert torch.equal(halves.state_dict()[name], value), name


def test_from_the_command_line(patches, tmp_path, monkeypatch, capsys):
    import sys

    from histoscope.cli import main
    from histoscope.files import write_image

    for sample in patches:
        kind = ["normal", "tumour"][sample.label]
        write_image(tmp_path / "set" / kind / f"{sample.source}_{sample.name}.png", sample.image)
    settings = {
        "data": {"name": "class_folder", "root": str(tmp_path / "set"), "mpp": 0.5, "split_by": "name"},
        "backbone": {"backbone": "unet", "options": {"width": 4, "depth": 2}, "patch_px": 12},
        "train": {"steps": 2, "batch_size": 4, "tensorboard": False},
        "out": str(tmp_path / "run"),
    }
    (tmp_path / "pretrain.yaml").write_text(yaml.safe_dump(settings))
    for _ in range(2):  # the second time it is there already
        monkeypatch.setattr(sys, "argv", ["histoscope", "pretrain", str(tmp_path / "pretrain.yaml")])
        with pytest.raises(SystemExit) as leave:
            main.main()
        assert not leave.value.code
        assert str(tmp_path / "run" / "model") in capsys.readouterr().out.replace("\n", "")
    card = models.read_card(tmp_path / "run" / "model")
    assert card["pretrained"]["how"].startswith("VICReg")
    assert card["arguments"]["mpp"] == 0.5
    from histoscope.config import load

    changed = load(selfsup.Pretraining, tmp_path / "pretrain.yaml", ["train.steps=3"])
    with pytest.raises(ConfigError, match="other settings"):
        selfsup.run(changed)
