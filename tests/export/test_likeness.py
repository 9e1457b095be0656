"""Images of another laboratory look unlike those that classes were learned from; those of the same do not."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from histoscope import synth
from histoscope.errors import CorruptDataError
from histoscope.export import likeness
from histoscope.export.likeness import Likeness
from histoscope.types import Nuclei


def pairs(samples):
    return [(sample.image, Nuclei.from_labels(sample.instances, mpp=sample.mpp)) for sample in samples]


@pytest.fixture(scope="module")
def cohort():
    return synth.cohort(10, 1, shape_px=(256, 256), mpp=0.5, stains=("default",), seed=0)


@pytest.fixture(scope="module")
def looks(cohort):
    found = likeness.learned(pairs(cohort[:7]), pairs(cohort[7:9]), 0.5)
    assert found is not None
    return found


def test_the_same_laboratory_is_within_the_limit_and_another_beyond(cohort, looks):
    assert looks.images == 7
    same = [looks.unlike(*pair) for pair in pairs(cohort)]
    assert max(same[:9]) <= 1.1
    bleached = [(255 - (255 - image) // 2, nuclei) for image, nuclei in pairs(cohort)]
    assert min(looks.unlike(*pair) for pair in bleached) > 1.5 * max(same)


def test_the_farthest_held_out_image_sets_the_limit(cohort):
    plain = likeness.learned(pairs(cohort[:7]), [], 0.5)
    far = [replace(cohort[8], image=255 - (255 - cohort[8].image) // 2)]
    wide = likeness.learned(pairs(cohort[:7]), pairs(far), 0.5)
    assert wide.limit > plain.limit
    assert wide.mean == plain.mean
    assert wide.spread == plain.spread


def test_another_resolution_changes_little(cohort, looks):
    sample = cohort[9]
    image = cv2.resize(sample.image, (512, 512), interpolation=cv2.INTER_LINEAR)
    labels = cv2.resize(sample.instances, (512, 512), interpolation=cv2.INTER_NEAREST)
    finer = looks.unlike(image, Nuclei.from_labels(labels, mpp=0.25))
    assert finer == pytest.approx(looks.unlike(*pairs([sample])[0]), rel=0.25)


def test_few_nuclei_say_nothing(looks):
    bare = np.full((256, 256, 3), 240, np.uint8)
    assert np.isnan(looks.unlike(bare, Nuclei.from_labels(np.zeros((256, 256), np.int32), mpp=0.5)))
    assert likeness.learned(pairs(synth.cohort(2, 1, shape_px=(128, 128), mpp=0.5, seed=0)), [], 0.5) is None


def test_a_card_keeps_it_in_few_bytes(looks):
    import json

    text = json.dumps(looks.to_dict())
    assert len(text) < 10_000
    assert Likeness.of_card(json.loads(text)) == looks
    assert Likeness.of_card(json.loads(text) | {"name": "lab"}) == looks
    assert Likeness.of_card(None) is None


@pytest.mark.parametrize(
    "change", [{"limit": 0.0}, {"mean": [1.0]}, {"spread": None}, {"spread": [[-1.0] * 14] * 14}]
)
def test_a_broken_one_is_refused(looks, change):
    with pytest.raises(CorruptDataError, match="likeness"):
        Likeness.of_card(looks.to_dict() | change)
    with pytest.raises(CorruptDataError, match="likeness"):
        Likeness.of_card({"name": "lab"})


def test_windows_of_a_large_image_are_few(looks, monkeypatch):
    asked = []
    side = round(likeness.WINDOW_UM / 0.5)
    nuclei = Nuclei.from_labels(np.zeros((16 * side, 16 * side), np.int32), mpp=0.5)
    monkeypatch.setattr(likeness, "_described", lambda *_: asked.append(1))
    assert likeness.described(np.zeros((16 * side, 16 * side, 3), np.uint8), nuclei, 0.5).shape == (0, 14)
    assert len(asked) == likeness.MOST_WINDOWS


def test_windows_that_are_all_alike_have_a_distance():
    """Their covariance has no inverse by itself, and training must not end by it."""
    from histoscope.export.likeness import _distance, _fitted

    rows = [np.tile(np.linspace(-1, 1, 14), (2, 1)) for _ in range(3)]
    rows[0] = rows[0] + np.linspace(0, 1e-9, 14)
    mean, inverse = _fitted(rows, inverted=True)
    assert 0 <= _distance(rows[0], mean, inverse) < 1
    assert _distance(rows[0] + 1.0, mean, inverse) > 100
