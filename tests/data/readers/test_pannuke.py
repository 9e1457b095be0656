"""PanNuke as distributed: three folds, float64 arrays, ids that mean nothing outside their channel."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from histoscope import data
from histoscope.data.readers.pannuke import join_channels
from histoscope.errors import ConfigError, CorruptDataError, DataError, DatasetNotFoundError, ShapeError

SIDE = 256


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two patches a fold; id 4 is a neoplastic nucleus and, elsewhere, an epithelial one."""
    for fold in (1, 2, 3):
        images = tmp_path / f"Fold {fold}" / "images" / f"fold{fold}"
        masks = tmp_path / f"Fold {fold}" / "masks" / f"fold{fold}"
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        rng = np.random.default_rng(fold)
        np.save(images / "images.npy", rng.integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.float64))
        np.save(images / "types.npy", np.array(["Breast", "HeadNeck"]))
        np.save(masks / "masks.npy", _masks())
    return tmp_path


def _masks() -> np.ndarray:
    masks = np.zeros((2, SIDE, SIDE, 6))
    masks[:, 10:20, 10:20, 0] = 4
    masks[:, 40:50, 40:50, 4] = 4
    masks[:, 70:80, 70:80, 0] = 9
    masks[..., 5] = masks[..., :5].max(axis=3) == 0
    return masks


def test_an_id_in_two_channels_is_two_nuclei(root: Path) -> None:
    dataset = data.open("pannuke", root)
    sample = dataset[0]
    assert np.array_equal(sample.image, np.load(root / "Fold 1/images/fold1/images.npy")[0])
    places = [sample.instances[15, 15], sample.instances[45, 45], sample.instances[75, 75]]
    assert sorted(places) == [1, 2, 3]
    assert [dataset.info.classes[sample.classes[k]] for k in places] == [
        "neoplastic",
        "epithelial",
        "neoplastic",
    ]
    assert np.bincount(sample.instances.ravel())[1:].tolist() == [100, 100, 100]
    assert (sample.mpp, sample.name) == (0.25, "fold1_00000")
    assert dataset.verify() == []


def test_overlap_goes_to_the_later_channel_and_hidden_nuclei_are_reported(root: Path) -> None:
    masks = _masks()
    masks[1, 70:85, 70:85, 2] = 1  # covers the second neoplastic nucleus
    np.save(root / "Fold 1/masks/fold1/masks.npy", masks)
    dataset = data.open("pannuke", root)
    assert dataset[1].classes.tolist() == [0, 1, 3, 5]
    assert [(p.name, p.severity) for p in dataset.verify()] == [("fold1_00001", "warning")]


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.float64, (4, 5, 5), elements=st.integers(0, 3).map(float)))
def test_channels_are_joined_as_by_a_loop_over_pixels(masks: np.ndarray) -> None:
    instances, classes, hidden = join_channels(masks)
    top = [[max((c for c in range(5) if pixel[c]), default=-1) for pixel in row] for row in masks]
    pairs = {}
    for y in range(4):
        for x in range(5):
            c = top[y][x]
            assert (instances[y, x] == 0) == (c < 0)
            if c >= 0:
                assert pairs.setdefault(instances[y, x], (c, masks[y, x, c])) == (c, masks[y, x, c])
                assert classes[instances[y, x]] == c + 1
    assert len(set(pairs.values())) == len(pairs) == len(classes) - 1
    given_nuclei = {(c, v) for c in range(5) for v in np.unique(masks[..., c]) if v}
    assert hidden == len(given_nuclei) - len(pairs)


@pytest.mark.parametrize(
    ("split", "parts"),
    [(1, ["train", "val", "test"]), (2, ["val", "train", "test"]), (3, ["test", "val", "train"])],
)
def test_published_splits(root: Path, split: int, parts: list[str]) -> None:
    records = data.open("pannuke", root, split=split).records
    assert [record.split for record in records[::2]] == parts
    assert [record.group("fold") for record in records[::2]] == ["fold1", "fold2", "fold3"]
    assert [record.group("tissue") for record in records[:2]] == ["Breast", "HeadNeck"]


def test_one_fold_other_nestings_and_no_tissues(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert len(data.open("pannuke", root / "Fold 2")) == 2
    flat = tmp_path_factory.mktemp("flat") / "fold_3"
    flat.mkdir()
    for name in ("images/fold3/images.npy", "masks/fold3/masks.npy"):
        (root / "Fold 3" / name).rename(flat / name.rpartition("/")[2])
    records = data.open("pannuke", flat.parent).records
    assert (records[0].name, dict(records[0].tags)) == ("fold3_00000", {"fold": "fold3"})


def test_a_data_set_travels_to_other_processes_without_its_arrays(root: Path) -> None:
    dataset = data.open("pannuke", root)
    dataset[0]
    assert len(pickle.dumps(dataset)) < 20_000


def test_bad_arrays_are_named(root: Path, truncate: Callable[[Path], None]) -> None:
    images, masks = root / "Fold 1/images/fold1/images.npy", root / "Fold 1/masks/fold1/masks.npy"
    np.save(images, np.load(images) / 255)
    with pytest.raises(DataError, match="rescaled"):
        data.open("pannuke", root)[0]
    np.save(images, np.full((2, SIDE, SIDE, 3), 256.0))
    with pytest.raises(CorruptDataError, match="expected 0 to 255"):
        data.open("pannuke", root)[0]
    np.save(masks, _masks() - 1)
    assert len(data.open("pannuke", root).verify()) == 2
    np.save(masks, _masks()[:1])
    with pytest.raises(ShapeError, match="number of patches"):
        data.open("pannuke", root)
    np.save(masks, _masks()[..., :5])
    with pytest.raises(ShapeError, match="expected"):
        data.open("pannuke", root)
    truncate(masks)
    with pytest.raises(CorruptDataError, match=r"masks\.npy"):
        data.open("pannuke", root)
    masks.unlink()
    with pytest.raises(DatasetNotFoundError, match=r"fold 1 has .* but no masks\.npy"):
        data.open("pannuke", root)


def test_bad_folders_are_named(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ConfigError, match="split is 4"):
        data.open("pannuke", root, split=4)
    np.save(root / "Fold 1/images/fold1/types.npy", np.array(["Breast"]))
    with pytest.raises(ShapeError, match="1 tissues for 2"):
        data.open("pannuke", root)
    (root / "Fold 2").rename(root / "Fold 1 again")
    (root / "Fold 1 again/images/fold2").rename(root / "Fold 1 again/images/fold1")
    with pytest.raises(DataError, match="fold 1 is there twice"):
        data.open("pannuke", root)
    with pytest.raises(DatasetNotFoundError, match="no fold of PanNuke"):
        data.open("pannuke", tmp_path_factory.mktemp("empty"))
