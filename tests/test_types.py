"""Samples refuse arrays that do not fit together, and are never changed in place."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from histoscope.errors import ShapeError
from histoscope.types import Nuclei, Record, Sample

IMAGE = np.zeros((6, 8, 3), np.uint8)
LABELS = np.zeros((6, 8), np.int32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": np.zeros((6, 8), np.uint8)}, r"image is \(6, 8\) uint8, expected \(H, W, 3\)"),
        ({"image": np.zeros((6, 8, 4), np.uint8)}, r"\(6, 8, 4\)"),
        ({"image": np.zeros((6, 8, 3), np.float32)}, "float32"),
        ({"mpp": 0.0}, "mpp is 0.0"),
        ({"mpp": -0.5}, "mpp is -0.5"),
        ({"mpp": float("nan")}, "mpp is nan"),
        ({"mpp": float("inf")}, "mpp is inf"),
        ({"mpp": "0.25"}, "mpp is 0.25, expected"),
        ({"mpp": True}, "mpp is True"),
        ({"image": [[[1, 2, 3]]]}, "image is list"),
        ({"instances": np.zeros((8, 6), np.int32)}, r"label map is \(8, 6\), its image \(6, 8\)"),
        ({"instances": LABELS.astype(np.int64)}, r"\(6, 8\) int64, expected \(H, W\) int32.*astype"),
        ({"instances": LABELS.astype(float)}, "float64"),
        ({"instances": LABELS.astype(bool)}, "bool"),
        ({"instances": LABELS[..., None]}, r"\(6, 8, 1\)"),
        ({"instances": LABELS - 1}, "negative id -1"),
        (
            {"instances": np.full_like(LABELS, 2**31 - 1)},
            "id 2147483647, expected ids up to 20000000.*compact",
        ),
        ({"instances": LABELS, "classes": np.zeros(1, np.int64)}, r"classes are \(1,\) int64"),
        ({"instances": LABELS, "classes": np.zeros((1, 1), np.uint8)}, r"classes are \(1, 1\) uint8"),
        ({"instances": LABELS, "classes": np.zeros(0, np.uint8)}, "0 class entries"),
        ({"label": -1}, "label is -1"),
        ({"label": 1.0}, "label is 1.0"),
        (
            {"instances": LABELS + 3, "classes": np.zeros(3, np.uint8)},
            "3 class entries for .* up to 3",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change: dict, words: str) -> None:
    good = {"image": IMAGE, "mpp": 0.25, "name": "a01"}
    Sample(**good)
    with pytest.raises(ShapeError, match=words) as caught:
        Sample(**{**good, **change})
    assert "'a01'" in str(caught.value)


def test_an_image_without_nuclei_is_a_sample() -> None:
    sample = Sample(IMAGE, 0.25, LABELS, np.zeros(1, np.uint8))
    assert sample.instances is not None


def test_samples_are_frozen(disks: Sample) -> None:
    with pytest.raises(FrozenInstanceError):
        disks.mpp = 1.0
    assert replace(disks, mpp=0.5).mpp == 0.5
    assert disks.mpp == 0.25


def test_groups_of_a_record() -> None:
    record = Record("a", patient="p1", source="s1", split="train", tags={"organ": "colon"})
    groups = {key: record.group(key) for key in ("name", "patient", "source", "split", "organ", "site")}
    assert groups == {
        "name": "a",
        "patient": "p1",
        "source": "s1",
        "split": "train",
        "organ": "colon",
        "site": "",
    }


def test_records_share_no_tags() -> None:
    assert Record("a").tags == {}
    with pytest.raises(TypeError):
        Record("a").tags["x"] = "y"


def test_nuclei_count_their_rows() -> None:
    empty = Nuclei(np.zeros((0, 2), np.float32), np.zeros(0, np.uint8), np.zeros(0, np.float32), LABELS, 0.25)
    assert len(empty) == 0
