"""CoNIC as distributed: two arrays, uint16 ids, and the baseline's split, draw for draw."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedShuffleSplit

from histoscope import data
from histoscope.data.readers.conic import baseline_split
from histoscope.errors import ConfigError, CorruptDataError, DataError, DatasetNotFoundError, ShapeError

COHORTS = ("consep", "crag", "dpath", "glas", "pannuke")
N = 50


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Fifty patches of 25 sources, five cohorts; nuclei with ids 255, 256, 60,000 of classes 1, 6, 2."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (N, 256, 256, 3), dtype=np.uint8))
    labels = np.zeros((N, 256, 256, 2), np.uint16)
    for k, (number, kind) in enumerate([(255, 1), (256, 6), (60_000, 2)]):
        labels[:, 20 * k : 20 * k + 9, 30:40] = number, kind
    np.save(tmp_path / "labels.npy", labels)
    names = [f"{COHORTS[k // 2 % 5]}_{k // 2}-{k % 2:04d}" for k in range(N)]
    (tmp_path / "patch_info.csv").write_text("\n".join(["patch_info", *names]))
    return tmp_path


def test_ids_beyond_a_byte_keep_their_classes(root: Path) -> None:
    dataset = data.open("conic", root)
    sample = dataset[3]
    assert np.array_equal(sample.image, np.load(root / "images.npy")[3])
    assert np.bincount(sample.instances.ravel())[1:].tolist() == [90, 90, 90]
    assert sample.classes.tolist() == [0, 1, 6, 2]
    assert (sample.name, sample.source, sample.mpp) == ("crag_1-0001", "crag_1", 0.5)
    assert dataset.records[3].group("cohort") == "crag"
    assert dataset.info.classes[1] == "neutrophil"
    assert dataset.verify() == []


def test_the_split_keeps_sources_together(root: Path) -> None:
    dataset = data.open("conic", root)
    parts = data.split_published(dataset)  # raises where a source is on both sides
    assert (len(parts.train), len(parts.val), len(parts.test)) == (40, 10, 0)
    first = [record.split for record in dataset.records]
    assert first != [record.split for record in data.open("conic", root, fold=1).records]
    with pytest.raises(ConfigError, match="fold is 10"):
        data.open("conic", root, fold=10)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 60), min_size=2, max_size=6), st.integers(0, 9))
def test_the_split_is_that_of_scikit_learn(sizes: list[int], fold: int) -> None:
    names = np.unique([f"{'abcdef'[k]}_{n}" for k, size in enumerate(sizes) for n in range(size)])
    cohorts = np.unique([name[0] for name in names], return_inverse=True)[1]
    splitter = StratifiedShuffleSplit(10, train_size=0.8, test_size=0.2, random_state=5)
    try:
        expected = list(splitter.split(names, cohorts))[fold][1]
    except ValueError:  # fewer places than cohorts, or shares that do not add up
        with pytest.raises(DataError, match="cannot be drawn"):
            baseline_split(names.tolist(), fold)
        return
    parts = baseline_split(names[::-1].tolist() * 2, fold)
    assert {name for name, part in parts.items() if part == "val"} == set(names[expected])


def test_a_data_set_travels_to_other_processes_without_its_arrays(root: Path) -> None:
    dataset = data.open("conic", root)
    dataset[0]
    assert len(pickle.dumps(dataset)) < 20_000


def test_without_names_there_is_no_split(root: Path) -> None:
    (root / "patch_info.csv").unlink()
    dataset = data.open("conic", root)
    assert (dataset.records[7].name, dataset.records[7].split) == ("00007", "")
    assert [problem.name for problem in dataset.verify()] == ["patch_info.csv"]


def test_a_cohort_of_one_source_has_no_split(root: Path) -> None:
    text = (root / "patch_info.csv").read_text()
    (root / "patch_info.csv").write_text(text.replace("crag_1-0000", "alone_1-0000"))
    dataset = data.open("conic", root)
    assert {record.split for record in dataset.records} == {""}
    assert dataset.records[2].source == "alone_1"
    told = [problem.message for problem in dataset.verify()]
    assert ["cannot be drawn from 26 sources of 6 cohorts" in text for text in told] == [True]


def test_found_in_a_folder_below(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    above = tmp_path_factory.mktemp("above")
    root.rename(above / "CoNIC Challenge Train")
    assert len(data.open("conic", above)) == N


def test_bad_arrays_are_named(root: Path, truncate: Callable[[Path], None]) -> None:
    labels = np.load(root / "labels.npy")
    np.save(root / "labels.npy", labels[:5])
    with pytest.raises(ShapeError, match="number of patches"):
        data.open("conic", root)
    np.save(root / "labels.npy", labels[..., :1])
    with pytest.raises(ShapeError, match=r"expected \(N, N, N, 2\)"):
        data.open("conic", root)
    labels[2, 0, 0, 1] = 7
    np.save(root / "labels.npy", labels)
    dataset = data.open("conic", root)
    with pytest.raises(DataError, match="patch 2 holds class 7"):
        dataset[2]
    assert [problem.name for problem in dataset.verify()] == [dataset.records[2].name]
    truncate(root / "labels.npy")
    with pytest.raises(CorruptDataError, match=r"labels\.npy"):
        data.open("conic", root)
    (root / "labels.npy").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"labels\.npy"):
        data.open("conic", root)
    (root / "images.npy").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"no images\.npy"):
        data.open("conic", root)


def test_bad_tables_are_named(root: Path) -> None:
    (root / "patch_info.csv").write_text("patch_info\nconsep_1-0000\n")
    with pytest.raises(DataError, match="lists 1 patches"):
        data.open("conic", root)
    (root / "patch_info.csv").write_text("name,x\nconsep_1-0000,1\n")
    with pytest.raises(DataError, match="expected one of patch_info"):
        data.open("conic", root)


def test_images_of_another_type(root: Path) -> None:
    np.save(root / "images.npy", np.zeros((N, 256, 256, 3)))
    with pytest.raises(ShapeError, match="uint8 RGB"):
        data.open("conic", root)[0]
