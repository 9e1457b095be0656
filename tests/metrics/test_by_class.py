"""Classes against slow twins from the definitions: full masks, one class and one nucleus at a time."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscope.errors import ConfigError, DataError, ShapeError
from histoscope.metrics import (
    CONVENTIONS,
    Matches,
    bpq,
    bpq_conic,
    bpq_pannuke,
    class_scores,
    count_by_class,
    match,
    match_by_class,
    mpq_pannuke,
    mpq_plus,
    mpq_plus_conic,
    overlap,
    pooled_by_class,
    pq_by_class,
    pq_by_class_pannuke,
    r2_conic,
)

N_CLASSES = 3
LABELS = arrays(np.int32, (4, 5), elements=st.integers(0, 4))
CLASSES = arrays(np.uint8, 5, elements=st.integers(0, N_CLASSES))
IMAGE = st.tuples(LABELS, LABELS, CLASSES, CLASSES)
IMAGES = st.lists(IMAGE, min_size=1, max_size=4)


def only(labels, classes, k):
    """The map of one class alone, numbered from 1 without gaps."""
    kept = np.where(classes[labels] == k, labels, 0)
    return np.searchsorted(np.unique(np.append(kept, 0)), kept)


def slow_counts(true, pred):
    """(tp, fp, fn, sum of IoU) at IoU > 0.5 by comparing every mask with every mask."""
    trues = [true == k for k in np.unique(true) if k]
    preds = [pred == k for k in np.unique(pred) if k]
    ious = [(t & p).sum() / (t | p).sum() for t in trues for p in preds]
    hits = [iou for iou in ious if iou > 0.5]
    return len(hits), len(preds) - len(hits), len(trues) - len(hits), float(sum(hits))


def slow_pq(tp, fp, fn, sum_iou, dq_epsilon, sq_epsilon):
    try:
        dq = tp / (tp + 0.5 * fp + 0.5 * fn + dq_epsilon)
        return dq * (sum_iou / (tp + sq_epsilon)) if tp else 0.0 * dq
    except ZeroDivisionError:
        return math.nan


def defined(scores):
    scores = [score for score in scores if not math.isnan(score)]
    return sum(scores) / len(scores) if scores else math.nan


def found(images):
    return [match_by_class(*image, n_classes=N_CLASSES) for image in images]


def same(ours, theirs):
    assert ours == pytest.approx(theirs, abs=1e-12, nan_ok=True)


@given(IMAGE)
def test_matching_by_class_is_matching_of_maps_with_one_class(image):
    true, pred, true_classes, pred_classes = image
    ours = match_by_class(*image, n_classes=N_CLASSES)
    assert list(ours) == [1, 2, 3]
    for k, matches in ours.items():
        part = only(true, true_classes, k), only(pred, pred_classes, k)
        tp, fp, fn, sum_iou = slow_counts(*part)
        assert (matches.tp, matches.fp, matches.fn) == (tp, fp, fn)
        assert matches.sum_iou == pytest.approx(sum_iou)
        assert matches == match(*part)
    table = overlap(true, pred)
    assert match_by_class(table, None, true_classes, pred_classes, n_classes=N_CLASSES) == ours


@given(IMAGE, st.sampled_from([0.0, 0.3, 0.75]))
def test_other_thresholds(image, threshold):
    true, pred, true_classes, pred_classes = image
    ours = match_by_class(*image, n_classes=N_CLASSES, iou_threshold=threshold)
    for k, matches in ours.items():
        alone = match(only(true, true_classes, k), only(pred, pred_classes, k), iou_threshold=threshold)
        assert matches.tp == alone.tp
        assert matches.sum_iou == pytest.approx(alone.sum_iou)


@given(IMAGE)
def test_a_part_of_the_table_is_the_table_of_a_part(image):
    true, pred, true_classes, pred_classes = image
    table = overlap(true, pred)
    part = table.only(true_classes[table.true_ids] == 1, pred_classes[table.pred_ids] == 1)
    alone = overlap(np.where(true_classes[true] == 1, true, 0), np.where(pred_classes[pred] == 1, pred, 0))
    for name in (
        "true_ids", "pred_ids", "true_areas", "pred_areas", "true_index", "pred_index", "pixels",
    ):  # fmt: skip
        assert getattr(part, name).tolist() == getattr(alone, name).tolist(), name
    assert part.background == alone.background


@given(IMAGES)
def test_mpq_plus_pools_images_before_it_averages_classes(images):
    sums = {k: np.zeros(4) for k in (1, 2, 3)}
    for true, pred, true_classes, pred_classes in images:
        for k in sums:
            sums[k] += slow_counts(only(true, true_classes, k), only(pred, pred_classes, k))
    plain = {k: slow_pq(*total.tolist(), 0.0, 0.0) for k, total in sums.items()}
    same(pq_by_class(found(images)), plain)
    same(mpq_plus(found(images)), defined(plain.values()))
    script = [slow_pq(*total.tolist(), 1e-6, 1e-6) for total in sums.values()]
    same(mpq_plus_conic(found(images)), sum(script) / 3)


@given(IMAGES)
def test_binary_pq_by_image(images):
    binary = [match(true, pred) for true, pred, _, _ in images]
    counts = [slow_counts(true, pred) for true, pred, _, _ in images]
    same(bpq(binary), defined([slow_pq(*each, 0.0, 0.0) for each in counts]))
    same(bpq_conic(binary), float(np.mean([slow_pq(*each, 1e-6, 1e-6) for each in counts])))


@given(IMAGES, st.lists(st.sampled_from(["Breast", "Colon"]), min_size=4, max_size=4))
def test_pannuke_skips_what_the_truth_lacks_and_averages_tissues(images, tissues):
    tissues = tissues[: len(images)]
    table, binary = np.full((len(images), N_CLASSES), np.nan), np.full(len(images), np.nan)
    for i, (true, pred, true_classes, pred_classes) in enumerate(images):
        if true.any():
            binary[i] = slow_pq(*slow_counts(true, pred), 0.0, 1e-6)
        for j in range(N_CLASSES):
            part = only(true, true_classes, j + 1), only(pred, pred_classes, j + 1)
            if part[0].any():
                table[i, j] = slow_pq(*slow_counts(*part), 0.0, 1e-6)
    by_image = [defined(row) for row in table]
    every, each = found(images), [match(true, pred) for true, pred, _, _ in images]
    same(mpq_pannuke(every), defined(by_image))
    same(bpq_pannuke(each), defined(binary))
    same(pq_by_class_pannuke(every), {j + 1: defined(table[:, j]) for j in range(N_CLASSES)})

    def of_tissues(scores):
        groups = [
            [score for score, name in zip(scores, tissues, strict=True) if name == tissue]
            for tissue in ("Breast", "Colon")
        ]
        return defined([defined(group) for group in groups])

    same(mpq_pannuke(every, tissues), of_tissues(by_image))
    same(bpq_pannuke(each, tissues), of_tissues(binary))


def test_what_pannuke_forgives():
    """Free false positives: the truth has no nucleus of class 2, the prediction many."""
    images = [{1: Matches(tp=1, sum_iou=1.0), 2: Matches(fp=50)}]
    assert mpq_pannuke(images) == pytest.approx(1.0, abs=1e-5)
    assert mpq_plus(images) == 0.5


@given(arrays(np.int64, st.tuples(st.integers(2, 6), st.just(3), st.just(2)), elements=st.integers(0, 5)))
def test_r2_is_that_of_a_loop_over_classes(counts):
    scores = []
    for true, pred in zip(counts[..., 0].T, counts[..., 1].T, strict=True):
        rest, spread = float(((true - pred) ** 2).sum()), float(((true - true.mean()) ** 2).sum())
        scores.append(1 - rest / spread if np.ptp(true) else float(rest == 0))
    assert r2_conic(counts[..., 0], counts[..., 1]) == pytest.approx(np.mean(scores))


def test_r2_of_too_little():
    assert math.isnan(r2_conic([[1, 2]], [[1, 2]]))
    with pytest.raises(ShapeError, match="expected \\(images, classes\\)"):
        r2_conic([1, 2], [1, 2])


@given(LABELS, CLASSES, st.sampled_from([None, 2, 3, 4]))
def test_counts_are_of_nuclei_with_a_pixel_in_the_middle(labels, classes, crop):
    cut = labels
    if crop is not None:
        top, left = int((4 - crop) * 0.5), int((5 - crop) * 0.5)
        cut = labels[top : top + crop, left : left + crop]
    expected = [sum(classes[k] == c for k in set(cut.ravel().tolist()) - {0}) for c in (1, 2, 3)]
    assert count_by_class(labels, classes, n_classes=3, crop_px=crop).tolist() == expected


def test_crops_that_do_not_fit_are_refused():
    for crop in (0, 5):
        with pytest.raises(ShapeError, match=f"crop of {crop} px"):
            count_by_class(np.zeros((4, 5), int), [0], n_classes=1, crop_px=crop)


@given(IMAGES)
def test_pooling_a_table_is_pooling_matches(images):
    names = ["round", "long and thin", "rare"]
    table = pd.DataFrame([class_scores(*image, names, mpp=0.25) for image in images])
    pooled = pooled_by_class(table, names)
    same([pooled[f"pq_{name}"] for name in names], list(pq_by_class(found(images)).values()))
    same(pooled["mpq_plus"], mpq_plus(found(images)))
    assert pooled_by_class(table).keys() == pooled.keys()
    for k, name in enumerate(names, start=1):
        same(table[f"pq_{name}"].tolist(), [each[k].pq for each in found(images)])
        same(table[f"f1_{name}"].tolist(), [each[k].f1 for each in found(images)])
        same(pooled[f"f1_{name}"], sum((each[k] for each in found(images)), Matches()).f1)


def test_perfect_labels_score_1_in_every_class(nuclei):
    true, _ = nuclei(0, side=5)
    classes = np.arange(true.max() + 1) % 3 + 1
    row = class_scores(true, true, classes, classes, ["a", "b", "c"], mpp=0.25)
    scores = [value for name, value in row.items() if name.split("_")[0] in {"pq", "f1", "detection"}]
    assert scores == [1.0] * 9


def test_classes_far_from_0_and_ids_with_gaps():
    labels = np.array([[70_000, 0, 9]])
    classes = np.zeros(70_001, np.uint8)
    classes[[9, 70_000]] = 255, 1
    ours = match_by_class(labels, labels, classes, classes, n_classes=255)
    assert [k for k, each in ours.items() if each.tp] == [1, 255]


def test_bad_input_is_told():
    labels = np.array([[0, 1, 2]])
    with pytest.raises(ShapeError, match=r"pred classes are \(2,\) int64 for ids up to 2"):
        match_by_class(labels, labels, [0, 1, 1], [0, 1], n_classes=1)
    with pytest.raises(
        ShapeError, match=r"true classes contain 7 \(nucleus 2\); expected 0 for no class, or 1 to 3"
    ):
        match_by_class(labels, labels, [0, 1, 7], [0, 1, 1], n_classes=3)
    with pytest.raises(ShapeError, match="true classes contain -1"):
        match_by_class(labels, labels, [0, 1, -1], [0, 1, 1], n_classes=3)
    with pytest.raises(ShapeError, match="float"):
        match_by_class(labels, labels, [0.0, 1.0, 1.0], [0, 1, 1], n_classes=3)
    with pytest.raises(ConfigError, match="a different name for each"):
        class_scores(labels, labels, [0, 1, 1], [0, 1, 1], ["a", "a"])
    with pytest.raises(ConfigError, match="class 1 first"):
        class_scores(labels, labels, [0, 1, 1], [0, 1, 1], {1: "a", 2: "b"})
    with pytest.raises(DataError, match="with the same n_classes"):
        mpq_plus([{1: Matches()}, {1: Matches(), 2: Matches()}])
    with pytest.raises(ShapeError, match="got 1 tissues for 2 images"):
        bpq_pannuke([Matches(), Matches()], ["Colon"])


def test_nothing_is_undefined():
    assert all(math.isnan(score([])) for score in (mpq_plus, mpq_plus_conic, bpq, bpq_conic, bpq_pannuke))
    assert math.isnan(mpq_pannuke([{1: Matches(fp=3)}]))


def test_every_convention_is_documented(root):
    page = (root / "docs" / "metrics.md").read_text(encoding="utf-8")
    reference = (root / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in CONVENTIONS if f"`{name}`" not in page or f"`{name}`" not in reference] == []
    assert [sheet.doi for sheet in CONVENTIONS.values() if sheet.doi not in page] == []


def test_a_class_cannot_take_the_column_of_all_nuclei():
    true = np.array([[1, 1, 0, 2]])
    with pytest.raises(ConfigError, match="f1_50"):
        class_scores(true, true, [0, 1, 2], [0, 1, 2], ["round", "50"])
    assert "pq_all" in class_scores(true, true, [0, 1, 2], [0, 1, 2], ["round", "all"])
