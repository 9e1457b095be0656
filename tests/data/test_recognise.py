"""A folder is known by its files; what cannot be learned from is told in words that say what to do."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from histoscope.data.recognise import recognise
from histoscope.errors import DataError, DatasetNotFoundError
from histoscope.files import write_image, write_labels

PICTURE = np.random.default_rng(0).integers(60, 230, (40, 48, 3)).astype(np.uint8)
LABELS = np.zeros((40, 48), np.int32)
LABELS[5:12, 5:12], LABELS[20:30, 20:30] = 1, 2


def tiles(root: Path, n: int = 3) -> Path:
    """Write our own layout."""
    for k in range(n):
        write_image(root / "images" / f"{k}.png", PICTURE)
        write_labels(root / "labels" / f"{k}.png", LABELS)
    return root


def patches(root: Path, *kinds: str) -> Path:
    """Write a folder for each class."""
    for kind in kinds:
        write_image(root / kind / "a.png", PICTURE)
    return root


def test_images_with_label_maps_are_our_own_layout(tmp_path):
    found = recognise(tiles(tmp_path))
    assert (found.name, found.knows_mpp, len(found.dataset)) == ("folder", False, 3)
    assert recognise(tmp_path, mpp=0.25).knows_mpp


def test_a_folder_for_each_class_is_patches(tmp_path):
    found = recognise(patches(tmp_path, "stroma", "tumour"), mpp=0.5)
    assert (found.name, found.first.label, found.knows_mpp) == ("class_folder", 0, True)


def test_an_index_of_classes_is_patches(tmp_path):
    write_image(tmp_path / "images" / "a.png", PICTURE)
    write_image(tmp_path / "images" / "b.png", PICTURE)
    (tmp_path / "index.csv").write_text("path,class\na.png,x\nb.png,y\n", encoding="utf-8")
    assert recognise(tmp_path, mpp=0.5).name == "class_folder"


def test_published_sets_are_known_by_their_files(tmp_path):
    for patient in ("01", "02"):
        write_image(tmp_path / "t" / f"Slide_{patient}" / f"{patient}_1.png", PICTURE)
        write_labels(tmp_path / "t" / f"GT_{patient}" / f"{patient}_1.png", LABELS)
    assert recognise(tmp_path / "t").name == "tnbc"
    for kind in ("ADI", "TUM"):
        write_image(tmp_path / "n" / "NCT-CRC-HE-100K" / kind / "a.tif", PICTURE)
    assert recognise(tmp_path / "n").name == "nct_crc"
    write_image(tmp_path / "d" / "stage1_train" / "a" / "images" / "a.png", PICTURE)
    write_labels(tmp_path / "d" / "stage1_train" / "a" / "masks" / "1.png", (LABELS == 1) * 255)
    assert recognise(tmp_path / "d", mpp=0.5).name == "dsb2018"


def test_a_reader_that_is_named_is_taken(tmp_path):
    with pytest.raises(DataError):
        recognise(tiles(tmp_path), name="tnbc")


FILES = {
    "images alone": ["a.png"],
    "images in images/": ["images/a.png"],
    "labels alone": ["labels/a.png"],
    "masks beside": ["images/a.png", "masks/a.png"],
    "empty masks": ["images/a.png", "masks/notes.txt"],
    "slides": ["a.svs"],
    "a folder for each part": ["train/images/a.png", "train/labels/a.png", "test/images/b.png"],
    "masks by name": ["a.png", "a_mask.png"],
    "a folder for each patient": ["p1/tumour/a.png", "p1/normal/a.png", "p2/tumour/a.png"],
    "one class": ["tumour/a.png"],
}


def folder_of(root: Path, what: str) -> Path:
    """Make a folder that nothing can be learned from."""
    for name in FILES.get(what, ()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent.name in {"labels", "masks"} and path.suffix == ".png":
            write_labels(path, LABELS)
        elif path.suffix == ".png":
            write_image(path, PICTURE)
        else:
            path.write_bytes(b"II*\0" + b"\0" * 200 if path.suffix == ".svs" else b"")
    if what == "a file":
        write_image(root / "a.png", PICTURE)
        return root / "a.png"
    return root


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("nothing", "holds no images; expected images/"),
        ("no folder", "does not exist"),
        ("a file", "is a file"),
        ("images alone", "1 image but no labels"),
        ("images in images/", "1 image but no labels"),
        ("labels alone", "no images beside them"),
        ("masks beside", "name the folders images/ and labels/"),
        ("empty masks", "holds no label map"),
        ("slides", "1 whole slide"),
        ("a folder for each part", "choose one of them"),
        ("masks by name", "a_mask.png among its images"),
        ("a folder for each patient", "If the folders are patients"),
        ("one class", "1 image but no labels"),
    ],
)
def test_what_cannot_be_learned_from_is_told_with_what_to_do(tmp_path, what, words):
    root = folder_of(tmp_path, what)
    with pytest.raises(DatasetNotFoundError, match=words):
        recognise(root / "away" if what == "no folder" else root, mpp=0.5)


def test_a_missing_label_map_is_named(tmp_path):
    shutil.rmtree(tiles(tmp_path) / "labels")
    (tmp_path / "labels").mkdir()
    with pytest.raises(DatasetNotFoundError, match="no label map for '0'"):
        recognise(tmp_path, mpp=0.5)
