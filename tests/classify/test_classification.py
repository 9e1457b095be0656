"""Tables of classified patches, and the words of one data set in another's."""

from dataclasses import replace

import numpy as np
import pytest

from histoscope import data, metrics, train
from histoscope.classify import classification
from histoscope.classify.classification import in_words_of, predict_classes
from histoscope.data import Datasheet, InMemory
from histoscope.errors import CorruptDataError, DataError


def renamed(patches, classes):
    return InMemory.of(patches, Datasheet("other", classes=classes, mpp=0.5))


def test_one_row_a_patch(patch_set, patches, fresh_classifier):
    model = fresh_classifier()
    done = []
    table = predict_classes(model, patch_set, batch_size=5, on_patch=lambda sample: done.append(sample.name))
    assert list(table) == [
        *("name", "patient", "source", "group", "true", "predicted"),
        *("p_normal", "p_tumour"),
    ]
    assert table["name"].tolist() == done == [sample.name for sample in patches]
    assert table["true"].tolist() == [sample.label for sample in patches]
    np.testing.assert_allclose(table[["p_normal", "p_tumour"]].sum(axis=1), 1.0, atol=1e-6)
    assert table["predicted"].tolist() == table[["p_normal", "p_tumour"]].to_numpy().argmax(axis=1).tolist()
    again = train.evaluate(model, iter(patches))  # anything that can be iterated over
    assert again.equals(predict_classes(model, patches, batch_size=16))
    scores = classification.scores(table)
    assert set(scores) == set(metrics.PATCH_METRICS)
    assert scores["accuracy"] == (table["true"] == table["predicted"]).mean()


def test_groups_are_patients_else_sources_else_patches(patches, fresh_classifier):
    known = [
        replace(patches[0], patient="ann", source="slide"),
        replace(patches[1], patient="", source="slide"),
        replace(patches[2], patient="", source="", label=None),
    ]
    table = predict_classes(fresh_classifier(), known)
    assert table["group"].tolist() == ["ann", "slide", "p2"]
    assert table["true"].tolist() == [0, 1, -1]


def test_labels_are_matched_by_their_names(patches):
    swapped = renamed(patches, {0: "tumour", 1: "normal"})
    same = in_words_of(("normal", "tumour"), swapped)
    assert [sample.label for sample in same] == [1 - sample.label for sample in patches]
    assert [record.label for record in same.records] == [1 - sample.label for sample in patches]
    assert dict(same.info.classes) == {0: "normal", 1: "tumour"}
    right = renamed(patches, {0: "normal", 1: "tumour"})
    assert in_words_of(("normal", "tumour"), right) is right


def test_classes_that_were_never_learned_are_left_out_aloud(patches):
    other = renamed(patches, {0: "normal", 1: "mucus"})
    with pytest.warns(UserWarning, match="never learned.*12 of 'mucus'"):
        kept = in_words_of(("normal", "tumour"), other)
    assert {sample.label for sample in kept} == {0}
    with pytest.raises(DataError, match="the model knows benign, malignant: none is the same"):
        in_words_of(("benign", "malignant"), other)


def test_a_class_without_training_patches_is_refused(patch_set):
    normal = data.subset(patch_set, [i for i, r in enumerate(patch_set.records) if r.label == 0])
    classification.check_seen(patch_set, normal)
    with pytest.raises(DataError, match=r"'tumour'.*split differently"):
        classification.check_seen(normal, patch_set)


class Broken(InMemory):
    def __getitem__(self, index):
        if index == 4:
            raise CorruptDataError("patch 4 is torn")
        return super().__getitem__(index)


def test_unreadable_patches_are_skipped_or_an_error(patches, fresh_classifier):
    made = renamed(patches, {0: "normal", 1: "tumour"})
    broken, model, skipped = Broken(made.info, made.records, made.samples), fresh_classifier(), {}
    with pytest.raises(CorruptDataError, match="torn"):
        predict_classes(model, broken)
    table = predict_classes(model, broken, on_skip=skipped.__setitem__)
    assert len(table) == len(patches) - 1
    assert skipped == {"p4": "patch 4 is torn"}
    kept = classification.in_memory(model, broken, skipped.__setitem__)
    assert len(kept) == len(patches) - 1
    assert kept[0].image.shape == (20, 20, 3)


def test_the_resolution_is_settled_once(patch_set, fresh_classifier):
    given, whole = fresh_classifier(mpp=0.3), fresh_classifier(mpp=0.3, patch_px=10)
    classification.set_input_mpp(given, patch_set, mpp_given=True)
    assert given.spec.mpp == 0.3
    classification.set_input_mpp(whole, patch_set, mpp_given=False)
    assert whole.spec.mpp == whole.arguments["mpp"] == 1.0  # 20 px of 0.5 in 10 px


def test_what_is_no_set_of_patches_is_refused(samples, fresh_classifier):
    with pytest.raises(DataError, match="no patches to classify"):
        train.evaluate(fresh_classifier(), [])
    table = predict_classes(fresh_classifier(), samples[:1])  # an image without a class can be classified
    assert table["true"].tolist() == [-1]
    with pytest.raises(DataError, match="no patch has a class"):
        classification.scores(table)
