"""Networks of others: wrapped, trained, saved, opened, and made by the names of their libraries."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from histoscope import models, predict, synth, train
from histoscope.cli.predict import is_classifier
from histoscope.config import load
from histoscope.errors import ConfigError, CorruptDataError, ShapeError, UnknownNameError
from histoscope.files import write_image, write_labels
from histoscope.models.base import UNKNOWN
from histoscope.models.card import CARD
from histoscope.models.turns import N_TURNS, turn
from histoscope.train.experiment import Experiment, run
from histoscope.types import Sample

NETS = """
from dataclasses import replace
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 1))
    def forward(self, x):
        return self.body(x)

class Classes(Net):
    def __init__(self, outputs):
        super().__init__()
        self.body[2] = nn.Conv2d(4, outputs, 1)

class Pooled(nn.Module):
    def __init__(self, outputs=2):
        super().__init__()
        self.last = nn.Linear(3, outputs)
    def forward(self, x):
        return self.last(x.mean(dim=(2, 3)))

def halved(sample, rng):
    halved.calls += 1
    return replace(sample, image=sample.image // 2)
halved.calls = 0

def made(width):
    return Net(width)
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "guest_nets.py").write_text(NETS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("histoscope.plugins._asked", set())
    import guest_nets

    yield guest_nets
    del sys.modules["guest_nets"]


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    return [synth.generate((64, 64), mpp=0.5, rng=np.random.default_rng(k), name=str(k)) for k in range(3)]


CONFIG = train.TrainConfig(steps=2, batch_size=2, patch_px=32, evaluate_every=2, tensorboard=False)


def test_a_plain_network_is_trained_saved_and_opened(nets, tiles, tmp_path):
    model = models.wrap(nets.Net(), mpp=0.5)
    fitted = train.fit(model, tiles[:2], tiles[2:], CONFIG, out=tmp_path / "run")
    assert fitted.model is model
    with pytest.raises(ConfigError, match=r"never runs code.*network=Net\(\.\.\.\)"):
        models.load(tmp_path / "run")
    opened = models.load(tmp_path / "run", network=nets.Net())
    assert opened.spec == model.spec
    image = tiles[2].image
    expected = predict.Detector(model)(image, 0.5)
    for network in (nets.Net(), opened):
        detector = predict.Detector.open(tmp_path / "run", network=network)
        np.testing.assert_array_equal(detector(image, 0.5).instances, expected.instances)
    with pytest.raises(ConfigError, match=r"a guest_nets:Net, but the network given is a torch.*Conv2d"):
        models.load(tmp_path / "run", network=nn.Conv2d(3, 3, 1))
    with pytest.raises(CorruptDataError, match="size mismatch"):
        models.load(tmp_path / "run", network=nets.Net(width=5))
    models.save(models.create("unet", width=4, depth=2), tmp_path / "ours")
    with pytest.raises(ConfigError, match="holds a unet, got a Net"):
        models.load(tmp_path / "ours", network=nets.Net())


@pytest.mark.parametrize("name", ["guest_nets:Net", "guest_nets:made"])
def test_a_network_by_name_is_made_again(nets, name, tmp_path):
    saved = models.create(name, width=6, mpp=0.5)
    models.save(saved, tmp_path / "folder")
    card = models.read_card(tmp_path / "folder")
    assert (card["architecture"], card["arguments"]["width"], card["arguments"]["mpp"]) == (name, 6, 0.5)
    opened = models.load(tmp_path / "folder")  # it was asked for by name before
    assert torch.equal(opened.network.body[0].weight, saved.network.body[0].weight)


def test_a_card_alone_runs_no_code(nets, tmp_path):
    models.save(models.create("guest_nets:Net"), tmp_path / "folder")
    for name in ("guest_nets:Net", "guest_nets.Net", "antigravity:fly", "os:system"):
        card = json.loads((tmp_path / "folder" / CARD).read_text())
        (tmp_path / "folder" / CARD).write_text(json.dumps(card | {"architecture": name}))
        from histoscope import plugins

        plugins._asked.clear()
        with pytest.raises(ConfigError, match="because a card names it"):
            models.load(tmp_path / "folder")
    assert "antigravity" not in sys.modules


def test_naming_the_class_is_asking_for_it(nets, tmp_path):
    models.save(models.create("guest_nets:Net", width=6), tmp_path / "folder")
    from histoscope import plugins

    plugins._asked.clear()
    assert models.load(tmp_path / "folder", network="guest_nets:Net").arguments["width"] == 6
    with pytest.raises(ConfigError, match=r"a guest_nets:Net, but the network given is a guest_nets:made"):
        models.load(tmp_path / "folder", network="guest_nets:made")


def test_a_wrapped_classifier_learns_and_opens(nets, tmp_path):
    rng = np.random.default_rng(0)
    patches = [
        Sample(rng.integers(0, 255, (32, 32, 3), np.uint8), 0.5, label=k % 2, name=str(k)) for k in range(4)
    ]
    model = models.create("guest_nets:Pooled", kind="patches", classes=["a", "b"], mpp=0.5, patch_px=32)
    assert isinstance(model, models.Classifier)
    train.fit(model, patches, patches, CONFIG, out=tmp_path / "run")
    assert is_classifier(tmp_path / "run" / "model")
    opened = models.load(tmp_path / "run", models.Classifier)
    assert opened.spec.classes == ("a", "b")
    assert set(train.evaluate(opened, patches)["predicted"]) <= {0, 1}
    with pytest.raises(ConfigError, match="expected a segmenter"):
        models.load(tmp_path / "run", models.Segmenter)


def test_a_network_of_ones_own_tells_classes_of_nuclei_apart(nets, tiles, tmp_path):
    """Red nuclei from blue ones: the classes come back from perfect logits, and are learned."""
    tile = replace(tiles[0], classes=(np.arange(tiles[0].instances.max() + 1) % 3).astype(np.uint8))
    model = models.wrap(nn.Conv2d(3, 5, 1), classes=["red", "blue"], mpp=0.5)
    target = model.targets(tile)
    assert set(np.unique(target["classes"])) == {UNKNOWN, 0, 1, 2}
    perfect = {
        "regions": functional.one_hot(torch.from_numpy(target["regions"]).long(), 3),
        "classes": functional.one_hot(torch.from_numpy(target["classes"]).long().clamp(min=1) - 1, 2),
    }
    heads = {name: 9.0 * head.movedim(2, 0)[None].float() for name, head in perfect.items()}
    found = model.decode(heads, tile.instances.shape, 0.5)
    places = np.rint(found.centroid_px).astype(int).T
    truth = tile.classes[tile.instances[tuple(places)]]
    known = truth > 0
    assert known.sum() > 1
    np.testing.assert_array_equal(found.class_id[known], truth[known])
    np.testing.assert_allclose(found.class_probability.sum(axis=1), 1, rtol=1e-5)
    batch = {name: torch.from_numpy(np.asarray(part))[None] for name, part in target.items()}
    model.weigh_classes([1.0, 0.0, 1.0])  # the background's weight is not for it
    assert model.loss(heads, batch)["class_loss"] < 1e-3
    wrong = {**heads, "classes": heads["classes"].flip(1)}
    assert model.loss(wrong, batch)["class_loss"] > 5
    upright = [model.turned_back({k: turn(h, n) for k, h in heads.items()}, n) for n in range(N_TURNS)]
    assert torch.allclose(
        torch.softmax(model.merged(upright)["classes"], 1), torch.softmax(heads["classes"], 1)
    )


def test_classes_of_nuclei_are_trained_scored_and_kept(nets, tiles, tmp_path):
    samples = [
        replace(t, classes=np.minimum(np.arange(t.instances.max() + 1), 1).astype(np.uint8)) for t in tiles
    ]
    for name, arguments in (
        ("guest_nets:Classes", {"outputs": 5}),
        ("smp/Unet", {"encoder_name": "resnet18", "encoder_weights": None}),
    ):
        model = models.create(name, classes=["tumour", "stroma"], mpp=0.5, **arguments)
        train.fit(model, samples[:2], samples[2:], CONFIG, out=tmp_path / name)
        opened = models.open_model(tmp_path / name, models.Segmenter).network
        assert opened.spec.classes == ("tumour", "stroma")
        assert "pq_tumour" in train.evaluate(opened, samples)
        assert models.predict(tiles[2].image, opened, 0.5, tta=True).class_probability.shape[1] == 2
    with pytest.raises(ShapeError, match=r"expected logits \(1, 5, 32, 32\)"):
        models.wrap(nets.Net(), classes=["a", "b"])(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"kind": "boxes"}, "expected 'regions'"),
        ({"classes": ["a", "a"]}, "names, or none, each once"),
        ({"classes": "ab"}, "expected a list"),
        ({"kind": "patches"}, "two or more names"),
        ({"kind": "patches", "classes": "ab"}, "a list of two"),
        ({"mpp": 40.0}, "mpp of the model"),
    ],
)
def test_what_fits_no_network_is_refused(arguments, why):
    with pytest.raises(ConfigError, match=why):
        models.wrap(nn.Conv2d(3, 3, 1), **arguments)


