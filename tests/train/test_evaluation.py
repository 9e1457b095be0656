"""Scores of a model on images: what the columns are, and that resolution and turns reach them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from histoscope import metrics, models, synth, train
from histoscope.errors import ConfigError
from histoscope.models import inference
from histoscope.train import evaluation


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.create(
        "stardist", width=4, depth=2, n_rays=8, head_width=8, mpp=0.25, classes=["a", "b"]
    ).eval()


@pytest.fixture
def found(disks, monkeypatch):
    """A model that finds every nucleus 10 pixels to the right, each in its true class."""
    moved = np.roll(disks.instances, 10, axis=1)
    nuclei = []

    def predict(image, model, mpp, **how):
        from histoscope.types import Nuclei

        n = int(moved.max())
        nuclei.append((mpp, how))
        return Nuclei(np.zeros((n, 2), np.float32), disks.classes[1:], np.ones(n, np.float32), moved, mpp)

    monkeypatch.setattr("histoscope.train.nuclei_scores.predict", predict)
    return moved, nuclei


def test_distances_of_centroids_are_in_micrometres(model, disks, found):
    """Ten pixels are 2.5 um at 0.25 um a pixel, within the 3 um of the metric, and 5 um at 0.5, beyond it."""
    near = train.evaluate(model, [disks]).iloc[0]
    far = train.evaluate(model, [dataclasses.replace(disks, mpp=0.5)]).iloc[0]
    expected = metrics.class_scores(
        disks.instances, found[0], disks.classes, disks.classes, ("a", "b"), mpp=disks.mpp
    )
    columns = [name for name in expected if name.startswith(("detection_f1_", "found_", "unpaired_"))]
    assert len(columns) == 6
    for name in columns:
        assert near[name] == pytest.approx(expected[name], nan_ok=True), name
    assert any(near[name] != far[name] for name in columns)


def test_classes_are_scored_where_both_sides_know_them(model, disks, found):
    with_classes = train.evaluate(model, [disks])
    without = train.evaluate(model, [dataclasses.replace(disks, classes=None)])
    assert {"pq_a", "pq_b"} <= set(with_classes)
    assert not {"pq_a", "pq_b"} & set(without)


def test_resolution_and_turns_reach_the_prediction(model, disks, found):
    train.evaluate(model, [disks], tta=True)
    train.evaluate(model, [dataclasses.replace(disks, mpp=0.4)])
    assert found[1] == [(0.25, {"tta": True}), (0.4, {"tta": False})]


def test_every_image_is_handed_on_with_its_nuclei(model, disks, found):
    shown = []
    train.evaluate(model, [disks], on_image=lambda *both: shown.append(both))
    assert [(sample.name, nuclei.instances is found[0]) for sample, nuclei in shown] == [("disks", True)]


def test_a_summary_is_of_images_or_of_all_patches():
    images = pd.DataFrame({name: [0.2, 0.6] for name in ("dice", "aji", "pq", "f1_50", "pq_a")})
    expected = dict.fromkeys(images, 0.4)
    assert evaluation.summary(images, "pq_a") == pytest.approx(expected)
    del expected["pq_a"]
    assert evaluation.summary(images) == pytest.approx(expected)
    patches = pd.DataFrame({"true": [0, 1, 1], "predicted": [0, 1, 0], "p_a": [0.9, 0.2, 0.6]})
    patches["p_b"] = 1 - patches["p_a"]
    found = evaluation.summary(patches)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["nll"] == pytest.approx(-np.log([0.9, 0.8, 0.4]).mean())


def test_every_turn_is_looked_at(model, disks, monkeypatch):
    seen, turn = [], inference.turns.turn
    monkeypatch.setattr(inference.turns, "turn", lambda image, k: seen.append(k) or turn(image, k))
    train.evaluate(model, [disks], tta=True)
    assert sorted(set(seen)) == list(range(8))


@pytest.mark.parametrize("where", ["predict", "read"])
def test_an_image_too_large_for_the_memory_is_named_and_the_rest_scored(model, disks, monkeypatch, where):
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
    named = [dataclasses.replace(disks, name=name) for name in ("a", "huge", "z")]
    read = list.__getitem__

    class Samples(list):
        def __getitem__(self, index):
            if where == "read" and index == 1:
                raise error
            return read(self, index)

    real = inference.predict

    def predict(image, model, mpp, **how):
        if where == "predict" and len(seen) == 1:
            seen.append(image)
            raise error
        seen.append(image)
        return real(image, model, mpp, **how)

    seen, skipped = [], {}
    monkeypatch.setattr("histoscope.train.nuclei_scores.predict", predict)
    table = train.evaluate(model, Samples(named), on_skip=skipped.__setitem__)
    assert table["name"].tolist() == ["a", "z"]
    (why,) = skipped.values()
    assert "out of memory" in why
    seen.clear()
    with pytest.raises(RuntimeError, match="can't allocate"):
        train.evaluate(model, Samples(named))


def test_further_scores_are_columns():
    tile = synth.generate((64, 64), mpp=0.5, rng=0, name="t")
    seen = []
    table = train.evaluate(
        models.create("unet", width=4, depth=2, mpp=0.5),
        [tile, tile],
        on_image=lambda sample, nuclei: seen.append(nuclei.instances.max()),
        more=["dice", metrics.Metric("found", lambda true, pred: pred.max())],
    )
    assert table["found"].tolist() == seen
    assert list(table.columns).count("dice") == 1
    classifier = models.create("timm/mobilenetv3_small_050", classes=["a", "b"], mpp=0.5)
    with pytest.raises(ConfigError, match="of label maps"):
        train.evaluate(classifier, [], more=["dice"])
