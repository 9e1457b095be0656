"""One contract for every segmentation model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from histoscope import metrics, models, synth
from histoscope.errors import (
    ConfigError,
    CorruptDataError,
    DatasetNotFoundError,
    FormatVersionError,
    ShapeError,
    UnknownNameError,
)
from histoscope.models import turns

SMALL = {
    "unet": {"width": 4, "depth": 3},
    "resunet": {"width": 4, "depth": 3},
    "smp": {"decoder": "unet", "encoder": "resnet18"},
    "deeplab": {"encoder": "mobilenetv2_050", "width": 16},
    "stardist": {"width": 4, "depth": 3, "n_rays": 32, "mpp": 0.5, "grid": 1, "classes": list(synth.CLASSES)},
}


@pytest.fixture(scope="module")
def sample():
    return synth.generate((128, 128), mpp=0.5, rng=np.random.default_rng(3), name="s")


SEGMENTERS = sorted(name for name in models.MODELS if issubclass(models.get(name), models.Segmenter))


@pytest.fixture(params=SEGMENTERS)
def model(request):
    torch.manual_seed(0)
    return models.create(request.param, **SMALL[request.param]).eval()


def perfect_heads(model, sample):
    """Heads that leave no doubt about the targets of a sample."""
    target = {name: torch.from_numpy(value) for name, value in model.targets(sample).items()}
    if "regions" in target:
        regions = torch.nn.functional.one_hot(target["regions"].long(), 3)
        return {"regions": 20.0 * regions.permute(2, 0, 1)[None].float()}
    heads = {name: value[None].float() for name, value in target.items()}
    heads["probability"] = torch.logit(heads["probability"], eps=1e-4)
    classes = torch.nn.functional.one_hot(target["classes"].long().clamp(min=0), len(model.spec.classes) + 1)
    return heads | {"classes": 20.0 * classes.permute(2, 0, 1)[None].float()}


def test_every_segmenter_is_tried_here():
    assert set(SMALL) == set(SEGMENTERS)


def test_perfect_heads_give_the_labels_back(model, sample):
    found = model.decode(perfect_heads(model, sample), sample.instances.shape, sample.mpp)
    assert metrics.match(sample.instances, found.instances).pq > 0.95
    assert len(found) == found.instances.max()


def test_heads_have_the_size_of_the_image(model):
    divisor = model.spec.divisible_by
    image = torch.randint(0, 255, (2, 3, 2 * divisor, 3 * divisor), dtype=torch.uint8)
    grid = model.spec.grid
    for head in model(image).values():
        assert head.shape[0] == 2
        assert head.shape[2:] == (2 * divisor // grid, 3 * divisor // grid)


def test_bytes_and_floats_mean_the_same(model):
    image = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(model(image), model(image.float() / 255))


def test_a_batch_is_its_images(model):
    image = torch.randint(0, 255, (3, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        together = model(image)
        each = [model(one[None]) for one in image]
    alone = {name: torch.cat([heads[name] for heads in each]) for name in together}
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_a_gradient_reaches_every_weight(model, sample):
    model.train()
    image = torch.from_numpy(sample.image).permute(2, 0, 1)[None]
    target = {name: torch.from_numpy(np.stack([value] * 2)) for name, value in model.targets(sample).items()}
    losses = model.loss(model(image.expand(2, -1, -1, -1)), target)
    losses["total"].backward()
    assert losses["total"].item() == pytest.approx(sum(v.item() for k, v in losses.items() if k != "total"))
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert not without


def test_saved_and_loaded_it_says_the_same(model, tmp_path):
    models.save(model, tmp_path / "m", {"licence": "CC0"})
    again = models.load(tmp_path / "m")
    image = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(model(image), again(image), rtol=0, atol=0)
    assert json.loads((tmp_path / "m" / "card.json").read_text())["licence"] == "CC0"
    assert again.spec == model.spec
    assert again.thresholds == model.thresholds


@pytest.mark.parametrize("k", range(turns.N_TURNS))
def test_perfect_heads_of_a_turned_image_turn_back(model, sample, k):
    def turned(array):
        array = np.rot90(array, k % 4)
        return np.ascontiguousarray(array[:, ::-1] if k >= 4 else array)

    there = replace(sample, image=turned(sample.image), instances=turned(sample.instances))
    heads = model.turned_back(perfect_heads(model, there), k)
    found = model.decode(model.merged([heads, heads]), sample.instances.shape, sample.mpp)
    assert metrics.match(sample.instances, found.instances).pq > 0.94


def test_merged_heads_of_one_kind_are_that_kind(model):
    image = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        heads = model(image)
        merged = model.merged([heads] * turns.N_TURNS)
    for name in heads:
        once, many = (
            torch.softmax(h[name], dim=1) if h[name].shape[1] > 1 and name != "distances" else h[name]
            for h in (heads, merged)
        )
        torch.testing.assert_close(once, many, rtol=1e-4, atol=1e-5)


def test_sizes_that_do_not_divide_are_refused(model):
    with pytest.raises(ShapeError, match="multiples of"):
        model(torch.zeros(1, 3, 65, 64, dtype=torch.uint8))


def test_a_sample_without_labels_teaches_nothing(model, sample):
    with pytest.raises(ShapeError, match="no instance map"):
        model.targets(replace(sample, instances=None, classes=None))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 50), (130, 65)])
def test_predict_takes_images_of_any_size(height, width):
    image = np.full((height, width, 3), 240, np.uint8)
    found = models.predict(image, models.create("unet", width=2, depth=3, mpp=0.5), 0.25)
    assert found.instances.shape == (height, width)


def test_names_and_arguments_are_checked():
    with pytest.raises(UnknownNameError, match="did you mean 'resunet'"):
        models.create("resunett")
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        models.create("unet", widht=4)
    with pytest.raises(ConfigError, match="depth"):
        models.create("unet", depth=0)
    with pytest.raises(ConfigError, match="mpp"):
        models.create("unet", mpp=-1.0)
    with pytest.raises(UnknownNameError, match="decoder"):
        models.create("smp", decoder="unett")
    with pytest.raises(UnknownNameError, match="encoder"):
        models.create("smp", encoder="resnett18")


class TestFolder:
    def test_nothing_there(self, tmp_path):
        with pytest.raises(DatasetNotFoundError, match=r"card\.json"):
            models.load(tmp_path)

    def test_newer_format(self, tmp_path):
        folder = models.save(models.create("unet", width=2, depth=1), tmp_path)
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps(card | {"format": 99}))
        with pytest.raises(FormatVersionError, match="99"):
            models.load(folder)

    def test_torn_weights(self, tmp_path):
        folder = models.save(models.create("unet", width=2, depth=1), tmp_path)
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:100])
        with pytest.raises(CorruptDataError, match="cannot be read"):
            models.load(folder)

    def test_weights_of_another_network(self, tmp_path):
        folder = models.save(models.create("unet", width=2, depth=1), tmp_path / "a")
        other = models.save(models.create("unet", width=3, depth=2), tmp_path / "b")
        (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
        with pytest.raises(CorruptDataError):
            models.load(folder)

    def test_missing_weights(self, tmp_path):
        folder = models.save(models.create("unet", width=2, depth=1), tmp_path)
        (folder / "model.safetensors").unlink()
        with pytest.raises(DatasetNotFoundError, match="whole model folder"):
            models.load(folder)


@pytest.mark.parametrize(
    "wrong", [{"width": "abc"}, {"depth": 2.5}, {"dropout": 2}, {"mpp": "0.5"}, {"width": 0}], ids=str
)
def test_arguments_that_cannot_be_are_one_error(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        models.create("unet", **{"width": 4, "depth": 2, **wrong})


def test_classes_in_one_word_are_not_taken_letter_by_letter():
    with pytest.raises(ConfigError, match="'abc', expected a list"):
        models.create("stardist", classes="abc")
