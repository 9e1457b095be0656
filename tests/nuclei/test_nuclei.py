import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscope import types
from histoscope.errors import ShapeError
from histoscope.nuclei import Nuclei
from histoscope.nuclei import nuclei as module

LABELS = np.array([[1, 1, 1, 0], [1, 0, 1, 2], [1, 1, 1, 0]], np.int32)
maps = arrays(np.int32, st.tuples(st.integers(0, 12), st.integers(0, 12)), elements=st.integers(0, 4))


@given(maps)
@settings(max_examples=200, deadline=None)
def test_a_map_comes_back_from_the_outlines_alone(labels):
    nuclei = Nuclei.from_labels(labels, mpp=0.5).without_map()
    assert np.array_equal(nuclei.to_labels(), labels)
    assert np.array_equal(nuclei.instances, labels)
    assert nuclei.instances.dtype == np.int32
    assert nuclei.area_px.tolist() == [(labels == k).sum() for k in range(1, len(nuclei) + 1)]


@given(maps, st.integers(-5, 12), st.integers(-5, 12), st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_a_window_is_a_piece_of_the_map(labels, top, left, height, width):
    wide = np.pad(labels, 30)
    window = Nuclei.from_labels(labels, mpp=0.5).to_labels((height, width), corner=(top, left))
    assert np.array_equal(window, wide[30 + top : 30 + top + height, 30 + left : 30 + left + width])


@given(maps, st.integers(0, 15))
@settings(max_examples=200, deadline=None)
def test_taking_some_is_the_same_by_map_and_by_outlines(labels, bits):
    nuclei = Nuclei.from_labels(labels, mpp=0.5)
    keep = (bits >> np.arange(len(nuclei))) % 2 == 1
    one, two = nuclei.taken(keep), nuclei.without_map().taken(keep)
    assert np.array_equal(one.instances, two.instances)
    assert len(one) == len(two) == keep.sum()
    assert one.shape == two.shape == labels.shape
    assert np.array_equal(one.centroid_px, nuclei.centroid_px[keep])


def test_classes_and_probabilities_go_with_their_nuclei():
    nuclei = Nuclei.from_labels(LABELS, mpp=0.5, classes=[0, 3, 1], probability=np.float32([0.5, 0.75]))
    nuclei = replace(nuclei, class_probability=np.eye(2, 3, dtype=np.float32))
    last = nuclei.taken(np.array([False, True]))
    assert (last.class_id.tolist(), last.probability.tolist(), last.area_px.tolist()) == ([1], [0.75], [1])
    assert last.class_probability.tolist() == [[0, 1, 0]]
    assert nuclei.centroid_px.tolist() == [[1, 1], [3, 1]]
    assert nuclei.taken(np.array([True, True])) is nuclei


def test_it_is_made_from_a_map_or_from_outlines_and_never_changed():
    table = np.zeros((2, 2), np.float32), np.zeros(2, np.uint8), np.ones(2, np.float32)
    nuclei = Nuclei(*table, LABELS, 0.25)
    assert nuclei.instances is LABELS
    assert nuclei.shape == (3, 4)
    drawn = Nuclei(*table, nuclei.outlines, 0.25, shape=(3, 4))
    assert np.array_equal(drawn.instances, LABELS)
    assert drawn.instances is drawn.instances
    assert repr(drawn) == "Nuclei(2 in 4 x 3 pixels of 0.25 um)"
    assert repr(nuclei.outlines) == "Outlines(2 nuclei, 3 rings, 16 points)"
    assert np.array_equal(pickle.loads(pickle.dumps(drawn)).instances, LABELS)
    assert np.array_equal(replace(nuclei, mpp=0.5).instances, LABELS)
    with pytest.raises(FrozenInstanceError):
        nuclei.mpp = 1.0
    assert types.Nuclei is Nuclei


def test_a_map_that_is_too_large_is_not_kept(monkeypatch):
    monkeypatch.setattr(module, "KEPT_PX", 11)
    nuclei = Nuclei.from_labels(LABELS, mpp=0.5).without_map()
    assert nuclei.instances is not nuclei.instances


def test_what_does_not_fit_is_refused():
    nuclei = Nuclei.from_labels(LABELS, mpp=0.5)
    table = nuclei.centroid_px, nuclei.class_id, nuclei.probability
    with pytest.raises(ShapeError, match=r"give shape=\(height, width\)"):
        Nuclei(*table, nuclei.outlines, 0.5)
    with pytest.raises(ShapeError, match="leave shape out"):
        Nuclei(*table, LABELS, 0.5, shape=(4, 3))
    with pytest.raises(ShapeError, match="expected one for each id"):
        Nuclei.from_labels(LABELS, mpp=0.5, classes=[0, 1])
    with pytest.raises(ShapeError, match=r"expected \(H, W\) whole numbers"):
        Nuclei.from_labels(LABELS / 2, mpp=0.5)
    with pytest.raises(ShapeError, match="relabel"):
        Nuclei.from_labels(np.array([[2**30]], np.int32), mpp=0.5)
    with pytest.raises(ShapeError, match="ids from -1"):
        Nuclei.from_labels(-LABELS[:2, :1], mpp=0.5)
