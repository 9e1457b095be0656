"""Classes by majority, counts, and what can be wrong with one sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscope.data import Datasheet, InMemory
from histoscope.data.base import classes_of, count_records
from histoscope.data.checks import check_sample
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
        ([[0, 0]], None, "warning", "no nuclei"),
        ([[0, 3]], None, "warning", "2 ids up to 3"),
        ([[0, 1]], [0, 0], "warning", "1 nuclei have no class"),
    ],
)
def test_problems_of_labels(instances: list, classes: list | None, severity: str, says: str) -> None:
    sample = _sample(np.array(instances), None if classes is None else np.array(classes, np.uint8))
    (problem,) = check_sample(sample)
    assert (problem.severity, says in problem.message) == (severity, True)


def _mask(value: int, shape: tuple[int, int] = (200, 200), pitch: int = 20) -> np.ndarray:
    mask = np.zeros(shape, np.int32)
    for row in range(5, shape[0] - 10, pitch):
        for column in range(5, shape[1] - 10, pitch):
            mask[row : row + 10, column : column + 10] = value
    return mask


@pytest.mark.parametrize("value", [1, 255, 7])
def test_a_mask_is_no_instance_map(value: int) -> None:
    (problem,) = check_sample(_sample(_mask(value)))
    assert problem.severity == "error"
    assert f"one nucleus of 10000 pixels in 100 pieces (id {value})" in problem.message
    assert "binary mask" in problem.message


@pytest.mark.parametrize("number", [1, 255])
def test_background_with_a_number_is_an_error(number: int) -> None:
    labels = np.arange(2, 102).repeat(100).reshape(100, 100).astype(np.int32) * (_mask(1, (100, 100), 25) > 0)
    labels[labels == 0] = number
    (problem,) = check_sample(_sample(labels))
    assert (problem.severity, f"id {number} covers" in problem.message) == ("error", True)
    inner = np.zeros((40, 40), np.int32)
    inner[:, 4:36] = 1  # a large nucleus, which touches three edges at most
    assert check_sample(_sample(inner)) == []


def test_one_nucleus_in_two_pieces_is_told_but_may_be_right() -> None:
    mask = _mask(1, (60, 30))
    mask[40:] = 0
    (problem,) = check_sample(_sample(mask))
    assert (problem.severity, "in 2 pieces" in problem.message) == ("warning", True)
    mask[20:] = 0
    assert check_sample(_sample(mask)) == []


def test_a_class_map_in_place_of_labels(rng: np.random.Generator) -> None:
    mask = _mask(1)
    mask[:, 100:] *= 2
    (problem,) = check_sample(_sample(mask))
    assert (problem.severity, "map of classes" in problem.message) == ("error", True)
    noise = rng.integers(0, 255, (60, 60))
    assert "damaged label map" in check_sample(_sample(noise))[0].message


def test_one_nucleus_of_many_in_pieces_is_a_warning() -> None:
    from skimage.measure import label

    labels = label(_mask(1)).astype(np.int32)
    labels[np.isin(labels, [3, 17, 40, 60, 90])] = 3
    problems = {problem.severity: problem.message for problem in check_sample(_sample(labels))}
    assert "1 of 96 nuclei are in 5 or more pieces (id 3: 500 pixels in 5 pieces)" in problems["warning"] or (
        "ids have gaps" in problems["warning"]
    )
    assert set(problems) == {"warning"}


def test_classes_that_no_file_names() -> None:
    sample = _sample(np.array([[1, 2, 3, 0]]), np.array([0, 1, 9, 255], np.uint8))
    found = check_sample(sample, {1: "epithelial", 2: "inflammatory"})
    assert [problem.severity for problem in found] == ["error", "error"]
    assert (
        "1 nucleus of class 9, which the datasheet does not name; it names 1: epithelial" in found[0].message
    )
    assert check_sample(sample, {}) == []


@pytest.mark.parametrize(
    ("classes", "names", "says"),
    [
        ([0, 1, 2, 1], {}, "nuclei have the classes 1, 2, and no file names them"),
        ([0, 0, 1, 1], {1: "a", 2: "b"}, "do the class maps count from 0?"),
        ([0, 1, 2, 1], {0: "background", 1: "a", 2: "b"}, None),
        ([0, 1, 1, 1], {1: "a", 2: "b"}, None),
    ],
)
def test_classes_of_a_whole_data_set(classes: list[int], names: dict[int, str], says: str | None) -> None:
    sample = _sample(np.array([[1, 2, 3, 0]]), np.array(classes, np.uint8))
    found = [p.message for p in InMemory.of([sample], Datasheet("x", classes=names, mpp=1)).verify()]
    assert any(says in text for text in found) if says else found == []


def test_memory_that_ends_is_a_problem_of_that_sample() -> None:
    class Short(InMemory):
        def __getitem__(self, index: int) -> Sample:
            raise MemoryError

    (problem,) = Short(Datasheet("x", mpp=1), [Record("a")], []).verify()
    assert (problem.name, problem.message) == ("a", "not enough memory to read it (out of memory)")


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
