"""Our own folder format: what it reads, and what it says about each kind of broken file."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from histoscope import data
from histoscope.errors import (
    ConfigError,
    CorruptDataError,
    DataError,
    DatasetNotFoundError,
    FormatVersionError,
    ShapeError,
    UnknownNameError,
)
from histoscope.files import read_image, read_labels, write_image, write_labels

MPP = 0.5


def _messages(dataset: data.Dataset, severity: str) -> dict[str, str]:
    return {problem.name: problem.message for problem in dataset.verify() if problem.severity == severity}


def test_reads_images_labels_classes_and_index(folder_tree: Path) -> None:
    dataset = data.open("folder", folder_tree, mpp=MPP)
    assert len(dataset) == 6
    sample, record = dataset[2], dataset.records[2]
    assert (sample.name, sample.patient, sample.mpp) == ("tile2", "patient1", 0.5)
    assert sample.instances.max() == 5
    assert sample.classes.tolist() == [0, 1, 2, 1, 2, 1]
    assert (record.split, record.group("site")) == ("train", "A")
    assert dataset.info.classes == {1: "round", 2: "long"}
    assert dataset.info.counts == {"images": 6, "patients": 3, "nuclei": 30, "test": 2, "train": 4}
    assert dataset.verify() == []


def test_records_need_no_pixels(folder_tree: Path) -> None:
    for path in (folder_tree / "images").iterdir():
        path.write_bytes(b"nothing")
    dataset = data.open("folder", folder_tree, mpp=MPP)
    assert [record.name for record in dataset.records] == [f"tile{k}" for k in range(6)]
    assert {problem.severity for problem in dataset.verify()} == {"error"}


def test_missing_mpp_names_the_option(folder_tree: Path) -> None:
    with pytest.raises(DataError, match=r"mpp=0\.25 .*--mpp 0\.25.*dataset\.yaml"):
        data.open("folder", folder_tree)


@pytest.mark.parametrize("mpp", [0, -1.0, 0.001, 40, float("nan"), float("inf")])
def test_impossible_mpp(folder_tree: Path, mpp: float) -> None:
    with pytest.raises(ConfigError, match=r"mpp of data set .* from 0\.05 to 5"):
        data.open("folder", folder_tree, mpp=mpp)


def test_sheet_and_index_give_mpp(folder_tree: Path) -> None:
    (folder_tree / "dataset.yaml").write_text(
        "format: 1\nname: mine\nmpp: 0.4\nlicence: CC0\nclasses: {1: a, 2: b}\n"
    )
    dataset = data.open("folder", folder_tree)
    assert (dataset.info.name, dataset.info.licence, dataset[0].mpp) == ("mine", "CC0", 0.4)
    assert dataset.info.classes == {1: "a", 2: "b"}
    index = folder_tree / "index.csv"
    lines = index.read_text().splitlines()
    index.write_text("\n".join([lines[0] + ",mpp", lines[1] + ",0.3", *(line + "," for line in lines[2:])]))
    dataset = data.open("folder", folder_tree)
    assert [dataset[0].mpp, dataset[1].mpp] == [0.3, 0.4]
    assert data.open("folder", folder_tree, mpp=1.0)[0].mpp == 1.0


def test_without_index_every_image_is_a_sample(tmp_path: Path) -> None:
    for name in ("b.1", "a"):
        write_image(tmp_path / "images" / f"{name}.png", np.full((4, 4, 3), 7, np.uint8))
    dataset = data.open("folder", tmp_path, mpp=1)
    assert [record.name for record in dataset.records] == ["a", "b.1"]
    assert dataset[0].instances is None


@pytest.mark.parametrize("cell", ["tile0", "tile0.jpg", "images/tile0.jpg", "images\\tile0.jpg"])
def test_names_in_the_index_may_hold_folder_and_suffix(folder_tree: Path, cell: str) -> None:
    (folder_tree / "index.csv").write_text(f"file\n{cell}\n")
    assert data.open("folder", folder_tree, mpp=1)[0].name == "tile0"


def test_missing_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"does not exist.*images/NAME\.png"):
        data.open("folder", tmp_path / "nowhere", mpp=1)
    with pytest.raises(FileNotFoundError, match="no images in"):
        data.open("folder", tmp_path, mpp=1)


def test_truncated_image_is_an_error_of_that_sample(
    folder_tree: Path, truncate: Callable[[Path], None]
) -> None:
    truncate(folder_tree / "images" / "tile3.jpg")
    dataset = data.open("folder", folder_tree, mpp=MPP)
    with pytest.raises(CorruptDataError, match=r"tile3\.jpg"):
        dataset[3]
    assert list(_messages(dataset, "error")) == ["tile3"]


def test_label_of_another_size(folder_tree: Path) -> None:
    write_labels(folder_tree / "labels" / "tile1.png", np.ones((10, 10), np.int32))
    dataset = data.open("folder", folder_tree, mpp=MPP)
    with pytest.raises(ShapeError, match="tile1"):
        dataset[1]
    assert "(10, 10)" in _messages(dataset, "error")["tile1"]


def test_missing_image_label_and_class_map(folder_tree: Path) -> None:
    (folder_tree / "images" / "tile0.jpg").unlink()
    (folder_tree / "labels" / "tile1.png").unlink()
    (folder_tree / "classes" / "tile2.png").unlink()
    dataset = data.open("folder", folder_tree, mpp=MPP)
    errors = _messages(dataset, "error")
    assert {name: text.split(" for")[0] for name, text in errors.items()} == {
        "tile0": "no image",
        "tile1": "no label map",
        "tile2": "no class map",
    }
    with pytest.raises(DatasetNotFoundError, match="no label map for 'tile1'"):
        dataset[1]


def test_no_nuclei_and_gaps_are_warnings(folder_tree: Path) -> None:
    write_labels(folder_tree / "labels" / "tile0.png", np.zeros((48, 64), np.int32))
    labels = np.zeros((48, 64), np.int32)
    labels[:4, :4], labels[9:, 9:] = 2, 7
    write_labels(folder_tree / "labels" / "tile1.png", labels)
    dataset = data.open("folder", folder_tree, mpp=MPP)
    warnings = [(problem.name, problem.message) for problem in dataset.verify()]
    assert ("tile0", "the label map has no nuclei") in warnings
    assert any(
        name == "tile1" and text.startswith("5 ids up to 7 do not occur (first: 1)")
        for name, text in warnings
    )
    assert dataset[0].classes.tolist() == [0]


def test_same_name_with_two_suffixes_is_not_guessed(folder_tree: Path) -> None:
    write_image(folder_tree / "images" / "tile0.png", np.zeros((48, 64, 3), np.uint8))
    dataset = data.open("folder", folder_tree, mpp=MPP)
    with pytest.raises(DataError, match=r"2 files could be the image 'tile0': tile0\.jpg, tile0\.png"):
        dataset[0]
    assert dataset.image_path(0) is None
    assert "tile0" in _messages(dataset, "error")


def test_doubled_rows_and_strays(folder_tree: Path) -> None:
    index = folder_tree / "index.csv"
    lines = index.read_text().splitlines()
    index.write_text("\n".join([*lines[:-1], lines[1]]))
    write_labels(folder_tree / "labels" / "stray.png", np.ones((48, 64), np.int32))
    dataset = data.open("folder", folder_tree, mpp=MPP)
    assert "2 times" in _messages(dataset, "error")["tile0"]
    assert set(_messages(dataset, "warning")) == {"tile5", "stray"}


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("colour,size\n1,2\n", DataError, "columns colour, size; expected one of image_id"),
        ("image_id\n", DataError, "lists no images"),
        ("", DataError, "lists no images"),
        ("image_id,split\na,b,c\n", CorruptDataError, "more fields"),
        ("image_id,split,split\na,b,c\n", DataError, "twice"),
        ("image_id,label\ntile0,tumour\n", DataError, "label of 'tile0' is 'tumour'"),
        ("image_id,mpp\ntile0,-3\n", DataError, "mpp of 'tile0'"),
    ],
)
def test_wrong_index(folder_tree: Path, text: str, error: type[Exception], says: str) -> None:
    (folder_tree / "index.csv").write_text(text)
    with pytest.raises(error, match=says):
        data.open("folder", folder_tree, mpp=1)


def test_index_that_is_no_text(folder_tree: Path) -> None:
    (folder_tree / "index.csv").write_bytes(b"\xff\xfe\x00\x81" * 9)
    with pytest.raises(CorruptDataError, match="not a UTF-8 CSV"):
        data.open("folder", folder_tree, mpp=1)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("format: 2\n", FormatVersionError, "format 2"),
        ("mpp: [", CorruptDataError, "not readable YAML"),
        ("- a\n", DataError, "holds list"),
        ("mp: 0.25\n", DataError, "unknown key 'mp'"),
        ("mpp: quarter\n", DataError, "mpp as a number"),
        ("mpp: 1\nclasses: {a: b}\n", DataError, "classes as 1: name"),
    ],
)
def test_wrong_sheet(folder_tree: Path, text: str, error: type[Exception], says: str) -> None:
    (folder_tree / "dataset.yaml").write_text(text)
    with pytest.raises(error, match=says):
        data.open("folder", folder_tree)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_wrong_class_names(folder_tree: Path, text: str) -> None:
    (folder_tree / "classes.json").write_text(text)
    with pytest.raises(DataError, match=r"classes\.json"):
        data.open("folder", folder_tree, mpp=1)


def test_class_map_of_another_size_or_range(folder_tree: Path) -> None:
    write_labels(folder_tree / "classes" / "tile0.png", np.ones((3, 3), np.int32))
    write_labels(folder_tree / "classes" / "tile1.png", np.full((48, 64), 300, np.int32))
    dataset = data.open("folder", folder_tree, mpp=1)
    with pytest.raises(ShapeError, match=r"class map is \(3, 3\)"):
        dataset[0]
    with pytest.raises(DataError, match="0 to 255"):
        dataset[1]


def test_registry_helps_with_names(folder_tree: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'monuseg'"):
        data.open("monusec", folder_tree)
    with pytest.raises(UnknownNameError, match=r"option.*'mp'.*did you mean 'mpp'"):
        data.open("folder", folder_tree, mp=1)


def test_image_path_and_iteration(folder_tree: Path) -> None:
    dataset = data.open("folder", str(folder_tree), mpp=1)
    assert [sample.name for sample in dataset] == [f"tile{k}" for k in range(6)]
    assert np.array_equal(read_image(dataset.image_path(4)), dataset[4].image)
    with pytest.raises(IndexError):
        dataset[6]
    assert json.dumps(dict(dataset.info.counts))


def test_licence_and_citation_of_a_copy_without_a_datasheet(folder_tree: Path) -> None:
    assert data.open("folder", folder_tree, mpp=0.5).info.licence == ""
    options = {"mpp": 0.5, "licence": "CC BY 4.0", "citation": "Someone, 2020"}
    info = data.open("folder", folder_tree, **options).info
    assert (info.licence, info.citation) == ("CC BY 4.0", "Someone, 2020")
    (folder_tree / "dataset.yaml").write_text("licence: CC0\nmpp: 0.5\n")
    assert data.open("folder", folder_tree).info.licence == "CC0"
    assert data.open("folder", folder_tree, licence="MIT").info.licence == "MIT"


def test_ids_to_the_largest_are_numbered_anew(folder_tree: Path) -> None:
    labels = read_labels(folder_tree / "labels" / "tile0.png")
    large = np.where(labels > 0, 2**31 - 6 + labels, 0).astype(np.int32)
    (folder_tree / "labels" / "tile0.png").unlink()
    write_labels(folder_tree / "labels" / "tile0.tif", large)
    dataset = data.open("folder", folder_tree, mpp=MPP)
    assert np.array_equal(dataset[0].instances, labels)
    assert dataset[0].classes.tolist() == [0, 1, 2, 1, 2, 1]
    assert dataset.verify() == []


def test_a_class_map_that_is_shifted_against_its_labels(folder_tree: Path) -> None:
    path = folder_tree / "classes" / "tile0.png"
    write_labels(path, np.roll(read_labels(path), 3, axis=0))
    warnings = _messages(data.open("folder", folder_tree, mpp=MPP), "warning")
    assert "class map shifted or turned" in warnings["tile0"]


@pytest.mark.parametrize("cell", ["1.5", "nan", "inf", "-1", "tumour"])
def test_labels_of_patches_are_whole_numbers(folder_tree: Path, cell: str) -> None:
    (folder_tree / "index.csv").write_text(f"image_id,label\ntile0,{cell}\n")
    with pytest.raises(DataError, match=f"label of 'tile0' is '{cell}', expected a whole number"):
        data.open("folder", folder_tree, mpp=1)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("size", [(20, 30), (30, 30)])
def test_labels_of_a_turned_image_fit_for_certain_or_are_refused(
    tmp_path: Path, turn: int, size: tuple[int, int]
) -> None:
    from PIL import Image as Pillow
    from PIL import ImageOps

    stored = np.full((*size, 3), 240, np.uint8)
    stored[3:9, 12:19] = (120, 60, 140)
    picture = Pillow.fromarray(stored)
    exif = picture.getexif()
    exif[274] = turn
    (tmp_path / "images").mkdir()
    picture.save(tmp_path / "images" / "a.png", exif=exif)
    with Pillow.open(tmp_path / "images" / "a.png") as shown:
        drawn_on_shown = np.asarray(ImageOps.exif_transpose(shown))[..., 1] < 150
    for drawn, is_shown in ((drawn_on_shown, True), (stored[..., 1] < 150, False)):
        write_labels(tmp_path / "labels" / "a.png", drawn.astype(np.int32))
        dataset = data.open("folder", tmp_path, mpp=0.25)
        if turn == 1 or (is_shown and turn >= 5 and size[0] != size[1]):
            sample = dataset[0]
            np.testing.assert_array_equal(sample.instances > 0, sample.image[..., 1] < 150)
            assert not any("orientation" in problem.message for problem in dataset.verify())
        else:
            with pytest.raises(DataError, match=f"orientation {turn} in EXIF"):
                dataset[0]
            assert any("orientation" in problem.message for problem in dataset.verify())


def test_slides_among_the_images_are_named_and_images_of_any_suffix_are_read(folder_tree: Path) -> None:
    before = len(data.open("folder", folder_tree, mpp=0.5))
    (folder_tree / "index.csv").unlink(missing_ok=True)
    (folder_tree / "images" / "scan.dcm").write_bytes(bytes(128) + b"DICM" + bytes(9))
    some = next((folder_tree / "images").iterdir())
    (folder_tree / "images" / "more.svs").write_bytes(some.read_bytes())
    dataset = data.open("folder", folder_tree, mpp=0.5)
    assert len(dataset) == before + 1
    told = [problem.message for problem in dataset.verify() if problem.name == "scan"]
    assert [("DICOM files are not read yet" in text) for text in told] == [True]


def test_a_folder_of_slides_alone_says_why_it_has_no_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "scan.dcm").write_bytes(bytes(128) + b"DICM" + bytes(9))
    with pytest.raises(DatasetNotFoundError, match=r"no images in .* DICOM files are not read yet"):
        data.open("folder", tmp_path, mpp=0.5)


@pytest.mark.parametrize("value", ["40", "0.001"])
def test_the_index_gives_no_impossible_mpp(folder_tree: Path, value: str) -> None:
    name = next(iter((folder_tree / "images").iterdir())).stem
    (folder_tree / "index.csv").write_text(f"image_id,mpp\n{name},{value}\n")
    with pytest.raises(ConfigError, match=rf"mpp of '{name}' in .*index.csv is {value}"):
        data.open("folder", folder_tree)
