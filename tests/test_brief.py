"""What a notebook shows of an object: one short line, with sizes and units."""

import dataclasses
import inspect

import numpy as np
import pandas as pd
import pytest
import torch

import histoscope as hs
from histoscope.brief import brief, short
from histoscope.data import Datasheet, InMemory, audit, split_by, subset
from histoscope.export import TileMap
from histoscope.predict import Detector, PatchClassifier
from histoscope.train.loader import Batch
from histoscope.types import Sample

SAMPLES = [
    dataclasses.replace(hs.synth.generate((96, 128), mpp=0.5, rng=k), name=f"tile {k}", patient=f"p{k}")
    for k in range(9)
]
DATASET = InMemory.of(SAMPLES, Datasheet("mine", mpp=0.5))


def test_samples_say_name_size_and_nuclei():
    n = len(np.unique(SAMPLES[0].instances)) - 1
    kinds = len(set(SAMPLES[0].classes[1:].tolist()))
    assert repr(SAMPLES[0]) == f"Sample('tile 0', 128 x 96 pixels of 0.5 um, {n} nuclei in {kinds} classes)"
    image = np.zeros((2, 3, 3), np.uint8)
    assert repr(Sample(image, 0.25, label=3)) == "Sample(3 x 2 pixels of 0.25 um, label 3)"
    gaps = np.array([[0, 7, 7], [2, 0, 0]], np.int32)
    assert repr(Sample(image, 0.25, gaps)) == "Sample(3 x 2 pixels of 0.25 um, 2 nuclei)"


def test_data_sets_say_name_number_and_resolution():
    assert repr(DATASET) == "InMemory('mine', 9 images of 9 patients, 0.5 um a pixel)"
    assert repr(subset(DATASET, [3])) == "Subset('mine', 1 image of 1 patient, 0.5 um a pixel)"
    split = split_by(DATASET, train=0.6, val=0.2, test=0.2)
    sizes = [len(part) for _, part in split]
    assert repr(split) == "Split(train {}, val {}, test {} images)".format(*sizes)
    report = audit({"train": subset(DATASET, [0, 1]), "test": subset(DATASET, [1, 2])}, labels=False)
    assert repr(report).startswith("AuditReport(train 2, test 2: 1 shared patient, ")
    assert "\n" not in repr(report)
    assert str(report).startswith(f"audit of {repr(report)[len('AuditReport(') : -1]}\n")


def test_networks_and_what_holds_them_say_their_size():
    network = hs.models.create("stardist", width=4, depth=1, mpp=0.5, classes=["a", "b"])
    weights = sum(each.numel() for each in network.parameters())
    line = f"StarDist({weights:,} weights, 0.5 um a pixel, 2 classes)"
    assert repr(network) == line
    detector = Detector(network, hs.stain.get("reinhard").default(), tta=True, card={"a": 1})
    found = repr(detector)
    assert found.startswith(f"Detector(network={line}, normalizer=Reinhard(target=ColourEstimate(mean=[")
    assert found.endswith(", tta=True)")
    backbone = hs.models.create("classifier", backbone="resnet18", weights=None, classes=["a", "b"])
    assert "nan" not in repr(PatchClassifier(backbone))


def test_maps_of_tiles_and_overlaps_say_what_they_hold():
    empty = np.zeros((5, 4), np.int64), np.zeros((5, 3), np.float32), np.ones(5, np.float32)
    tiles = TileMap(*empty, 2, (64, 96), 0.5)
    assert repr(tiles) == "TileMap(5 tiles in 3 classes, 2 without tissue, 96 x 64 pixels of 0.5 um)"
    table = hs.metrics.overlap([[1, 1, 0, 2]], [[3, 3, 3, 3]])
    assert repr(table) == "Overlap(2 true and 1 predicted nuclei, 2 pairs share pixels)"


def test_the_rest_name_arrays_by_shape():
    batch = Batch(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), {})
    assert repr(batch) == "Batch(image=<2 x 3 x 8 x 8 torch.uint8>, target={})"
    assert short(pd.DataFrame({"a": [1, 2], "b": 0})) == "<2 rows, 2 columns>"
    assert short({"a": np.zeros((50, 50))}) == "<1>"
    assert short("x" * 500) == repr("x" * 500)[:60] + "..."


def test_what_has_its_default_is_left_out():
    @brief
    @dataclasses.dataclass
    class Found:
        a: int
        b: float = 0.5
        c: list = dataclasses.field(default_factory=list)
        d: str = dataclasses.field(default="", repr=False)

    assert repr(Found(1)) == "Found(a=1)"
    assert repr(Found(1, 0.25, [2], "x")) == "Found(a=1, b=0.25, c=[2])"


def public_dataclasses():
    offered = {
        what
        for package in hs.__all__
        for name in getattr(getattr(hs, package), "__all__", [])
        if inspect.isclass(what := getattr(getattr(hs, package), name)) and dataclasses.is_dataclass(what)
    }
    return sorted(offered, key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", public_dataclasses(), ids=lambda kind: kind.__name__)
def test_no_dataclass_that_is_offered_prints_arrays(kind):
    types = [str(field.type) for field in dataclasses.fields(kind)]
    held = [each for each in types if "ndarray" in each or "DataFrame" in each]
    if not all("Callable" in each for each in held):
        generated = hasattr(kind.__repr__, "__wrapped__")  # by dataclass itself: numbers one by one
        assert not generated, "decorate it with histoscope.brief.brief"
