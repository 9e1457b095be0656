"""Regions of labels, and labels of regions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.segmentation import find_boundaries

from histoscope import metrics
from histoscope.models.nuclei import regions


def discs(seed: int, n: int, *, size: int = 96) -> np.ndarray:
    """Overlapping discs, later ones in front: many touch."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((size, size))
    labels = np.zeros((size, size), np.int32)
    for index in range(1, n + 1):
        y, x, radius = rng.uniform(0, size), rng.uniform(0, size), rng.uniform(5, 10)
        labels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = index
    return labels


def certain(target: np.ndarray) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[target].transpose(2, 0, 1)


@given(st.integers(0, 10**6), st.integers(0, 20))
@settings(max_examples=25, deadline=None)
def test_boundary_is_the_inner_rim_of_scikit_image(seed, n):
    labels = discs(seed, n)
    target = regions.from_labels(labels)
    rim = find_boundaries(labels, connectivity=1, mode="inner", background=0)
    np.testing.assert_array_equal(target == regions.BOUNDARY, rim)
    np.testing.assert_array_equal(target > 0, labels > 0)


@given(st.integers(0, 10**6), st.integers(0, 8))
@settings(max_examples=25, deadline=None)
def test_touching_discs_come_back(seed, n):
    labels = discs(seed, n)
    # An occluded crescent may be too thin or in two parts: only whole discs must come back.
    found = regions.to_labels(certain(regions.from_labels(labels)), mpp=0.5)
    assert (found > 0).sum() <= (labels > 0).sum() + 200  # holes between nuclei are filled, no more
    whole = [i for i in range(1, n + 1) if (labels == i).sum() > 70 and _one_core(labels == i)]
    iou = metrics.overlap(labels, found)
    matched = {t for t in whole if _best_iou(labels == t, found) > 0.5}
    assert matched == set(whole), iou


def _one_core(mask: np.ndarray) -> bool:
    from scipy import ndimage

    inside = regions.from_labels(mask.astype(np.int32)) == regions.INSIDE
    _, n = ndimage.label(inside)
    return n == 1 and inside.sum() > 0.5 * mask.sum()


def _best_iou(mask: np.ndarray, found: np.ndarray) -> float:
    ids = np.unique(found[mask])
    return max(
        (float((mask & (found == i)).sum() / (mask | (found == i)).sum()) for i in ids if i), default=0.0
    )


def test_blank_gives_no_nuclei():
    blank = np.zeros((3, 20, 30), np.float32)
    blank[0] = 1
    found = regions.to_nuclei(blank, 0.5)
    assert len(found) == 0
    assert found.instances.shape == (20, 30)
    assert found.centroid_px.shape == (0, 2)


def test_table_says_where_and_how_sure():
    labels = np.zeros((40, 60), np.int32)
    labels[10:20, 30:44] = 1
    probability = 0.8 * certain(regions.from_labels(labels)) + 0.2 / 3
    found = regions.to_nuclei(probability.astype(np.float32), 0.5)
    np.testing.assert_allclose(found.centroid_px, [[36.5, 14.5]])
    np.testing.assert_allclose(found.probability, [1 - 0.2 / 3], rtol=1e-5)


def test_specks_are_no_nuclei():
    labels = np.zeros((40, 40), np.int32)
    labels[5:7, 5:7] = 1  # 1 um2 at 0.5 mpp
    labels[20:30, 20:30] = 2
    assert regions.to_labels(certain(regions.from_labels(labels)), 0.5).max() == 1