def test_a_class_in_place_of_a_network_and_wrong_logits_are_told(nets, tiles, tmp_path):
    with pytest.raises(ConfigError, match="wrap got a type, expected a torch"):
        models.wrap(nets.Net)
    with pytest.raises(ConfigError, match=r"models\.wrap turns"):
        train.fit(nets.Net(), tiles, [], CONFIG, out=tmp_path)
    with pytest.raises(ShapeError, match=r"gives \(2, 1, 32, 32\), expected logits \(2, 3, 32, 32\)"):
        models.wrap(nn.Conv2d(3, 1, 1))(torch.zeros(2, 3, 32, 32))


def test_timm_by_its_own_names(tmp_path):
    model = models.create("timm/mobilenetv3_small_050", classes=["a", "b"], mpp=0.5, drop_rate=0.1)
    assert (models.name_of(model), model.arguments["options"]) == ("classifier", {"drop_rate": 0.1})
    models.save(model, tmp_path)
    assert models.load(tmp_path, models.Classifier).spec.classes == ("a", "b")
    assert models.create_for({0: "x", 1: "y"}, "timm/resnet18", {"mpp": 0.5}).spec.classes == ("x", "y")
    with pytest.raises(UnknownNameError, match="resnet18"):
        models.create("timm/resnet1818")
    with pytest.raises(ConfigError, match="no_such"):
        models.create("timm/resnet18", no_such=1)


