"""A label map that is turned, flipped or shifted against its image is found; one that lies well is not."""

from collections.abc import Callable

import numpy as np
import pytest

from histoscope.data.alignment import misplaced
from histoscope.data.checks import check_sample
from histoscope.types import Image, Labels, Sample


def _tissue(seed: int = 0, shape: tuple[int, int] = (160, 160), n: int = 30) -> tuple[Image, Labels]:
    """Pale and dark ovals on mottled pink, a few of them with no label, as annotators leave them."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    image = np.kron(rng.normal(0, 12, (shape[0] // 8, shape[1] // 8)), np.ones((8, 8)))[..., None]
    image = image + np.array((225, 180, 205))
    labels = np.zeros(shape, np.int32)
    for number in range(1, n + 1):
        row, column = rng.uniform(5, shape[0] - 5), rng.uniform(5, shape[1] - 5)
        a, b = rng.uniform(4, 9, 2)
        inside = ((rows - row) / a) ** 2 + ((columns - column) / b) ** 2 <= 1
        image[inside] -= rng.uniform(40, 110)
        if number % 5:
            labels[inside] = number
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8), labels


@pytest.mark.parametrize("seed", range(8))
def test_labels_that_lie_well_raise_no_alarm(seed: int) -> None:
    image, labels = _tissue(seed)
    assert misplaced(image, labels) is None
    assert misplaced(image, np.roll(labels, (1, -2), (0, 1))) is None
    few = np.where(labels <= 3, labels, 0).astype(np.int32)
    assert misplaced(image, few) is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (np.rot90, "turned 270°"),
        (lambda x: np.rot90(x, 2), "turned 180°"),
        (lambda x: np.rot90(x, 3), "turned 90°"),
        (lambda x: x[:, ::-1], "flipped left to right"),
        (lambda x: x[::-1], "flipped left to right, turned 180°"),
        (lambda x: x.T, "flipped left to right, turned"),
        (lambda x: np.roll(x, 8, 0), "moved -8 px down"),
        (lambda x: np.roll(x, (-12, 20), (0, 1)), "moved 12 px down and -20 px to the right"),
    ],
)
def test_turns_flips_and_shifts_are_named(seed: int, change: Callable[[Labels], Labels], says: str) -> None:
    image, labels = _tissue(seed)
    found = misplaced(image, np.ascontiguousarray(change(labels)))
    assert found is not None
    assert says in str(found)


@pytest.mark.parametrize("seed", range(4))
def test_a_shift_by_six_pixels_is_found(seed: int) -> None:
    image, labels = _tissue(seed)
    assert misplaced(image, np.roll(labels, 6, 1)) is not None


def test_bright_nuclei_on_a_dark_ground_are_judged_alike() -> None:
    image, labels = _tissue()
    assert misplaced(255 - image, labels) is None
    assert misplaced(255 - image, np.rot90(labels).copy()) is not None


def test_what_shows_too_little_is_passed(rng: np.random.Generator) -> None:
    noise = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    labels = np.zeros((64, 64), np.int32)
    assert misplaced(noise, labels) is None
    labels[4:12, 4:12], labels[40:50, 30:40] = 1, 2
    assert misplaced(noise, labels) is None
    assert misplaced(np.full((64, 64, 3), 240, np.uint8), labels) is None
    assert misplaced(noise[:1, :1], labels[:1, :1] + 1) is None


@pytest.mark.parametrize("seed", range(4))
def test_labels_of_another_image_are_told(seed: int) -> None:
    image, labels = _tissue(seed)[0], _tissue(seed + 100)[1]
    found = misplaced(image, labels)
    assert found is not None
    assert found.best is None
    assert not found.sure
    assert "from another image" in str(found)


def test_noise_and_plain_images_are_of_no_image(rng: np.random.Generator) -> None:
    labels = _tissue()[1]
    noise = rng.integers(0, 255, (160, 160, 3), dtype=np.uint8)
    assert misplaced(noise, labels) is None
    assert misplaced(np.full_like(noise, 200), labels) is None


def test_oblong_tiles_are_tried_in_the_turns_that_fit() -> None:
    image, labels = _tissue(shape=(96, 160), n=20)
    assert misplaced(image, labels) is None
    found = misplaced(image, labels[::-1, ::-1].copy())
    assert found is not None
    assert found.best is not None
    assert (found.best.turns, found.best.flipped) == (2, False)


def test_verify_names_the_tile() -> None:
    image, labels = _tissue()
    (problem,) = [
        problem
        for problem in check_sample(Sample(image, 0.25, np.rot90(labels).copy(), name="t7"))
        if "gaps" not in problem.message
    ]
    assert (problem.name, problem.severity) == ("t7", "error")
    assert "does not match the nuclei" in problem.message
