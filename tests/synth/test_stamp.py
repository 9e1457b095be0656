"""The kernel that draws stored nuclei, beside a slow twin of array functions."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from histoscope.synth._stamp import KNOTS, cubic, fits, outline, stamp

EDGE, OVERLAP, SIDE = 128, 0.15, 16


def _stored(rng, n):
    """Round shapes of several sizes with random chromatin."""
    y, x = np.mgrid[:SIDE, :SIDE] - 0.5 * (SIDE - 1)
    radius = rng.uniform(3, 6, (n, 1, 1))
    shapes = np.clip(128 + 16 * (radius - np.hypot(y, x)), 0, 255).astype(np.uint8)
    return shapes, rng.integers(-100, 100, (n, SIDE, SIDE)).astype(np.int8)


def _drawn(rng, n, n_stored):
    angle, scale = rng.uniform(0, 6.3, n), rng.uniform(0.7, 2.0, n)
    back = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(n, 2, 2)
    back /= scale[:, None, None]
    half = np.ceil(0.8 * SIDE * scale).astype(np.int64)
    dents = rng.normal(0, 8, (n, KNOTS, KNOTS)).astype(np.float32)
    return rng.integers(n_stored, size=n), back, half, dents, rng.uniform(0.5, 1.5, n)


def _seen(back, half):
    """Rows and columns of the stored picture under each pixel of the box."""
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    column, row = (back @ np.stack([x.ravel(), y.ravel()]) + 0.5 * (SIDE - 1)).reshape(2, *x.shape)
    return np.stack([row, column])


def _mask(shape, back, half, dents):
    """Slowly: levels between stored pixels, dents by OpenCV's cubic; and where that is sure."""
    level = map_coordinates(shape.astype(np.float64), _seen(back, half), order=1, mode="grid-constant")
    size = (2 * half + 1, 2 * half + 1)
    level += cv2.resize(dents.astype(np.float64), size, interpolation=cv2.INTER_CUBIC)
    return level > EDGE, np.abs(level - EDGE) > 1e-3


def _tried(case):
    rng = np.random.default_rng(case)
    stored, drawn = _stored(rng, 4), _drawn(rng, 30, 4)
    at = rng.integers(-12, 60, (30, 3, 2))
    labels, chromatin = np.zeros((48, 44), np.int32), np.zeros((48, 44), np.float32)
    return labels, chromatin, stored, drawn, at, stamp(labels, chromatin, stored, EDGE, drawn, at, OVERLAP)


def _outline(stored, drawn, k):
    which, back, half, dents, _ = drawn
    spots = np.empty(((2 * half[k] + 1) ** 2, 2), np.int32)
    return spots[: outline(stored[0][which[k]], back[k], half[k], dents[k], EDGE, spots)]


@pytest.mark.parametrize("size", [3, 5, 8, 41])
def test_dents_lie_between_their_knots_as_opencv_has_them(size, rng):
    knots = rng.normal(size=(KNOTS, KNOTS))
    weights = cubic(size)
    reference = cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(weights @ knots @ weights.T, reference, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert np.abs(weights).sum(axis=1).max() ** 2 < 2  # the kernel leaves out dents that cannot matter


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_an_outline_is_that_of_the_slow_twin(case):
    rng = np.random.default_rng(case)
    stored, drawn = _stored(rng, 3), _drawn(rng, 3, 3)
    for k in range(3):
        which, back, half, dents = (part[k] for part in drawn[:4])
        found = np.zeros((2 * half + 1, 2 * half + 1), bool)
        found[tuple((_outline(stored, drawn, k) + half).T)] = True
        mask, sure = _mask(stored[0][which], back, half, dents)
        np.testing.assert_array_equal(found[sure], mask[sure])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_nuclei_are_put_as_by_the_slow_twin(case):
    labels, chromatin, stored, drawn, at, kept = _tried(case)
    slow, grain, number = np.zeros_like(labels), np.zeros_like(chromatin), []
    for k in range(len(at)):
        spots = _outline(stored, drawn, k)
        soft = map_coordinates(
            stored[1][drawn[0][k]].astype(float), _seen(drawn[1][k], drawn[2][k]), order=1, mode="nearest"
        )
        for place in at[k]:
            pixels = spots + place
            shown = ((pixels >= 0) & (pixels < slow.shape)).all(axis=1)
            free = shown.copy()
            free[shown] = slow[tuple(pixels[shown].T)] == 0
            if not shown.any() or free.sum() < (1 - OVERLAP) * shown.sum():
                continue
            number.append(k)
            slow[tuple(pixels[free].T)] = len(number)
            grain[tuple(pixels[free].T)] = drawn[4][k] * soft[tuple((spots[free] + drawn[2][k]).T)]
            break
    assert kept.tolist() == number
    np.testing.assert_array_equal(labels, slow)
    np.testing.assert_allclose(chromatin, grain, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_little_lies_under_others_and_chromatin_in_nuclei_alone(case):
    labels, chromatin, stored, drawn, at, kept = _tried(case)
    assert np.unique(labels[labels > 0]).tolist() == list(range(1, len(kept) + 1))
    assert not chromatin[labels == 0].any()
    for number, k in enumerate(kept, start=1):
        spots, best = _outline(stored, drawn, k), 0.0
        for place in at[k]:
            row, column = (spots + place).T
            inside = (row >= 0) & (row < labels.shape[0]) & (column >= 0) & (column < labels.shape[1])
            mine = labels[row[inside], column[inside]] == number
            best = max(best, mine.mean() if inside.any() else 0.0)
        assert best >= 1 - OVERLAP


def test_what_does_not_show_does_not_fit():
    labels = np.zeros((4, 4), np.int32)
    spots = np.array([[0, 0], [0, 1]], np.int32)
    assert fits(labels, spots, 2, 1, 1, OVERLAP)
    assert fits(labels, spots, 2, 3, 3, OVERLAP)
    assert not fits(labels, spots, 2, 4, 0, OVERLAP)
    assert not fits(labels, spots, 0, 1, 1, OVERLAP)
    labels[1, 1] = 7
    assert not fits(labels, spots, 2, 1, 1, OVERLAP)


def test_no_nuclei_are_no_trouble():
    labels, chromatin = np.zeros((8, 8), np.int32), np.zeros((8, 8), np.float32)
    rng = np.random.default_rng(0)
    nothing = np.zeros((0, 3, 2), np.int64)
    assert len(stamp(labels, chromatin, _stored(rng, 1), EDGE, _drawn(rng, 0, 1), nothing, OVERLAP)) == 0
    assert not labels.any()
