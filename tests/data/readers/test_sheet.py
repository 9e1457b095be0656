"""The datasheet of a folder: names of classes keep their numbers, or it is refused."""

from pathlib import Path

import pytest

from histoscope import data
from histoscope.errors import DataError, HistoscopeError
from histoscope.files import write_text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dataset.yaml", "mpp: 0.5\nclasses: {0: background, 1: round, 2: long}\n"),
        ("dataset.yaml", "mpp: 0.5\nclasses: {'2': long, '0': Background, '1': round}\n"),
        ("classes.json", '{"0": "background", "2": "long", "1": "round"}'),
        ("classes.json", '{"1": "round", "2": "long", "0": null}'),
    ],
)
def test_background_in_the_datasheet_shifts_no_name(folder_tree: Path, name: str, text: str) -> None:
    (folder_tree / "classes.json").unlink()
    write_text(folder_tree / name, text)
    dataset = data.open("folder", folder_tree, mpp=0.5)
    assert dataset.info.classes == {1: "round", 2: "long"}
    assert dataset[0].classes.tolist() == [0, 1, 2, 1, 2, 1]
    assert dataset.verify() == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("dataset.yaml", "classes: {1: round, 1: long}\n", "duplicate key 1"),
        ("dataset.yaml", "mpp: 1\nmpp: 2\n", "duplicate key 'mpp'"),
        ("dataset.yaml", "classes: [round, long]\n", "classes are list"),
        (
            "dataset.yaml",
            "classes: {1: long, 2: round}\n",
            "'long' is class 1 in dataset.yaml, but class 2 in",
        ),
        ("classes.json", '{"1": "round", "1": "long"}', "duplicate key '1'"),
        ("classes.json", '{"round": 1, "long": 2}', "swapped"),
        ("classes.json", '{"1": "background", "2": "long"}', "background is 0"),
    ],
)
def test_sheets_that_would_mix_classes_up(folder_tree: Path, name: str, text: str, says: str) -> None:
    write_text(folder_tree / name, text)
    with pytest.raises(HistoscopeError, match=says) as caught:
        data.open("folder", folder_tree, mpp=0.5)
    assert str(folder_tree) in str(caught.value)


def test_labels_of_whole_patches_count_from_0(folder_tree: Path) -> None:
    for kind in ("labels", "classes"):
        for path in (folder_tree / kind).iterdir():
            path.unlink()
        (folder_tree / kind).rmdir()
    write_text(folder_tree / "index.csv", "image_id,label\ntile0,0\ntile1,1\n")
    write_text(folder_tree / "classes.json", '{"0": "background", "1": "tumour"}')
    dataset = data.open("folder", folder_tree, mpp=0.5)
    assert dataset.info.classes == {0: "background", 1: "tumour"}
    assert [sample.label for sample in dataset] == [0, 1]


def test_a_class_that_no_name_stands_for_is_refused_before_training(folder_tree: Path) -> None:
    write_text(folder_tree / "classes.json", '{"1": "round"}')
    dataset = data.open("folder", folder_tree, mpp=0.5)
    with pytest.raises(DataError, match=r"tile0: 2 nuclei of class 2.*names 1: round"):
        dataset[0]
    assert {problem.name for problem in dataset.verify()} == {f"tile{k}" for k in range(6)}


def test_sheets_written_by_notepad(folder_tree: Path) -> None:
    (folder_tree / "dataset.yaml").write_bytes("mpp: 0.5\ntitle: Zürich\n".encode("utf-16"))
    (folder_tree / "classes.json").write_bytes('{"1": "größer", "2": "b"}'.encode("utf-8-sig"))
    info = data.open("folder", folder_tree).info
    assert (info.title, info.classes[1]) == ("Zürich", "größer")
