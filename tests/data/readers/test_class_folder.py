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
        ("path,class\n../../etc/passwd,a\n", "is outside"),
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


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (["tumour", "masks"], "masks/ is not a class"),
        (["images", "labels"], "images/ is not a class.*for images with label maps, use the reader folder"),
        (["train", "test", "Masks"], "Masks/ is not a class"),
        (["train/images", "train/labels", "test/images"], "images/ is not a class"),
        (["train", "tumour"], "train/ is a part, but not all folders are"),
        (["train", "test", "normal", "tumour"], "test/ is a part, but not all folders are"),
        (["patches", "binary_masks"], "binary_masks/ is not a class"),
        (["normal", "normalMask"], "normalMask/ is not a class"),
        (["train_images", "test_images"], "test_images/ is not a class"),
        (["Training Set/normal", "Test Set/normal"], "If Test Set is a part, call it train, val or test"),
    ],
)
def test_folders_that_are_no_classes_are_refused(tmp_path: Path, folders: list[str], says: str) -> None:
    for folder in folders:
        write_image(tmp_path / folder / "a.png", np.full((8, 8, 3), 9, np.uint8))
    with pytest.raises(DataError, match=says):
        data.open("class_folder", tmp_path, mpp=0.5)


def test_a_class_that_is_called_like_something_else_can_be_named(tmp_path: Path) -> None:
    for folder in ("control", "test", "masks"):
        write_image(tmp_path / folder / "a.png", np.full((8, 8, 3), 9, np.uint8))
    dataset = data.open("class_folder", tmp_path, mpp=0.5, classes=["control", "masks", "test"])
    assert [record.label for record in dataset.records] == [0, 1, 2]


def test_parts_without_classes_say_so(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "a.png", np.full((8, 8, 3), 9, np.uint8))
    with pytest.raises(
        DataError, match=r"train is the folder of a part, but holds images without a class.*'a'"
    ):
        data.open("class_folder", tmp_path, mpp=0.5)


def test_patients_below_classes_say_so(tmp_path: Path) -> None:
    for name in ("tumour/p1/a.png", "normal/p2/a.png"):
        write_image(tmp_path / name, np.full((8, 8, 3), 9, np.uint8))
    with pytest.raises(
        DataError, match=r"normal has no patches itself, only folders with patches \(p2\).*patient"
    ):
        data.open("class_folder", tmp_path, mpp=0.5)
    write_image(tmp_path / "normal" / "b.png", np.full((8, 8, 3), 9, np.uint8))
    write_image(tmp_path / "tumour" / "c.png", np.full((8, 8, 3), 9, np.uint8))
    with pytest.warns(UserWarning, match=r"in folders below .* are left out"):
        assert len(data.open("class_folder", tmp_path, mpp=0.5)) == 2


def test_twins_are_told_in_words_that_fit(class_tree: Path) -> None:
    write_image(class_tree / "normal" / "p0.jpg", np.full((8, 8, 3), 9, np.uint8))
    dataset = data.open("class_folder", class_tree, mpp=0.5)
    told = {problem.name: problem.message for problem in dataset.verify() if problem.severity == "error"}
    assert "files that differ only in their suffix (a.png, a.jpg)" in told["normal__p0"]
    with pytest.raises(DataError, match=r"occur more than once, such as 'normal__p0'"):
        data.split_by(dataset, "name")


def test_linked_patches_are_read(class_tree: Path, tmp_path: Path) -> None:
    (tmp_path / "linked" / "tumour").mkdir(parents=True)
    (tmp_path / "linked" / "tumour" / "a.png").symlink_to(class_tree / "tumour" / "p1.png")
    assert len(data.open("class_folder", tmp_path / "linked", mpp=0.5)) == 1


def test_an_index_of_another_system(class_tree: Path) -> None:
    (class_tree / "tumour" / "p1.png").rename(class_tree / "tumour" / "Gro\u0308\u00dfe.PNG")
    text = "Path;Class;Group\ntumour\\Gr\u00f6\u00dfe.png;tumour;g1\n"
    (class_tree / "index.csv").write_bytes(text.encode("utf-16"))
    dataset = data.open("class_folder", class_tree, mpp=0.5)
    assert [(r.name, r.source) for r in dataset.records] == [("tumour__Gr\u00f6\u00dfe", "g1")]
    assert dataset[0].image.shape[2] == 3


def test_a_split_without_groups_names_the_way_to_them(class_tree: Path) -> None:
    with pytest.raises(DataError, match=r"have no 'source'.*audit --groups.*data\.index: groups\.csv"):
        data.split_by(data.open("class_folder", class_tree, mpp=0.5), "source")


def test_slides_among_the_patches_are_named(tmp_path):
    write_image(tmp_path / "tumour" / "a.png", np.full((8, 8, 3), 200, np.uint8))
    (tmp_path / "tumour" / "scan.mrxs").write_bytes(b"")
    told = [problem.message for problem in data.open("class_folder", tmp_path, mpp=0.5).verify()]
    assert any("MIRAX files are not read yet" in text for text in told)


def test_paths_may_start_from_the_root_or_from_images(class_tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "indexed"
    root.mkdir()
    class_tree.rename(root / "images")
    for before in ("", "images/"):
        (root / "index.csv").write_text(f"path,class\n{before}tumour/p1.png,tumour\n")
        assert data.open("class_folder", root, mpp=0.5)[0].label == 0


def test_images_beside_the_classes_are_named(class_tree: Path) -> None:
    patch = next(class_tree.rglob("*.png"))
    (class_tree / "loose.png").write_bytes(patch.read_bytes())
    problems = data.open("class_folder", class_tree, mpp=0.5).verify()
    assert [problem.name for problem in problems if "not in a class folder" in problem.message] == ["loose"]
