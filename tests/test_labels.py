import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import regionprops
from skimage.segmentation import relabel_sequential

from histoscope.errors import ShapeError
from histoscope.labels import centroids, relabel

maps = arrays(np.int32, st.tuples(st.integers(0, 9), st.integers(0, 9)), elements=st.integers(0, 12))


@given(maps)
@settings(max_examples=100, deadline=None)
def test_numbers_are_those_of_scikit_image(labels):
    found, ids = relabel(labels)
    expected = relabel_sequential(labels)[0] if labels.size else labels
    assert np.array_equal(found, expected)
    assert ids.tolist() == sorted(set(labels.ravel().tolist()) - {0})


@given(maps, st.integers(0, 2**12 - 1))
@settings(max_examples=100, deadline=None)
def test_what_is_left_out_becomes_background(labels, bits):
    keep = (bits >> np.arange(12)) % 2 == 1
    found, ids = relabel(labels, keep)
    assert ids.tolist() == [k for k in range(1, 13) if keep[k - 1]]
    for number, old in enumerate(ids, start=1):
        assert np.array_equal(found == number, labels == old)
    assert np.array_equal(found > 0, np.isin(labels, ids))


@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.int32])
def test_ids_of_any_size_and_type(dtype):
    top = min(2**40, np.iinfo(dtype).max)
    labels = np.array([[0, 7], [top, 7]], dtype)[:, ::-1]
    found, ids = relabel(labels)
    assert found.tolist() == [[1, 0], [1, 2]]
    assert found.dtype == np.int32
    assert ids.tolist() == [7, top]


def test_ids_outside_of_the_table_are_refused():
    with pytest.raises(ShapeError, match=r"ids from 0 to 3, expected .* up to 2"):
        relabel(np.array([[0, 3]], np.int32), np.ones(2, bool))
    with pytest.raises(ShapeError, match="from -1"):
        relabel(np.array([[0, -1]], np.int32))
    with pytest.raises(ShapeError, match="up to 1"):
        centroids(np.array([[0, 2]], np.int32), 1)


@given(maps)
@settings(max_examples=100, deadline=None)
def test_centroids_are_those_of_scikit_image(labels):
    area, xy = centroids(labels, 12)
    assert (area.shape, xy.shape) == ((12,), (12, 2))
    assert (xy[area == 0] == 0).all()
    for region in regionprops(labels) if labels.size else []:
        assert area[region.label - 1] == region.area
        assert xy[region.label - 1] == pytest.approx(region.centroid[::-1])


def test_bands_of_several_threads_add_up():
    labels = np.arange(600 * 500, dtype=np.int32).reshape(600, 500) % 7
    area, xy = centroids(labels[::-1])
    rows, columns = np.nonzero(labels[::-1] == 3)
    assert area[2] == len(rows)
    assert xy[2].tolist() == [columns.mean(), rows.mean()]


def test_the_old_name_warns_and_works():
    from histoscope import geometry

    with pytest.warns(DeprecationWarning, match="now histoscope.labels.centroids"):
        old = geometry.areas_and_centroids
    assert old is centroids
