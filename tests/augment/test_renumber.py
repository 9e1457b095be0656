import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.measure import label

from histoscope.augment.warp import renumber

maps = arrays(
    np.int32, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14), elements=st.integers(0, 3)
)


@given(maps)
def test_pieces_are_those_of_scikit_image(labels):
    ours, _ = renumber(labels, None, 1)
    theirs = label(labels, background=0, connectivity=2)  # neighbours of another id are not connected
    pairs = np.unique(np.stack([ours.ravel(), theirs.ravel()]), axis=1)
    assert len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]
    assert ours.max() == theirs.max()


@given(maps, st.integers(1, 6))
def test_small_pieces_vanish_and_the_rest_keep_their_class(labels, least):
    classes = np.array([0, 7, 8, 9], np.uint8)
    ours, kept = renumber(labels, classes, least)
    ids, areas = np.unique(ours[ours > 0], return_counts=True)
    assert ids.tolist() == list(range(1, len(kept)))
    assert areas.min(initial=least) >= least
    assert np.array_equal(kept[ours][ours > 0], classes[labels][ours > 0])


def test_the_map_itself_is_not_changed():
    labels = np.array([[4, 0], [0, 0]], np.int32)
    renumber(labels, None, 2)
    assert labels.tolist() == [[4, 0], [0, 0]]


def test_many_pieces_in_one_row_and_in_a_checkerboard():
    row = np.arange(1, 2001, dtype=np.int32)[None]
    assert np.array_equal(renumber(row, None, 1)[0], row)
    rows, columns = np.indices((60, 60))
    distinct = (rows * 60 + columns + 1).astype(np.int32)
    assert np.array_equal(renumber(distinct, None, 1)[0], distinct)
    assert renumber(((rows + columns) % 2).astype(np.int32), None, 1)[0].max() == 1  # corners touch
