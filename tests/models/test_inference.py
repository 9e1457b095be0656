"""Prediction of images of any size: tiles must not show."""

import weakref
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial import cKDTree

from histoscope import models, synth
from histoscope.errors import ConfigError, ShapeError
from histoscope.models import inference
from histoscope.models.base import Tile
from histoscope.models.nuclei.stardist import StarDist
from histoscope.types import Sample


@pytest.fixture(params=["unet", "stardist"])
def model(request):
    torch.manual_seed(0)
    more = {"n_rays": 8, "head_width": 8} if request.param == "stardist" else {}
    return models.create(request.param, width=3, depth=3, mpp=0.5, **more).eval()


@pytest.mark.parametrize("tta", [False, True])
def test_tiled_is_whole(model, monkeypatch, tta):
    image = np.random.default_rng(0).integers(0, 255, (152, 216, 3), dtype=np.uint8)
    whole = inference.heads_of(model, image, tta=tta)
    monkeypatch.setattr(inference, "TILE_PX", 64)
    tiled = inference.heads_of(model, image, tta=tta)
    assert all(head.shape[2:] == (152 // model.spec.grid, 216 // model.spec.grid) for head in tiled.values())
    torch.testing.assert_close(tiled, whole, rtol=1e-3, atol=1e-4)


def test_tiles_at_once_are_those_of_one_after_the_other(model, monkeypatch):
    image = np.random.default_rng(0).integers(0, 255, (152, 216, 3), dtype=np.uint8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    one, more = (inference.assembled(inference.tiles_of(model, image, tile_px=64, at_once=n)) for n in (1, 3))
    torch.testing.assert_close(one, more, rtol=1e-5, atol=1e-6)  # the last bit depends on the processor


def test_a_bare_tile_has_the_heads_of_glass_and_does_not_reach_the_network(model):
    image = np.random.default_rng(0).integers(0, 255, (128, 192, 3), dtype=np.uint8)
    glass = inference.heads_of(model, np.full((160, 160, 3), 255, np.uint8))
    every, found = (
        inference.assembled(inference.tiles_of(model, image, tile_px=64, is_bare=is_bare))
        for is_bare in (None, lambda tile: tile.left >= 64)
    )
    at, middle = 64 // model.spec.grid, 80 // model.spec.grid
    for name, head in found.items():
        assert torch.equal(head[..., :at], every[name][..., :at])
        bare = glass[name][..., middle : middle + 1, middle : middle + 1].expand_as(head[..., at:])
        torch.testing.assert_close(head[..., at:], bare, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("mpp", [0.5, 0.3])
@pytest.mark.parametrize(
    "more", [{}, {"refine": True}, {"refine_with_mask": False}, {"grid": 1}, {"classes": list(synth.CLASSES)}]
)
def test_nuclei_do_not_depend_on_how_the_heads_were_cut(more, mpp):
    """To the last bit: the order of equally probable candidates is part of the result."""
    tissue = synth.generate((120, 136), mpp=0.5, rng=np.random.default_rng(0))
    model = models.create("stardist", width=2, depth=1, **{"mpp": 0.5, "n_rays": 16, **more})
    grid, rng = model.spec.grid, np.random.default_rng(1)
    heads = doubtful_heads(model, tissue, rng)
    shape = tuple(round(side * 0.5 / mpp) for side in tissue.image.shape[:2])
    whole = model.decode(heads, shape, mpp)
    tiles = list(cut(heads, rows=[0, 7, 36, 120 // grid], columns=[0, 41, 136 // grid]))
    parts = model.decode_tiles(iter(tiles), shape, mpp)
    assert len(whole) > 20
    for name in ("instances", "probability", "centroid_px", "class_id", "class_probability"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def doubtful_heads(model, tissue, rng):
    """Shaken truth, with few different probabilities, so that many are equal."""
    target = {name: torch.from_numpy(value)[None].float() for name, value in model.targets(tissue).items()}
    shape = target["probability"].shape[2:]
    heads = {
        "probability": torch.logit((target["probability"] * 8).round() / 8, eps=0.01),
        "distances": target["distances"] * torch.from_numpy(rng.normal(1, 0.2, (1, model.n_rays, *shape))),
    }
    if "inside" in target:
        noise = rng.normal(0, 1, (1, model.spec.grid**2, *shape))
        heads["inside"] = 4 * target["inside"] - 2 + torch.from_numpy(noise)
    if model.spec.classes:
        noise = rng.normal(0, 1, (1, len(model.spec.classes) + 1, *shape))
        heads["classes"] = torch.from_numpy(noise)
    return {name: head.float() for name, head in heads.items()}


def cut(heads, rows, columns):
    size = (rows[-1], columns[-1])
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            part = {name: head[:, :, top:bottom, left:right] for name, head in heads.items()}
            yield Tile(part, top, left, size)


def test_heads_of_a_tile_are_gone_when_the_next_one_comes(monkeypatch):
    """Memory grows with candidates, not with pixels times rays."""
    monkeypatch.setattr(inference, "TILE_PX", 32)
    model = models.create("stardist", width=2, depth=1, n_rays=8, mpp=0.5).eval()
    alive = []

    def watched():
        for tile in inference.tiles_of(model, np.zeros((64, 96, 3), np.uint8)):
            assert sum(ref() is not None for ref in alive) <= len(
                tile.heads
            )  # those of the last tile at most
            alive.extend(weakref.ref(head) for head in tile.heads.values())
            yield tile

    model.decode_tiles(watched(), (64, 96), 0.5)
    assert len(alive) == 6 * 3


def test_heads_cover_odd_sizes(model):
    image = np.random.default_rng(0).integers(0, 255, (33, 47, 3), dtype=np.uint8)
    for head in inference.heads_of(model, image).values():
        assert head.shape[2:] == (-(-33 // model.spec.grid), -(-47 // model.spec.grid))


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["unet", "stardist"])
def test_context_is_all_that_a_prediction_depends_on(name, depth):
    """A change of a pixel farther away than the context changes nothing."""
    torch.manual_seed(0)
    net = models.create(name, width=2, depth=depth).eval()
    context, divisor = net.spec.context_px, net.spec.divisible_by
    half = -(-(context + 2 * divisor) // divisor) * divisor
    image = torch.rand(1, 3, 2 * half, 2 * half)
    other = image.clone()
    other[:, :, : half - context] = 0
    other[:, :, :, : half - context] = 0
    with torch.no_grad():
        heads, changed = net(image), net(other)
    middle = half // net.spec.grid
    for head in heads:
        torch.testing.assert_close(heads[head][:, :, middle:, middle:], changed[head][:, :, middle:, middle:])


def test_padding_reflects_without_repeating_the_edge():
    image = torch.arange(5.0).view(1, 1, 1, 5)
    assert inference.pad_to_multiple(image, 8)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert inference.pad_to_multiple(image[..., :1], 4)[0, 0, 0].tolist() == [0, 0, 0, 0]


def test_predicting_leaves_the_model_as_it_was(model):
    model.train()
    models.predict(np.zeros((32, 32, 3), np.uint8), model, 0.5)
    assert model.training


def test_the_old_order_of_model_and_image_works_with_a_warning(model):
    image = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    expected = models.predict(image, model, 0.5)
    with pytest.warns(DeprecationWarning, match="takes the image first"):
        found = models.predict(model, image, 0.5)
    np.testing.assert_array_equal(found.instances, expected.instances)


@pytest.mark.parametrize(
    ("image", "mpp", "word"),
    [
        (np.zeros((0, 4, 3), np.uint8), 0.5, "at least one pixel"),
        (np.zeros((4, 4), np.uint8), 0.5, "uint8 RGB"),
        (np.zeros((4, 4, 3)), 0.5, "uint8 RGB"),
    ],
)
def test_wrong_images_are_refused(model, image, mpp, word):
    with pytest.raises(ShapeError, match=word):
        models.predict(image, model, mpp)


@pytest.mark.parametrize("mpp", [0.0, -1, 0.001, 40, float("nan"), float("inf")])
def test_impossible_resolutions_are_refused(model, mpp):
    with pytest.raises(ConfigError, match=r"expected micrometres per pixel from 0\.05 to 5"):
        models.predict(np.zeros((4, 4, 3), np.uint8), model, mpp)


class Exact(StarDist):
    """Perfect heads of an image whose nuclei are dark."""

    def heads(self, x):
        labels = ndimage.label(x[0].mean(0).numpy() < -0.5)[0].astype(np.int32)
        target = self.targets(Sample(np.zeros((*labels.shape, 3), np.uint8), self.spec.mpp, labels))
        found = {name: torch.from_numpy(value)[None] for name, value in target.items()}
        return found | {name: found[name] * 20 - 10 for name in ("probability", "inside") if name in found}


def disks(shape, radius_px, step_px):
    """White image with dark disks on a grid that ends at the far edges, and their centres (x, y)."""
    centres = [
        (x, y)
        for y in np.arange(shape[0] - 2 * radius_px, 0, -step_px)
        for x in np.arange(shape[1] - 2 * radius_px, 0, -step_px)
    ]
    image = np.full((*shape, 3), 255, np.uint8)
    for x, y in centres:
        at = (round(x * 16), round(y * 16))
        cv2.circle(image, at, round(radius_px * 16), (0, 0, 0), -1, cv2.LINE_AA, 4)
    return image, np.array(centres, np.float64)


@pytest.mark.parametrize("refine_with_mask", [False, True])
@pytest.mark.parametrize("ratio", [0.37, 0.7, 1.3])
def test_places_do_not_drift_towards_the_far_edge(ratio, refine_with_mask):
    """The resampled image has a whole number of pixels, so its resolution is not quite the one asked for."""
    shape = {0.37: (1501, 1127), 0.7: (1115, 1008), 1.3: (551, 335)}[ratio]  # each loses almost half a pixel
    lost = [abs(side * ratio - round(side * ratio)) for side in shape]
    assert max(lost) > 0.35
    image, centres = disks(shape, radius_px=8 / ratio, step_px=30 / ratio)
    model = Exact(
        width=1, depth=1, n_rays=32, grid=1, mpp=0.5, refine_with_mask=refine_with_mask, refine=False
    ).eval()
    found = models.predict(image, model, 0.5 * ratio)
    assert len(found) == len(centres)
    _, column = cKDTree(centres).query(found.centroid_px)
    off = found.centroid_px - centres[column]
    far = (centres[column] > 0.7 * np.array(shape[::-1])).any(axis=1)
    assert np.abs(off[far].mean(axis=0)).max() < 0.25
    assert np.abs(off[far].mean(axis=0) - off[~far].mean(axis=0)).max() < 0.25
