"""Lizard as distributed: two image archives, rows of classes in their own order, folds from a table."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy.io import savemat

from histoscope import data
from histoscope.errors import ConfigError, CorruptDataError, DataError, DatasetNotFoundError, ShapeError
from histoscope.types import Sample

NAMES = ["consep_1", "crag_2", "glas_3"]
ORDER = np.array([4, 2, 5, 1, 3])  # the id of each row
TYPES = np.array([6, 1, 2, 5, 2])  # the class of each row: nucleus 1 is a 5, 2 a 1, 3 a 2, 4 a 6, 5 a 2


@pytest.fixture
def root(tmp_path: Path, tile: Callable[..., Sample]) -> Path:
    """The three archives, each unpacked in a folder of its own name."""
    labels = tmp_path / "lizard_labels" / "Lizard_Labels"
    (labels / "Labels").mkdir(parents=True)
    (tmp_path / "overlay" / "Overlay").mkdir(parents=True)
    for k, name in enumerate(NAMES):
        number = 1 if name.startswith("c") else 2
        folder = tmp_path / f"lizard_images{number}" / f"Lizard_Images{number}"
        folder.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(tile(k).image).save(folder / f"{name}.png")
        Pillow.fromarray(tile(k).image).save(tmp_path / "overlay" / "Overlay" / f"{name}.png")
        _write(labels / "Labels" / f"{name}.mat", tile(k).instances)
    rows = [f"{name},{name.split('_')[0]},{k + 1}" for k, name in enumerate(NAMES)]
    (labels / "info.csv").write_text("\n".join(["Filename,Source,Split", *rows]))
    return tmp_path


def _write(path: Path, instances: np.ndarray, **changes: np.ndarray) -> None:
    variables = {
        "inst_map": instances.astype(np.int32),
        "id": ORDER[:, None].astype(np.int32),
        "class": TYPES[:, None].astype(np.int32),
        "bbox": np.zeros((5, 4), np.int32),
        "centroid": np.zeros((5, 2)),
    } | changes
    savemat(path, variables)


def test_classes_follow_the_ids_and_not_the_rows(root: Path, tile: Callable[..., Sample]) -> None:
    dataset = data.open("lizard", root)
    assert [r.name for r in dataset.records] == NAMES
    sample = dataset[0]
    assert np.array_equal(sample.instances, tile(0).instances)
    assert np.array_equal(sample.image, tile(0).image)
    assert sample.classes.tolist() == [0, 5, 1, 2, 6, 2]
    assert (sample.mpp, sample.source, dataset.info.classes[6]) == (0.5, "consep_1", "connective")
    assert dataset.verify() == []


def test_folds(root: Path) -> None:
    assert [r.split for r in data.open("lizard", root).records] == ["train", "train", "test"]
    records = data.open("lizard", root, test_fold=1).records
    assert [(r.split, r.group("fold"), r.group("cohort")) for r in records] == [
        ("test", "1", "consep"),
        ("train", "2", "crag"),
        ("train", "3", "glas"),
    ]
    with pytest.raises(ConfigError, match="test_fold is 0"):
        data.open("lizard", root, test_fold=0)
    (root / "lizard_labels" / "Lizard_Labels" / "info.csv").unlink()
    assert {r.split for r in data.open("lizard", root).records} == {""}


def test_one_nucleus_and_none(root: Path) -> None:
    labels = root / "lizard_labels" / "Lizard_Labels" / "Labels"
    one = np.zeros((48, 64), np.int32)
    one[4:9, 4:9] = 7
    _write(labels / "consep_1.mat", one, id=np.array(7), **{"class": np.array(3)})
    empty = np.zeros((0, 1))
    _write(labels / "crag_2.mat", np.zeros((48, 64)), id=empty, **{"class": empty})
    dataset = data.open("lizard", root)
    assert dataset[0].classes.tolist() == [0, 3]
    assert dataset[1].classes.tolist() == [0]


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"class": np.full((5, 1), 7)}, DataError, "class 7, expected 0 to 6"),
        ({"class": np.ones((4, 1))}, DataError, "5 rows of id and 4 of class"),
        ({"id": np.ones((5, 1))}, DataError, "one of each per nucleus"),
        ({"id": np.array([1, 2, 3, 4, 9])}, DataError, "nucleus 5 of inst_map"),
        ({"inst_map": np.ones((9, 9))}, ShapeError, "same height and width"),
    ],
)
def test_bad_labels_are_named(
    root: Path,
    tile: Callable[..., Sample],
    changes: dict[str, np.ndarray],
    error: type[Exception],
    match: str,
) -> None:
    _write(root / "lizard_labels/Lizard_Labels/Labels/consep_1.mat", tile(0).instances, **changes)
    with pytest.raises(error, match=match):
        data.open("lizard", root)[0]


def test_missing_and_truncated(root: Path, truncate: Callable[[Path], None]) -> None:
    labels = root / "lizard_labels" / "Lizard_Labels" / "Labels"
    truncate(labels / "consep_1.mat")
    (labels / "crag_2.mat").unlink()
    dataset = data.open("lizard", root)
    with pytest.raises(CorruptDataError, match="consep_1"):
        dataset[0]
    with pytest.raises(DatasetNotFoundError, match="crag_2"):
        dataset[1]
