"""Scores of nuclei: classes by name, and images that cannot be read."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope.data import Datasheet, InMemory, renamed
from histoscope.errors import ConfigError, CorruptDataError, DataError
from histoscope.models.base import InputSpec, Segmenter
from histoscope.train import evaluate
from histoscope.types import Nuclei, Sample

NAMES = ("tumour", "stroma", "immune")
# Two rows of squares: true classes above, and what the model takes them for.
TRUE = np.array([0, 1, 2, 3, 1, 2, 3], np.uint8)
FOUND = np.array([1, 2, 3, 1, 3, 3], np.uint8)


class Known(Segmenter):
    """Finds every square, and takes it for the class that it is told to."""

    name = "known"

    def __init__(self, classes, found):
        super().__init__(InputSpec(mpp=0.5, divisible_by=1, classes=tuple(classes)), {})
        self.found = np.asarray(found, np.uint8)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def heads(self, x):
        return {"nothing": torch.zeros(x.shape[0], 1, *x.shape[2:])}

    def decode(self, heads, shape, mpp):
        n = len(self.found)
        return Nuclei(np.zeros((n, 2), np.float32), self.found, np.ones(n, np.float32), squares(), mpp)


def squares():
    labels = np.zeros((40, 60), np.int32)
    for k in range(6):
        labels[4 + 20 * (k // 3) :, :][:9, 4 + 20 * (k % 3) :][:, :9] = k + 1
    return labels


def dataset(names, numbers, *, true=TRUE, sheet="lab"):
    """The truth with class k of NAMES called names[k - 1] and numbered numbers[k - 1]."""
    classes = np.append(0, np.asarray(numbers))[true].astype(np.uint8)
    sample = Sample(np.full((40, 60, 3), 200, np.uint8), 0.5, squares(), classes, name="a", patient="p")
    return InMemory.of([sample], Datasheet(sheet, classes=dict(zip(numbers, names, strict=True)), mpp=0.5))


def of_classes(table):
    return {key: table[key][0] for key in table if key.rsplit("_", 1)[-1] in NAMES}


@settings(max_examples=20, deadline=None)
@given(st.permutations([1, 2, 3]), st.permutations([1, 2, 3]))
def test_no_score_depends_on_how_classes_are_numbered(theirs, models):
    expected = evaluate(Known(NAMES, FOUND), dataset(NAMES, [1, 2, 3]))
    names = [NAMES[models.index(k)] for k in (1, 2, 3)]  # class k of NAMES is models[k - 1] of the model
    model = Known(names, np.array(models, np.uint8)[FOUND - 1])
    found = evaluate(model, dataset(NAMES, theirs))
    assert set(of_classes(found)) == set(of_classes(expected))
    assert of_classes(found) == pytest.approx(of_classes(expected), nan_ok=True)
    assert expected["pq_tumour"][0] == 1.0


def test_samples_without_a_datasheet_are_numbered_as_the_model():
    lab = dataset(NAMES, [1, 2, 3])
    assert of_classes(evaluate(Known(NAMES, FOUND), list(lab))) == pytest.approx(
        of_classes(evaluate(Known(NAMES, FOUND), lab)), nan_ok=True
    )


def test_classes_of_the_data_set_alone_count_as_nuclei_and_for_no_class():
    lab = dataset(("tumour", "stroma", "macrophage"), [1, 2, 3])
    with pytest.warns(UserWarning, match=r"does not know macrophage.*has no immune"):
        table = evaluate(Known(NAMES, FOUND), lab)
    assert table["n_true"][0] == 6
    assert table["pq"][0] == 1.0
    assert not [name for name in table if "immune" in name or "macrophage" in name]
    # Of two tumours both are found; of two of stroma one is taken for another class. What lies on the
    # macrophages is no mistake.
    assert table[["tp_tumour", "fp_tumour", "fn_tumour"]].values.tolist() == [[2, 0, 0]]
    assert table[["tp_stroma", "fp_stroma", "fn_stroma"]].values.tolist() == [[1, 0, 1]]
    assert table[["found_tumour", "confused_tumour", "unpaired_tumour"]].values.tolist() == [[2, 0, 0]]


def test_a_prediction_on_a_nucleus_of_no_class_is_no_mistake_of_its_class():
    true = TRUE.copy()
    true[3] = 0
    table = evaluate(Known(NAMES, [1, 2, 1, 1, 2, 3]), dataset(NAMES, [1, 2, 3], true=true))
    assert table[["tp_tumour", "fp_tumour", "fn_tumour"]].values.tolist() == [[2, 0, 0]]
    assert table["confused_tumour"][0] == 0


@pytest.mark.parametrize("names", [("a", "b", "c"), ()])
def test_without_a_common_class_nuclei_are_scored_alone(names):
    lab = dataset(("a", "b", "c"), [1, 2, 3])
    if not names:
        lab = InMemory(replace(lab.info, classes={}), lab.records, lab.samples)
    with pytest.warns(UserWarning, match="no class is scored"):
        table = evaluate(Known(NAMES, FOUND), lab)
    assert table["pq"][0] == 1.0
    assert not [name for name in table if name.startswith("pq_")]


class Broken(InMemory):
    """A data set whose image called b cannot be read."""

    def __getitem__(self, index):
        if self.records[index].name == "b":
            raise CorruptDataError("b.png cannot be decoded as an image")
        return super().__getitem__(index)


def test_images_that_cannot_be_read_or_have_no_labels_are_named():
    good = dataset(NAMES, [1, 2, 3])[0]
    samples = [replace(good, name="c", instances=None, classes=None), *(replace(good, name=n) for n in "bad")]
    lab = InMemory.of(samples, Datasheet("lab", classes=dict(enumerate(NAMES, 1)), mpp=0.5))
    lab = Broken(lab.info, lab.records, lab.samples)
    skipped = {}
    table = evaluate(Known(NAMES, FOUND), lab, on_skip=skipped.__setitem__)
    assert list(table["name"]) == ["a", "d"]
    assert list(skipped) == ["c", "b"]
    assert "cannot be decoded" in skipped["b"]
    with pytest.raises(DataError, match="no instance map"):
        evaluate(Known(NAMES, FOUND), lab)
    with pytest.raises(DataError, match="none of 1 images could be scored"):
        evaluate(Known(NAMES, FOUND), InMemory.of(samples[:1], lab.info), on_skip=skipped.__setitem__)


def test_a_class_named_like_a_score_is_refused():
    names = ("50", "stroma", "immune")
    with pytest.raises(ConfigError, match="f1_50 is also the name of a score of all nuclei"):
        evaluate(Known(names, FOUND), dataset(names, [1, 2, 3]))


def test_other_names_can_be_told():
    lab = dataset(("Krebs", "stroma", "immune"), [1, 2, 3])
    found = evaluate(Known(NAMES, FOUND), renamed(lab, {"krebs": "tumour"}))
    assert of_classes(found) == pytest.approx(
        of_classes(evaluate(Known(NAMES, FOUND), dataset(NAMES, [1, 2, 3]))), nan_ok=True
    )
    with pytest.raises(DataError, match="no class 'cancer'; it has Krebs, stroma, immune"):
        renamed(lab, {"cancer": "tumour"})
