"""Data Science Bowl 2018 as distributed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from histoscope import data
from histoscope.errors import DataError, DatasetNotFoundError, ShapeError
from histoscope.files import read_labels, write_labels


def _first(root: Path) -> Path:
    return root / "stage1_train" / f"{0:064x}"


def test_reads_masks_as_instances(dsb_tree: Path) -> None:
    dataset = data.open("dsb2018", dsb_tree, mpp=0.5)
    assert [record.split for record in dataset.records] == ["test", "train", "train"]
    sample = dataset[1]
    assert sample.instances.max() == 5
    assert np.array_equal(sample.instances == 3, read_labels(_first(dsb_tree) / "masks" / "mask3.png") > 0)
    assert dataset[0].instances is None
    assert dataset.verify() == []


def test_root_may_be_the_inner_folder(dsb_tree: Path) -> None:
    assert len(data.open("dsb2018", dsb_tree / "stage1_train", mpp=0.5)) == 2


def test_mpp_is_not_published(dsb_tree: Path) -> None:
    with pytest.raises(DataError, match="--mpp"):
        data.open("dsb2018", dsb_tree)


def test_mask_of_another_size(dsb_tree: Path) -> None:
    write_labels(_first(dsb_tree) / "masks" / "mask9.png", np.full((5, 5), 255, np.int32))
    dataset = data.open("dsb2018", dsb_tree, mpp=0.5)
    with pytest.raises(ShapeError, match=r"mask9\.png"):
        dataset[1]
    assert [problem.severity for problem in dataset.verify()] == ["error"]


def test_shared_pixels_belong_to_the_first_mask(dsb_tree: Path) -> None:
    first = read_labels(_first(dsb_tree) / "masks" / "mask1.png") > 0
    y, x = np.argwhere(first)[0]
    mask = np.zeros((48, 64), np.int32)
    mask[0, 0] = mask[y, x] = 255
    write_labels(_first(dsb_tree) / "masks" / "mask9.png", mask)
    dataset = data.open("dsb2018", dsb_tree, mpp=0.5)
    instances = dataset[1].instances
    assert (instances[0, 0], instances[y, x]) == (6, 1)
    assert [problem.message for problem in dataset.verify()] == ["1 pixels lie in more than one mask"]


def test_no_masks_no_image_and_truncated_image(dsb_tree: Path, truncate: Callable[[Path], None]) -> None:
    for path in (_first(dsb_tree) / "masks").iterdir():
        path.unlink()
    truncate(next((dsb_tree / "stage1_test").glob("*/images/*.png")))
    next((dsb_tree / "stage1_train" / f"{1:064x}" / "images").iterdir()).unlink()
    problems = data.open("dsb2018", dsb_tree, mpp=0.5).verify()
    assert [(int(p.name, 16), p.severity) for p in problems] == [(2, "error"), (0, "warning"), (1, "error")]


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="BBBC038"):
        data.open("dsb2018", tmp_path, mpp=0.5)
