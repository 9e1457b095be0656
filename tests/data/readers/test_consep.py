"""CoNSeP as distributed: Train and Test, float64 maps, seven classes or four."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy.io import savemat

from histoscope import data
from histoscope.errors import CorruptDataError, DataError, DatasetNotFoundError, ShapeError
from histoscope.types import Sample

RAW = np.array([0, 1, 3, 4, 6, 7])


@pytest.fixture
def root(tmp_path: Path, tile: Callable[..., Sample]) -> Path:
    """Two training tiles and a test tile, RGBA with an empty fourth channel, five nuclei each."""
    folder = tmp_path / "CoNSeP"
    for k, (part, name) in enumerate([("Train", "train_1"), ("Train", "train_2"), ("Test", "test_1")]):
        sample = tile(k)
        for kind in ("Images", "Labels", "Overlay"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
        pixels = np.concatenate([sample.image, np.zeros((*sample.image.shape[:2], 1), np.uint8)], axis=2)
        Pillow.fromarray(pixels).save(folder / part / "Images" / f"{name}.png")
        Pillow.fromarray(pixels).save(folder / part / "Overlay" / f"{name}.png")
        _write(folder / part / "Labels" / f"{name}.mat", sample.instances)
    return folder


def _write(path: Path, instances: np.ndarray, raw: np.ndarray = RAW, **changes: object) -> None:
    variables = {
        "inst_map": instances.astype(np.float64),
        "type_map": raw[np.minimum(instances, len(raw) - 1)].astype(np.float64),
        "inst_type": raw[1:, None].astype(np.float64),
        "inst_centroid": np.ones((5, 2)),
    } | changes
    savemat(path, {key: value for key, value in variables.items() if value is not None})


def test_tiles_parts_and_merged_classes(root: Path, tile: Callable[..., Sample]) -> None:
    dataset = data.open("consep", root)
    assert [(r.name, r.split, r.source) for r in dataset.records] == [
        ("test_1", "test", "test_1"),
        ("train_1", "train", "train_1"),
        ("train_2", "train", "train_2"),
    ]
    sample, drawn = dataset[1], tile(0)
    assert np.array_equal(sample.image, drawn.image)  # the empty fourth channel did not turn it white
    assert np.array_equal(sample.instances, drawn.instances)
    assert sample.classes.tolist() == [0, 1, 3, 3, 4, 4]
    assert (sample.mpp, dataset.info.classes[4], len(dataset.info.classes)) == (0.25, "spindle", 4)
    assert dataset.verify() == []


def test_raw_classes(root: Path) -> None:
    dataset = data.open("consep", root, merge=False)
    assert dataset[0].classes.tolist() == RAW.tolist()
    assert dataset.info.classes[7] == "endothelial"


def test_gaps_in_ids_are_closed_and_classes_follow(root: Path, tile: Callable[..., Sample]) -> None:
    instances = tile(0).instances.copy()
    instances[instances == 2] = 0
    raw = np.array([0, 1, 3, 4, 6, 7])
    _write(root / "Train" / "Labels" / "train_1.mat", instances, raw)
    sample = data.open("consep", root)[1]
    assert sample.instances.max() == 4
    assert sample.classes.tolist() == [0, 1, 3, 4, 4]


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"type_map": np.full((48, 64), 8.0)}, DataError, "class 8, expected 0 to 7"),
        ({"type_map": np.ones((9, 9))}, ShapeError, "type_map is"),
        ({"type_map": np.full((48, 64), 0.5)}, ShapeError, "fractions"),
        ({"inst_map": np.ones((9, 9)), "type_map": np.ones((9, 9))}, ShapeError, "same height and width"),
        ({"type_map": None}, DataError, "no variable 'type_map'"),
        ({"inst_map": None}, DataError, "no variable 'inst_map'"),
        ({"inst_map": np.full((48, 64), -1.0)}, ShapeError, "ids from 0"),
    ],
)
def test_bad_labels_are_named(
    root: Path, tile: Callable[..., Sample], changes: dict[str, object], error: type[Exception], match: str
) -> None:
    _write(root / "Train" / "Labels" / "train_1.mat", tile(0).instances, **changes)
    dataset = data.open("consep", root)
    with pytest.raises(error, match=match):
        dataset[1]
    assert [(p.name, p.severity) for p in dataset.verify()] == [("train_1", "error")]


def test_missing_and_truncated_labels(root: Path, truncate: Callable[[Path], None]) -> None:
    labels = root / "Train" / "Labels"
    truncate(labels / "train_1.mat")
    (labels / "train_2.mat").rename(labels / "train_9.mat")
    dataset = data.open("consep", root)
    with pytest.raises(CorruptDataError, match="train_1"):
        dataset[1]
    with pytest.raises(DatasetNotFoundError, match="train_2"):
        dataset[2]
    assert [(p.name, p.severity) for p in dataset.verify()] == [
        ("train_1", "error"),
        ("train_2", "error"),
        ("train_9", "warning"),
    ]


def test_no_tiles(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"no images in .*consep.*warwick"):
        data.open("consep", tmp_path)
