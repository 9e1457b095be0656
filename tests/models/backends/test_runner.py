"""What another library computes is what torch computes, in tiles, turned, in batches and from threads."""

import copy

import numpy as np
import pytest
import torch

from histoscope import models, synth
from histoscope.metrics import match
from histoscope.models import backends, inference, precision
from histoscope.models.backends.runner import ready
from histoscope.predict import Detector, PatchClassifier
from histoscope.types import Sample

NETWORKS = {
    "unet": {"width": 4, "depth": 2},
    "stardist": {"width": 4, "depth": 2, "n_rays": 8, "classes": ["a", "b"]},
    "deeplab": {"width": 4},
    "resunet": {"width": 4, "depth": 2},
}


@pytest.fixture
def image(rng):
    return synth.generate((100, 150), mpp=0.5, rng=rng).image


@pytest.mark.parametrize("name", NETWORKS)
def test_heads_are_those_of_torch(backend, trained, image, name):
    model = trained(name, **NETWORKS[name])
    expected = inference.heads_of(model, image)
    backends.use(model, backend, name)
    found = inference.heads_of(model, image)
    assert list(found) == list(expected)
    for key, head in expected.items():
        torch.testing.assert_close(found[key], head, rtol=1e-3, atol=1e-3)
        assert not torch.equal(found[key], head)  # another library, not torch again


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_tiles_of_any_size_are_seen_at_the_same_time(backend, trained, image, n_threads):
    model = trained("stardist", width=4, depth=2, n_rays=8)
    expected = inference.heads_of(model, image)
    backends.use(model, backend, "small")
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        tiles = inference.tiles_of(model, image, tile_px=48, at_once=2)
        for key, head in inference.assembled(tiles).items():
            torch.testing.assert_close(head, expected[key], rtol=1e-3, atol=1e-3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("tta", [False, True])
def test_a_model_that_comes_along_finds_the_same_nuclei(backend, image, tta):
    expected = Detector.open("nuclei-free", tta=tta)(image, 0.5)
    detector = Detector.open("nuclei-free", tta=tta, backend=backend)
    found = detector(image, 0.5)
    assert backends.used(detector.network).startswith(backend)
    assert len(found) == len(expected) > 5
    assert match(expected.instances, found.instances, iou_threshold=0.9).tp == len(expected)


def test_patches_have_the_same_probabilities(backend, fresh_classifier, patches, tmp_path):
    models.save(fresh_classifier(), tmp_path / "model")
    small = [Sample(one.image, one.mpp) for one in patches[:11]]  # the last batch is not full
    seen = []
    for name in ("torch", backend):
        classifier = PatchClassifier.open(tmp_path / "model", backend=name)
        seen.append(np.concatenate([batch.values for batch in classifier.through(small)]))
    assert seen[0].shape == (11, 2)
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-4)


def test_copies_share_it_and_training_ends_it(backend, trained, image):
    model = trained("unet", **NETWORKS["unet"])
    backends.use(model, backend, "small")
    assert copy.deepcopy(model).runner is model.runner
    model.eval()
    assert model.runner is not None
    model.train()
    assert model.runner is None
    assert backends.used(model) == f"torch {torch.__version__}, float32"


def test_it_is_for_processors_alone(trained):
    model = trained("unet", **NETWORKS["unet"])
    model.runner = object()
    assert ready(model.to("meta"), at_once=1, threads=1).heads.__func__ is type(model).heads
    assert backends.used(model).startswith("torch")


def test_a_damaged_file_is_written_again(backend, trained, image, cache):
    model = trained("unet", **NETWORKS["unet"])
    backends.use(model, backend, "small")
    (file,) = cache.glob("*.onnx")
    whole = file.stat().st_size
    file.write_bytes(file.read_bytes()[:100])
    backends.use(model, backend, "small")
    assert file.stat().st_size == whole
    assert model.runner is not None


def test_other_weights_under_the_same_name_are_noticed(backend, trained, image):
    backends.use(trained("unet", **NETWORKS["unet"]), backend, "same")
    torch.manual_seed(1)
    other = models.create("unet", **NETWORKS["unet"]).eval()
    expected = inference.heads_of(other, image)
    backends.use(other, backend, "same")
    torch.testing.assert_close(
        inference.heads_of(other, image)["regions"], expected["regions"], rtol=1e-3, atol=1e-3
    )


def test_bfloat16_is_taken_where_torch_would(backend, trained, fresh_classifier, image, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: True)
    model, classifier = trained("unet", **NETWORKS["unet"]), fresh_classifier().eval()
    for each, narrow in ((model, backend == "openvino"), (classifier, False)):
        backends.use(each, backend, type(each).__name__)
        assert backends.used(each).endswith("bfloat16" if narrow else "float32")
    full = inference.heads_of(model, image)["regions"]
    model.runner = None
    expected = inference.heads_of(model, image)["regions"]
    torch.testing.assert_close(full, expected, atol=0.05 * float(expected.abs().max()), rtol=0)
