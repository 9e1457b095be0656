"""Cohorts: patients differ, images of one patient do less, and all of it repeats."""

import itertools

import numpy as np
import pytest

from histoscope import synth
from histoscope.errors import ConfigError, UnknownNameError


def test_same_seed_gives_the_same_cohort() -> None:
    one, two = (synth.cohort(2, 2, shape_px=(48, 48), seed=3) for _ in range(2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, two, strict=True))
    other = synth.cohort(2, 2, shape_px=(48, 48), seed=4)
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(one, other, strict=True))


def test_names_patients_and_sources_are_set() -> None:
    samples = synth.cohort(2, [1, 3], shape_px=(16, 16), mpp=1.0)
    assert [s.name for s in samples] == ["p000_000", "p001_000", "p001_001", "p001_002"]
    assert [s.patient for s in samples] == ["p000", "p001", "p001", "p001"]
    assert len({s.source for s in samples}) == 2
    assert all(s.mpp == 1.0 for s in samples)


def test_an_image_does_not_depend_on_the_size_of_the_cohort() -> None:
    small = synth.cohort(1, 1, shape_px=(48, 48), seed=1)[0]
    large = synth.cohort(3, 2, shape_px=(48, 48), seed=1)[0]
    assert np.array_equal(small.image, large.image)


def test_stream_draws_only_what_is_taken() -> None:
    stream = synth.cohort_stream(10**6, 10, shape_px=(16, 16))
    assert len(list(itertools.islice(stream, 3))) == 3


def test_patients_differ_more_than_the_images_of_one() -> None:
    samples = synth.cohort(6, 4, shape_px=(160, 160), mpp=0.5, seed=0)
    means = np.array([s.image.mean(axis=(0, 1)) for s in samples]).reshape(6, 4, 3)
    assert means.mean(axis=1).std(axis=0).mean() > means.std(axis=1).mean() / 2
    assert means.mean(axis=1).std(axis=0).mean() > 3


def test_patients_take_turns_at_the_stains() -> None:
    samples = synth.cohort(4, 1, shape_px=(96, 96), stains=["pink", synth.STAINS["blue"]])
    red = [s.image[..., 0].mean() for s in samples]
    assert min(red[0], red[2]) > max(red[1], red[3])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"n_patients": 0}, ConfigError, "n_patients"),
        ({"images_per_patient": 0}, ConfigError, "images_per_patient"),
        ({"images_per_patient": [1, 2, 3]}, ConfigError, "or 2 of them"),
        ({"stains": []}, ConfigError, "purple"),
        ({"stains": "purpel"}, UnknownNameError, "did you mean 'purple'"),
    ],
)
def test_wrong_arguments_are_refused_before_drawing(arguments: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        synth.cohort_stream(**{"n_patients": 2, "images_per_patient": 1, **arguments})
