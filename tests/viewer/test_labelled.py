"""Label maps are outlines with classes, and a model's are told apart by what became of them."""

import numpy as np
import pytest

from histoscope.errors import ConfigError, ShapeError
from histoscope.files import write_labels
from histoscope.viewer.labelled import OUTCOMES, Compared, LabelResults, outcomes


def squares(*places, shape=(40, 60)):
    """A map of squares, from (top, left, bottom, right)."""
    labels = np.zeros(shape, np.int32)
    for k, (top, left, bottom, right) in enumerate(places, 1):
        labels[top:bottom, left:right] = k
    return labels


def named(outcome):
    return [OUTCOMES[k - 1] for k in outcome]


def test_each_outcome_is_told():
    true = squares((0, 0, 10, 10), (0, 20, 10, 30), (0, 30, 10, 40), (20, 0, 30, 20), (20, 40, 30, 50))
    pred = squares((0, 1, 10, 10), (0, 20, 10, 40), (20, 0, 30, 10), (20, 10, 30, 20), (35, 55, 39, 59))
    outcome, missed, best = outcomes(true, pred)
    assert named(outcome) == ["found", "merged", "split", "split", "false positive"]
    assert (missed + 1).tolist() == [5]
    assert best[0] == pytest.approx(0.9)


def test_a_perfect_model_misses_nothing():
    true = squares((0, 0, 10, 10), (20, 20, 30, 30))
    outcome, missed, _ = outcomes(true, true)
    assert named(outcome) == ["found", "found"]
    assert not len(missed)


def test_nothing_on_either_side_is_no_error():
    empty, some = squares(), squares((0, 0, 10, 10))
    assert named(outcomes(empty, some)[0]) == ["false positive"]
    assert outcomes(some, empty)[1].tolist() == [0]
    assert not len(outcomes(empty, empty)[0])


def test_rows_of_a_comparison_say_what_they_are(tmp_path):
    write_labels(tmp_path / "true.png", squares((0, 0, 10, 10), (20, 20, 30, 30)))
    write_labels(tmp_path / "pred.png", squares((0, 1, 10, 10)) * 7)
    compared = Compared(tmp_path / "pred.png", tmp_path / "true.png")
    marks = compared.marks()
    assert [sum(each) for each in marks.counts()] == [0, 1, 1, 0, 0, 0]
    assert compared.features(0) == {"class": "found", "id": 7, "iou": 0.9, "area_px": 90}
    assert compared.features(1) == {"class": "missed", "area_px": 100}
    with pytest.raises(ConfigError, match="no such row"):
        compared.features(2)


def test_maps_of_other_sizes_are_refused(tmp_path):
    write_labels(tmp_path / "true.png", squares())
    write_labels(tmp_path / "pred.png", squares(shape=(10, 10)))
    with pytest.raises(ShapeError, match="expected the same size"):
        Compared(tmp_path / "pred.png", tmp_path / "true.png")


def test_classes_are_those_of_the_class_map(tmp_path):
    labels = squares((0, 0, 10, 10), (20, 20, 30, 30))
    write_labels(tmp_path / "ids.png", labels)
    write_labels(tmp_path / "classes.png", np.where(labels == 2, 3, labels).astype(np.uint8))
    results = LabelResults(tmp_path / "ids.png", tmp_path / "classes.png", {1: "epithelial", 3: "stromal"})
    marks = results.marks()
    assert marks.about["classes"] == ["epithelial", "class 2", "stromal"]
    assert [sum(each) for each in marks.counts()] == [0, 1, 0, 1]
    assert results.features(1) == {"class": "stromal", "id": 2, "area_px": 100}


def test_pieces_of_a_mask_are_nuclei_and_gaps_between_ids_are_none(tmp_path):
    labels = squares((0, 0, 10, 10), (20, 20, 30, 30))
    write_labels(tmp_path / "mask.png", ((labels > 0) * 255).astype(np.uint8))
    write_labels(tmp_path / "gaps.png", labels * 100)
    assert len(LabelResults(tmp_path / "mask.png").marks()) == 2
    assert len(LabelResults(tmp_path / "gaps.png").marks()) == 2
    assert LabelResults(tmp_path / "gaps.png").features(1)["id"] == 200
