import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscope.balance import class_counts, class_pixels
from histoscope.errors import DataError
from histoscope.types import Sample


def sample(labels, classes, name="a"):
    labels = None if labels is None else np.asarray(labels, np.int32)
    shape = (3, 4) if labels is None else labels.shape
    classes = None if classes is None else np.asarray(classes, np.uint8)
    return Sample(np.zeros((*shape, 3), np.uint8), 0.5, labels, classes, name=name)


SAMPLES = st.lists(
    st.builds(
        sample,
        arrays(np.int32, (3, 4), elements=st.integers(0, 5)),
        st.none() | arrays(np.uint8, 6, elements=st.integers(0, 3)),
    ),
    max_size=4,
)


@given(SAMPLES)
def test_counts_and_pixels_equal_a_loop(samples):
    counts, pixels = [0] * 4, []
    for each in samples:
        row = [0] * 4
        row[0] += int((each.instances == 0).sum())
        for k in set(each.instances.ravel().tolist()) - {0}:
            kind = 0 if each.classes is None else int(each.classes[k])
            counts[kind] += 1
            row[kind] += int((each.instances == k).sum())
        pixels.append(row)
    assert class_counts(samples, n_classes=3).tolist() == counts
    assert class_pixels(samples, n_classes=3).tolist() == pixels


def test_the_number_of_classes_is_found_where_it_is_not_told():
    samples = [sample([[1, 1, 0]], [0, 1]), sample([[1, 2, 2]], [0, 0, 3]), sample(None, None)]
    assert class_counts(samples).tolist() == [1, 1, 0, 1]
    assert class_pixels(samples).tolist() == [[1, 2, 0, 0], [1, 0, 0, 2], [12, 0, 0, 0]]
    assert class_counts([]).tolist() == [0]
    assert class_pixels([], n_classes=2).shape == (0, 3)


def test_entries_of_ids_that_do_not_occur_are_not_counted():
    assert class_counts([sample([[0, 2]], [7, 9, 1, 9])], n_classes=1).tolist() == [0, 1]
    assert class_pixels([sample([[0, 2]], [7, 9, 1, 9])], n_classes=1).tolist() == [[1, 1]]


def test_a_class_beyond_the_last_is_refused():
    bad = sample([[1]], [0, 5], name="odd")
    for count in (class_counts, class_pixels):
        with pytest.raises(DataError, match="'odd' has nuclei of class 5; expected at most 4"):
            count([bad], n_classes=4)
