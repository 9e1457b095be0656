"""Settling polygons on a mask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from histoscope import geometry
from histoscope.errors import ShapeError

SMALL_LABELS = arrays(np.int32, (12, 14), elements=st.integers(0, 3))
SMALL_MASKS = arrays(np.bool_, (12, 14))


@given(SMALL_LABELS, SMALL_MASKS)
@settings(max_examples=40, deadline=None)
def test_agrees_with_a_slow_twin(labels, inside):
    assert (
        geometry.refine_with_mask(labels, inside, max_growth_px=2) == _slow(labels, inside, max_growth_px=2)
    ).all()


@given(SMALL_LABELS, SMALL_MASKS)
@settings(max_examples=40, deadline=None)
def test_no_nucleus_leaves_the_mask_or_loses_more_than_half(labels, inside):
    settled = geometry.refine_with_mask(labels, inside)
    for k in range(1, 4):
        drawn, now = labels == k, settled == k
        if not drawn.any():
            continue
        assert (now & ~inside).sum() == 0 or (now == drawn).all()
        assert now.sum() >= drawn.sum() / 2


def test_a_true_mask_brings_shrunken_nuclei_back():
    true = np.zeros((40, 60), np.int32)
    true[5:20, 5:25], true[5:20, 25:50] = 1, 2  # they touch
    shrunken = np.where(ndimage.binary_erosion(true == 1, iterations=2), 1, 0)
    shrunken += 2 * ndimage.binary_erosion(true == 2, iterations=2)
    settled = geometry.refine_with_mask(shrunken.astype(np.int32), true > 0, max_growth_px=4)
    assert (settled == true).mean() > 0.998


def test_ids_of_an_empty_map_and_of_an_empty_mask():
    empty, one = np.zeros((3, 4), np.int32), np.ones((3, 4), np.int32)
    assert not geometry.refine_with_mask(empty, np.ones((3, 4), bool)).any()
    # The two disagree wholly: the polygon stays.
    assert (geometry.refine_with_mask(one, np.zeros((3, 4), bool)) == one).all()


def test_shapes_must_agree():
    with pytest.raises(ShapeError, match=r"\(3, 4\).*\(4, 3\)"):
        geometry.refine_with_mask(np.zeros((3, 4), np.int32), np.zeros((4, 3), bool))


def _slow(labels, inside, *, max_growth_px):
    """Pixel by pixel from the words of the documentation."""
    ids = [k for k in np.unique(labels) if k]
    stays = {k for k in ids if (inside & (labels == k)).sum() < 0.5 * (labels == k).sum()}
    now = {
        (y, x): labels[y, x] for y, x in np.argwhere((labels > 0) & (inside | np.isin(labels, list(stays))))
    }
    for _ in range(max_growth_px):
        before = dict(now)
        for y, x in np.argwhere(inside):
            if (y, x) in before:
                continue
            around = [before.get(place) for place in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x))]
            near = [k for k in around if k is not None and k not in stays]
            if near:
                now[y, x] = near[0]
    out = np.zeros_like(labels)
    for place, k in now.items():
        out[place] = k
    return out
