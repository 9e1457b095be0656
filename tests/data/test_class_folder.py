"""A folder per class, and an index of patches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from histoscope import data
from histoscope.errors import DataError, DatasetNotFoundError, UnknownNameError
from histoscope.files import write_image

INDEX = "path,class,group,split,mean_r\ntumour/p1.png,tumour,g1,train,3\nnormal/p0.png,normal,g2,test,4\n"


def test_folders_name_the_classes(class_tree: Path) -> None:
    dataset = data.open("class_folder", class_tree, mpp=0.5)
    assert dataset.info.classes == {0: "normal", 1: "tumour"}
    assert dataset.info.counts == {"images": 6, "class normal": 3, "class tumour": 3}
    sample = dataset[5]
    assert (sample.name, sample.label, sample.instances) == ("tumour__p5", 1, None)
    assert dataset.verify() == []


def test_parts_above_the_classes(class_tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "parts"
    root.mkdir()
    class_tree.rename(root / "train")
    write_image(root / "test" / "tumour" / "t.png", np.full((8, 8, 3), 9, np.uint8))
    dataset = data.open("class_folder", root, mpp=0.5)
    assert dataset.info.counts["train"] == 6
    assert dataset.info.classes == {0: "normal", 1: "tumour"}
    assert len(data.split_published(dataset).test) == 1


@pytest.mark.parametrize("inner", ["", "images"])
def test_index_names_groups_and_parts(class_tree: Path, tmp_path: Path, inner: str) -> None:
    root = tmp_path / "indexed"
    (root / inner).mkdir(parents=True)
    for kind in list(class_tree.iterdir()):
        kind.rename(root / inner / kind.name)
    (root / "index.csv").write_text(INDEX)
    dataset = data.open("class_folder", root, mpp=0.5)
    record = dataset.records[0]
    assert (record.name, record.source, record.split, record.label) == ("tumour__p1", "g1", "train", 1)
    assert dict(record.tags) == {"mean_r": "3", "class": "tumour"}
    assert dataset[0].source == "g1"


def test_order_of_classes_can_be_given(class_tree: Path) -> None:
    dataset = data.open("class_folder", class_tree, mpp=0.5, classes=["tumour", "stroma", "normal"])
    assert dataset[0].label == 2
    with pytest.raises(UnknownNameError, match="unknown class 'normal'"):
        data.open("class_folder", class_tree, mpp=0.5, classes=["tumour"])


def test_sheet_gives_mpp(class_tree: Path) -> None:
    with pytest.raises(DataError, match="--mpp"):
        data.open("class_folder", class_tree)
    (class_tree / "dataset.yaml").write_text("mpp: 0.75\nlicence: CC0\n")
    assert data.open("class_folder", class_tree)[0].mpp == 0.75


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,class\n../../etc/passwd,a\n", "lies outside"),
        ("path,kind\na,b\n", "expected one of class, label"),
        ("path,class\n,tumour\n", "has no path"),
        ("path,class\nnormal/p0.png,\n", "has no class"),
    ],
)
def test_wrong_index(class_tree: Path, text: str, says: str) -> None:
    (class_tree / "index.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        data.open("class_folder", class_tree, mpp=0.5)


def test_broken_patches_are_found(class_tree: Path, truncate: Callable[[Path], None]) -> None:
    truncate(class_tree / "normal" / "p2.png")
    write_image(class_tree / "normal" / "p0.jpg", np.full((8, 8, 3), 9, np.uint8))
    problems = data.open("class_folder", class_tree, mpp=0.5).verify()
    assert {(p.name, p.severity) for p in problems} == {
        ("normal__p2", "error"),
        ("normal__p0", "error"),
        ("normal__p0", "warning"),
    }


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "tumour").mkdir()
    with pytest.raises(DatasetNotFoundError, match="no patches"):
        data.open("class_folder", tmp_path, mpp=0.5)


def test_an_empty_class_is_warned_of_and_the_rest_goes_on(class_tree: Path) -> None:
    (class_tree / "stroma").mkdir()
    with pytest.warns(UserWarning, match="no patches of class stroma"):
        dataset = data.open("class_folder", class_tree, mpp=0.5)
    assert dataset.info.classes == {0: "normal", 1: "tumour"}


def test_another_index(class_tree: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("path,class,group\nnormal/p0.png,normal,g\ntumour/p1.png,tumour,g\n")
    dataset = data.open("class_folder", class_tree, mpp=0.5, index=tmp_path / "mine.csv")
    assert [record.source for record in dataset.records] == ["g", "g"]
    assert [problem.message for problem in dataset.verify()] == [
        "one group with 2 classes: 1 normal, 1 tumour"
    ]
    with pytest.raises(DatasetNotFoundError, match="no index"):
        data.open("class_folder", class_tree, mpp=0.5, index=tmp_path / "gone.csv")
