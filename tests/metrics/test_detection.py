import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscope.errors import ConfigError, ShapeError
from histoscope.metrics import detection_f1, detections, overlap
from histoscope.metrics.detection import centroids

LABELS = arrays(np.int32, (5, 6), elements=st.sampled_from([0, 0, 0, 1, 2, 3]))
CLASSES = arrays(np.uint8, 4, elements=st.integers(0, 2))
IMAGES = st.lists(st.tuples(LABELS, LABELS, CLASSES, CLASSES), min_size=1, max_size=3)


def middles(labels, classes):
    return [
        (np.argwhere(labels == k).mean(axis=0), int(classes[k])) for k in sorted(set(labels.ravel()) - {0})
    ]


def slow_pairs(true, pred, radius):
    """The full one-to-one choice with the least sum of distances, by trying all; far pairs given up after."""
    flip = len(true) > len(pred)
    few, many = (pred, true) if flip else (true, pred)
    choices = itertools.permutations(range(len(many)), len(few))
    costs = {
        choice: sum(math.dist(few[i][0], many[j][0]) for i, j in enumerate(choice)) for choice in choices
    }
    least = min(costs.values())
    best = [choice for choice, cost in costs.items() if cost < least + 1e-9]
    return [
        {
            (j, i) if flip else (i, j)
            for i, j in enumerate(choice)
            if math.dist(few[i][0], many[j][0]) <= radius
        }
        for choice in best
    ]


@given(IMAGES)
def test_f1_is_hover_nets(images):
    """Formula by formula, as the published script computes it; ties between pairings may fall either way."""
    options = []
    for true, pred, true_classes, pred_classes in images:
        t, p = middles(true, true_classes), middles(pred, pred_classes)
        counts = set()
        for pairs in slow_pairs(t, p, 1.5):
            lone_true = [kind for i, (_, kind) in enumerate(t) if i not in {a for a, _ in pairs}]
            lone_pred = [kind for j, (_, kind) in enumerate(p) if j not in {b for _, b in pairs}]
            kinds = [(t[i][1], p[j][1]) for i, j in pairs]
            row = [len(pairs), len(lone_true) + len(lone_pred)]
            for c in (1, 2):
                right = sum(a == b == c for a, b in kinds)
                false = sum(a != c and b == c for a, b in kinds)
                missed = sum(a == c and b != c for a, b in kinds)
                row += [right, 2 * false + 2 * missed + lone_pred.count(c) + lone_true.count(c)]
            counts.add(tuple(row))
        options.append(counts)
    expected = []
    for choice in itertools.product(*options):
        total = np.sum(choice, axis=0)
        expected.append(
            [
                2 * a / (2 * a + b) if a or b else math.nan
                for a, b in zip(total[::2], total[1::2], strict=True)
            ]
        )
    ours = detection_f1([detections(*image, n_classes=2, mpp=0.5, radius_um=0.75) for image in images])
    assert list(ours) == [0, 1, 2]
    assert any(list(ours.values()) == pytest.approx(each, nan_ok=True) for each in expected)


def test_twelve_pixels_at_40x():
    labels = np.zeros((40, 40), np.int32)
    true, near, far = labels.copy(), labels.copy(), labels.copy()
    true[10, 10], near[10, 22], far[10, 23] = 1, 1, 1
    assert detections(true, near, mpp=0.25).f1 == 1.0
    assert detections(true, far, mpp=0.25).f1 == 0.0


def test_without_classes_and_without_nuclei():
    labels = np.array([[1, 0, 2]])
    empty = np.zeros_like(labels)
    assert detections(labels, labels, mpp=1.0).f1 == 1.0
    for one, other, missed, extra in ((labels, empty, 2, 0), (empty, labels, 0, 2), (empty, empty, 0, 0)):
        found = detections(one, other, mpp=1.0)
        assert (found.missed.tolist(), found.extra.tolist()) == ([missed], [extra])
        assert found.f1 == 0.0 or (math.isnan(found.f1) and missed == extra == 0)
        assert math.isnan(found.accuracy)
    assert math.isnan(detection_f1([])[0])


def test_a_confusion_costs_both_classes():
    labels = np.array([[1, 0, 2, 0, 3]])
    found = detections(labels, labels, [0, 1, 1, 2], [0, 1, 2, 2], n_classes=2, mpp=1.0)
    assert found.paired.tolist() == [[0, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.f1_of(1) == found.f1_of(2) == 0.5
    assert found.counts_of(1) == (1, 1, 0)


def test_centroids_equal_a_loop(nuclei):
    labels, _ = nuclei(0, side=4)
    ids = overlap(labels, labels).true_ids
    for k, place in zip(ids, centroids(labels, ids), strict=True):
        assert place == pytest.approx(np.argwhere(labels == k).mean(axis=0))


def test_bad_input_is_told():
    labels = np.array([[1]])
    with pytest.raises(ConfigError, match="above 0"):
        detections(labels, labels, mpp=0.0)
    with pytest.raises(ConfigError, match="one map only"):
        detections(labels, labels, [0, 1], mpp=1.0)
    with pytest.raises(ShapeError, match="same height"):
        detections(labels, np.array([[1, 2]]), mpp=1.0)
    one = detections(labels, labels, mpp=1.0)
    with pytest.raises(ShapeError, match="0 and 2 classes"):
        one + detections(labels, labels, [0, 1], [0, 1], n_classes=2, mpp=1.0)
