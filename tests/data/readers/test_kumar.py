"""Kumar as distributed: MATLAB or XML annotations, parts and organs known by the patient."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.io import savemat

from histoscope import data
from histoscope.data.readers import kumar
from histoscope.errors import CorruptDataError, DatasetNotFoundError, ShapeError
from histoscope.types import Sample

NAMES = {
    "train": "TCGA-18-5592-01Z-00-DX1",
    "test_same": "TCGA-21-5786-01Z-00-DX1",
    "test_diff": "TCGA-RD-A8N9-01A-01-TS1",
}


@pytest.fixture
def root(tmp_path: Path, tile: Callable[..., Sample]) -> Path:
    """One tile of each part, as HoVer-Net's authors give them."""
    for k, (part, name) in enumerate(NAMES.items()):
        for kind in ("Images", "Labels", "Overlay"):
            (tmp_path / part / kind).mkdir(parents=True)
        tifffile.imwrite(tmp_path / part / "Images" / f"{name}.tif", tile(k).image)
        tifffile.imwrite(tmp_path / part / "Overlay" / f"{name}.tif", tile(k).image // 2)
        savemat(tmp_path / part / "Labels" / f"{name}.mat", {"inst_map": tile(k).instances.astype(float)})
    return tmp_path


def test_the_published_lists_hold_thirty_tiles_of_seven_organs() -> None:
    parts = {part: len(patients.split()) for part, patients in kumar._PARTS.items()}
    assert parts == {"train": 16, "same organ": 8, "other organ": 6}
    assert {organ: len(patients.split()) for organ, patients in kumar._ORGANS.items()} == {
        "breast": 6,
        "kidney": 6,
        "liver": 6,
        "prostate": 6,
        "bladder": 2,
        "colon": 2,
        "stomach": 2,
    }
    assert kumar._PART_OF.keys() == kumar._ORGAN_OF.keys()
    assert len(kumar._PART_OF) == 30
    trained = {kumar._ORGAN_OF[p] for p, part in kumar._PART_OF.items() if part == "train"}
    for patient, part in kumar._PART_OF.items():
        assert (kumar._ORGAN_OF[patient] in trained) == (part != "other organ")


def test_matlab_labels(root: Path, tile: Callable[..., Sample]) -> None:
    dataset = data.open("kumar", root)
    records = {record.name: record for record in dataset.records}
    same, other = records[NAMES["test_same"]], records[NAMES["test_diff"]]
    assert (same.split, same.patient, same.group("test_set")) == ("test", "TCGA-21-5786", "same organ")
    assert (other.split, other.group("organ"), other.group("test_set")) == ("test", "stomach", "other organ")
    train = records[NAMES["train"]]
    assert (train.split, train.group("organ"), train.group("tcga_site")) == ("train", "liver", "18")
    sample = dataset[0]
    assert np.array_equal(sample.image, tile(0).image)
    assert np.array_equal(sample.instances, tile(0).instances)
    assert (sample.mpp, sample.classes) == (0.25, None)
    assert dataset.verify() == []


def test_xml_labels_and_no_folders_of_parts(
    tmp_path: Path, tile: Callable[..., Sample], write_aperio: Callable[..., None]
) -> None:
    images, labels = tmp_path / "Tissue images", tmp_path / "Annotations"
    images.mkdir()
    labels.mkdir()
    square = [(9.5, 9.5), (14.5, 9.5), (14.5, 14.5), (9.5, 14.5)]
    for name in (*NAMES.values(), "other"):
        tifffile.imwrite(images / f"{name}.tif", tile(0).image)
        write_aperio(labels / f"{name}.xml", [square])
    dataset = data.open("kumar", tmp_path)
    assert [r.split for r in dataset.records] == ["train", "test", "test", ""]
    assert dataset.records[3].patient == ""
    assert [int((sample.instances == 1).sum()) for sample in dataset] == [25] * 4


def test_matlab_wins_over_xml(root: Path, write_aperio: Callable[..., None]) -> None:
    write_aperio(root / "train" / "Labels" / f"{NAMES['train']}.xml", [])
    assert data.open("kumar", root)[0].instances.max() == 5


def test_bad_labels_are_named(root: Path, truncate: Callable[[Path], None]) -> None:
    truncate(root / "train" / "Labels" / f"{NAMES['train']}.mat")
    savemat(root / "test_same" / "Labels" / f"{NAMES['test_same']}.mat", {"inst_map": np.ones((5, 5))})
    (root / "test_diff" / "Labels" / f"{NAMES['test_diff']}.mat").unlink()
    dataset = data.open("kumar", root)
    for index, error in enumerate((CorruptDataError, ShapeError, DatasetNotFoundError)):
        with pytest.raises(error, match=dataset.records[index].name):
            dataset[index]
    assert [p.severity for p in dataset.verify()] == ["error"] * 3
    with pytest.raises(DatasetNotFoundError, match=r"no images in .*kumar"):
        data.open("kumar", root / "train" / "Labels")
