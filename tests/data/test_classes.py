"""Classes of data sets: by name, whatever their numbers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.data import Datasheet, InMemory, joined, match_classes, renumbered
from histoscope.errors import DataError
from histoscope.models import create_for
from histoscope.types import Record, Sample

NAMES = ("tumour", "stroma", "immune", "debris")


def nuclei(classes, kinds=(0, 1, 2, 1), name="a", sheet="lab"):
    image, labels = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.int32)
    labels[0, :3] = (1, 2, 3)
    sample = Sample(image, 0.5, labels, np.array(kinds, np.uint8), name=name)
    return InMemory.of([sample], Datasheet(sheet, classes=classes, mpp=0.5))


def patches(classes, labels, sheet="lab"):
    image = np.zeros((8, 8, 3), np.uint8)
    samples = [Sample(image, 0.5, label=label, name=f"{sheet}{k}") for k, label in enumerate(labels)]
    return InMemory.of(samples, Datasheet(sheet, classes=classes, mpp=0.5))


@given(st.permutations(NAMES), st.permutations(NAMES), st.integers(0, 1))
def test_every_class_finds_its_name(theirs, wanted, first):
    ours, others = (dict(enumerate(names, start=first)) for names in (theirs, wanted))
    match = match_classes(ours, others)
    assert {ours[old]: others[new] for old, new in match.number.items()} == dict(
        zip(NAMES, NAMES, strict=True)
    )
    assert not match.foreign
    assert not match.lacking


@pytest.mark.parametrize("name", ["Tumour", " tumour ", "TUMOUR"])
def test_capitals_and_spaces_do_not_count(name):
    assert match_classes({1: name}, {1: "stroma", 2: "tumour"}).number == {1: 2}


def test_a_name_that_fits_two_classes_must_be_written_like_one():
    assert match_classes({1: "Tumour"}, {1: "tumour", 2: "Tumour"}).number == {1: 2}
    with pytest.raises(DataError, match="matches 'tumour' and 'Tumour'"):
        match_classes({1: "TUMOUR"}, {1: "tumour", 2: "Tumour"})


def test_a_named_background_of_nuclei_is_no_class():
    match = match_classes({0: "background", 1: "stroma"}, {1: "tumour", 2: "stroma"})
    assert match.number == {1: 2}
    assert not match.foreign


def test_nuclei_keep_their_names_under_other_numbers():
    changed = renumbered(nuclei({1: "tumour", 2: "stroma"}), {1: "stroma", 2: "Tumour"})
    assert changed[0].classes.tolist() == [0, 2, 1, 2]
    assert changed.info.classes == {1: "stroma", 2: "Tumour"}


def test_patches_keep_their_names_under_other_numbers():
    changed = renumbered(patches({1: "tumour", 2: "stroma"}, [1, 2, 2]), {0: "stroma", 1: "tumour"})
    assert [record.label for record in changed.records] == [1, 0, 0]
    assert [sample.label for sample in changed] == [1, 0, 0]


def test_the_same_numbers_are_the_same_data_set():
    dataset = nuclei({1: "tumour", 2: "stroma"})
    assert renumbered(dataset, {1: "tumour", 2: "stroma"}) is dataset


def test_a_class_that_is_not_wanted_is_refused_with_both_lists():
    with pytest.raises(
        DataError, match=r"tumour, debris, the model has tumour, stroma; only the data set has debris"
    ):
        renumbered(nuclei({1: "tumour", 2: "debris"}), {1: "tumour", 2: "stroma"})


@pytest.mark.parametrize("classes", [{}, {1: "stroma"}])
def test_a_class_number_without_a_name_is_refused(classes):
    with pytest.raises(DataError, match="name every class"):
        renumbered(nuclei(classes, kinds=(0, 3, 3, 3)), {1: "tumour", 2: "stroma"})[0]


def test_patches_without_names_are_refused():
    with pytest.raises(DataError, match=r"patch 'lab0' is of class 1"):
        renumbered(patches({}, [1]), {0: "tumour", 1: "stroma"})


def test_nuclei_without_classes_teach_where_nuclei_are():
    bare = nuclei({})
    bare = InMemory(bare.info, bare.records, [replace(bare[0], classes=None)])
    assert renumbered(bare, {1: "tumour"})[0].classes is None


def test_joined_data_sets_take_the_numbers_of_the_first():
    both = joined(
        [nuclei({1: "tumour", 2: "stroma"}), nuclei({1: "Stroma", 2: "tumour"}, name="b", sheet="other")]
    )
    assert [sample.classes.tolist() for sample in both] == [[0, 1, 2, 1], [0, 2, 1, 2]]
    assert both.info.classes == {1: "tumour", 2: "stroma"}
    labels = [patches({0: "a", 1: "b"}, [0, 1]), patches({0: "b", 1: "a"}, [0, 1], "other")]
    assert [record.label for record in joined(labels).records] == [0, 1, 1, 0]


@pytest.mark.parametrize("others", [{1: "tumour"}, {1: "tumour", 2: "debris"}])
def test_data_sets_of_other_classes_are_not_joined(others):
    sets = [nuclei({1: "tumour", 2: "stroma"}), nuclei(others, kinds=(0, 1, 1, 1), name="b", sheet="other")]
    with pytest.raises(DataError, match="'other' has the classes tumour"):
        joined(sets)


def test_class_maps_without_names_are_not_joined_with_named_ones():
    both = joined([nuclei({1: "tumour", 2: "stroma"}), nuclei({}, name="b", sheet="other")])
    with pytest.raises(DataError, match="'other' names the classes"):
        both[1]


def test_a_model_of_nuclei_has_no_background_class():
    small = {"width": 2, "depth": 2, "n_rays": 4, "head_width": 2}
    model = create_for({0: "background", 1: "tumour", 2: "stroma"}, "stardist", small)
    assert model.spec.classes == ("tumour", "stroma")
    tiny = {"backbone": "unet", "options": {"width": 4, "depth": 2}, "patch_px": 20}
    assert create_for({1: "tumour", 2: "stroma"}, "classifier", tiny).spec.classes == ("tumour", "stroma")


def test_records_without_labels_stay_so():
    dataset = InMemory(Datasheet("lab", classes={0: "a"}), [Record("x")], [])
    assert renumbered(dataset, {0: "b", 1: "a"}).records[0].label is None
