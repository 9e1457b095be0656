"""Classes by majority, counts, and what can be wrong with one sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscope.data import Datasheet, InMemory
from histoscope.data.base import check_sample, classes_of, count_records
from histoscope.types import Record, Sample


@given(st.data())
def test_class_is_the_commonest_in_the_pixels(data: st.DataObject) -> None:
    instances = data.draw(arrays(np.int32, (5, 6), elements=st.integers(0, 6)))
    class_map = data.draw(arrays(np.int32, (5, 6), elements=st.integers(0, 4)))
    classes = classes_of(instances, class_map)
    assert classes.dtype == np.uint8
    assert len(classes) == instances.max() + 1
    assert classes[0] == 0
    for number in range(1, len(classes)):
        votes = [int((class_map[instances == number] == kind).sum()) for kind in range(1, 5)]
        assert classes[number] == (votes.index(max(votes)) + 1 if max(votes) else 0)


def test_counts_leave_out_what_is_not_known() -> None:
    assert count_records([]) == {"images": 0}
    records = [Record("a", tags={"n_nuclei": "3"}), Record("b", patient="p", tags={"n_nuclei": ""})]
    assert count_records(records) == {"images": 2, "patients": 1}


def _sample(instances: np.ndarray, classes: np.ndarray | None = None) -> Sample:
    image = np.zeros((*instances.shape, 3), np.uint8)
    image[0, 0] = 9
    return Sample(image=image, mpp=1, instances=instances.astype(np.int32), classes=classes, name="s")


@pytest.mark.parametrize(
    ("instances", "classes", "severity", "says"),
    [
        ([[0, -1]], None, "error", "negative id -1"),
        ([[0, 0]], None, "warning", "no nuclei"),
        ([[0, 3]], None, "warning", "2 ids up to 3"),
        ([[0, 1]], [0, 0], "warning", "1 nuclei have no class"),
    ],
)
def test_problems_of_labels(instances: list, classes: list | None, severity: str, says: str) -> None:
    sample = _sample(np.array(instances), None if classes is None else np.array(classes, np.uint8))
    (problem,) = check_sample(sample)
    assert (problem.severity, says in problem.message) == (severity, True)


def test_blank_image_is_a_warning() -> None:
    (problem,) = check_sample(Sample(image=np.full((2, 2, 3), 255, np.uint8), mpp=1, name="s"))
    assert (problem.severity, problem.message) == ("warning", "every pixel of the image is 255")


def test_good_sample_has_no_problem() -> None:
    assert check_sample(_sample(np.array([[0, 1], [2, 2]]), np.array([0, 1, 2], np.uint8))) == []


def test_verify_tells_its_progress_and_never_raises() -> None:
    class Broken(InMemory):
        def __getitem__(self, index: int) -> Sample:
            raise OSError("input/output error")

    seen: list[tuple[int, int]] = []
    dataset = Broken(Datasheet("x", mpp=1), [Record("a"), Record("b")], [])
    problems = dataset.verify(progress=lambda done, total: seen.append((done, total)))
    assert [problem.message for problem in problems] == ["input/output error"] * 2
    assert seen == [(1, 2), (2, 2)]