def test_smp_by_its_own_names(tmp_path):
    arguments = {"encoder_name": "resnet18", "encoder_weights": None, "decoder_channels": (32, 16, 8, 8, 4)}
    model = models.create("smp/Unet", **arguments, mpp=0.5)
    assert model.spec.mpp == 0.5
    assert model.eval()(torch.zeros(1, 3, 64, 64))["regions"].shape == (1, 3, 64, 64)
    models.save(model, tmp_path)
    assert models.read_card(tmp_path)["architecture"] == "smp/Unet"
    opened = models.load(tmp_path, models.Segmenter)
    assert all(torch.equal(value, opened.state_dict()[key]) for key, value in model.state_dict().items())
    assert models.create_for({1: "tumour"}, "smp/Unet", arguments).spec.classes == ()
    with pytest.raises(UnknownNameError, match="did you mean 'Unet'"):
        models.create("smp/Unett")
    with pytest.raises(ConfigError, match="classes of model 'smp/Unet' are 2, expected names"):
        models.create("smp/Unet", classes=2, encoder_weights=None)
    with pytest.raises(UnknownNameError, match="did you mean 'decoder_channels'"):
        models.create("smp/Unet", decoder_chanels=1, encoder_weights=None)


def test_yaml_trains_a_network_of_ones_own(nets, tiles, tmp_path):
    for k, tile in enumerate(tiles):
        write_image(tmp_path / "data" / "images" / f"p{k}.png", tile.image)
        write_labels(tmp_path / "data" / "labels" / f"p{k}.png", tile.instances)
    (tmp_path / "page.yaml").write_text(
        f"data: {{root: {tmp_path / 'data'}, mpp: 0.5, split_by: name, val: 0.3, test: 0.3}}\n"
        "model: {name: 'guest_nets:Net', arguments: {width: 6, mpp: 0.5}}\n"
        "train: {steps: 2, batch_size: 2, patch_px: 32, tensorboard: false}\n"
        f"augment: guest_nets:halved\nout: {tmp_path / 'run'}\n"
    )
    table = run(load(Experiment, tmp_path / "page.yaml"))
    assert len(table) == 1
    assert nets.halved.calls >= 4
    assert models.load(tmp_path / "run").made_as == "guest_nets:Net"
