"""Counts of the parts, and the classes that cannot be learned."""

import numpy as np
import pytest

from histoscope import models
from histoscope.errors import DataError
from histoscope.train import census
from histoscope.types import Record, Sample

NAMES = {1: "epithelial", 2: "lymphocyte", 3: "mitosis"}


def drawn(*classes, name="s"):
    """One row of nuclei of one pixel each."""
    instances = np.arange(len(classes) + 1, dtype=np.int32)[None].repeat(2, axis=0)
    image = np.zeros((*instances.shape, 3), np.uint8)
    return Sample(image, 0.5, instances, np.array([0, *classes], np.uint8), name=name)


def nuclei(part, *samples, names=NAMES, patient="p"):
    records = [Record(f"s{k}", patient=patient and f"{patient}{k // 2}") for k in range(len(samples))]
    return census.count_nuclei(part, records, samples, names)


def test_a_part_is_said_in_words():
    assert str(nuclei("train", drawn(1, 1, 2), drawn(1), drawn(0))) == (
        "training: 3 images of 2 patients, 5 nuclei (epithelial: 3, lymphocyte: 1, without a class: 1)"
    )
    assert str(nuclei("val", drawn(2), patient="")) == "validation: 1 image, 1 nucleus (lymphocyte: 1)"
    assert str(nuclei("test", drawn(), drawn())) == "test: 2 images of 1 patient, 0 nuclei"
    records = [Record(f"p{k}", source=f"photo{k}", label=k % 2) for k in range(3)]
    assert str(census.count_patches("test", records, {0: "normal", 1: "tumour"})) == (
        "test: 3 patches of 3 sources (normal: 2, tumour: 1)"
    )


def test_an_image_without_truth_or_with_an_unnamed_class_is_named():
    with pytest.raises(DataError, match=r"'bare' has no instance map"):
        nuclei("test", Sample(np.zeros((2, 2, 3), np.uint8), 0.5, name="bare"))
    with pytest.raises(DataError, match=r"'odd' has nuclei of class 4"):
        nuclei("test", drawn(4, name="odd"))


@pytest.fixture(scope="module")
def stardist():
    def make(classes=()):
        return models.create("stardist", width=4, depth=2, n_rays=8, mpp=0.5, grid=1, classes=list(classes))

    return make


def test_classes_that_cannot_be_learned_are_named(stardist):
    counts = [nuclei("train", drawn(1)), nuclei("val", drawn(1, 2)), nuclei("test", drawn(1, 2, 2))]
    for model in (stardist(NAMES.values()), models.create("unet", width=4, depth=2, mpp=0.5)):
        first, *rest = census.warnings_of(counts, NAMES, model, {})
        assert "'lymphocyte'" in first
        assert "validation part (1) and test part (2) alone" in first
        assert rest == (
            ["warning: no training nucleus is of class 'mitosis', so it is not learned: it occurs in no part"]
            if model.spec.classes
            else []
        )
    assert census.warnings_of(counts[:1], {1: "epithelial"}, stardist(["epithelial"]), {}) == []


def test_classes_without_names_are_said(stardist):
    counts = [nuclei("train", drawn(1, 2), names={})]
    (line,) = census.warnings_of(counts, {}, stardist(), {})
    assert "class 1 and class 2, but no class has a name" in line
    assert census.warnings_of(counts, {}, stardist(), {"classes": []}) == []
    assert census.warnings_of(counts, {}, models.create("unet", width=4, depth=2, mpp=0.5), {}) == []
