"""What is seen in a folder, with numbers that are known."""

import dataclasses

import cv2
import numpy as np
import pytest
import tifffile

from histoscope import data, synth
from histoscope.errors import ConfigError, DataError
from histoscope.files import write_image, write_labels
from histoscope.train.look import groups_of, look
from histoscope.types import Record


@pytest.fixture(scope="module")
def samples():
    """Give six tiles of three patients, with the classes of drawn tissue."""
    return [
        dataclasses.replace(sample, name=f"t{k}", patient=f"p{k // 2}")
        for k, sample in enumerate(synth.cohort(6, 1, shape_px=(96, 128), mpp=0.5, seed=3))
    ]


@pytest.fixture
def folder(samples, tmp_path):
    """Write them in our own layout."""
    records = [Record(s.name, s.patient, split="test" if s.patient == "p2" else "train") for s in samples]
    names = {1: "epithelial", 2: "lymphocyte", 3: "spindle", 4: "plasma"}
    return data.write_folder(
        tmp_path / "tiles", samples, data.Datasheet("tiles", mpp=0.5, classes=names), records=records
    )


def test_nuclei_classes_and_patients_are_counted(samples, folder):
    seen = look(folder)
    ids = [np.setdiff1d(sample.instances, [0]) for sample in samples]
    assert (seen.reader, seen.task, seen.mpp, seen.mpp_from) == ("folder", "nuclei", 0.5, "data")
    assert seen.nuclei == sum(map(len, ids))
    kinds = np.concatenate([sample.classes[own] for sample, own in zip(samples, ids, strict=True)])
    assert list(seen.classes.values()) == [int((kinds == k).sum()) for k in range(1, 5)]
    assert seen.groups == {"patient": 3, "source": 6}
    areas = [np.sum(sample.instances == i) for sample, own in zip(samples, ids, strict=True) for i in own]
    assert seen.diameter_um == pytest.approx(2 * np.sqrt(np.median(areas) / np.pi) * 0.5)
    assert np.unique(seen.sides_um, axis=0).tolist() == [[48, 64]]
    said = dict(seen.lines())
    assert said["images"] == "6 images, 128 x 96 px"
    assert "3 by 'patient' and 6 by 'source'; published parts: test 2, train 4" in said["patients"]


def test_the_pixel_size_is_asked_for_with_what_nuclei_tell(folder):
    (folder / "dataset.yaml").unlink()
    (folder / "index.csv").unlink()
    (folder / "classes").rename(folder / "other")
    for path in (folder / "images").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path)))  # without a resolution
    with pytest.raises(DataError, match=r"--mpp 0\.25 for a 40x scan.*px across: .* um at 0\.25"):
        look(folder)
    assert look(folder, given={"mpp": 0.25}).mpp_from == "given"


def test_the_pixel_size_of_the_files_is_taken(samples, tmp_path):
    for sample in samples:
        dots = (10_000 / 0.4,) * 2
        (tmp_path / "images").mkdir(exist_ok=True)
        tifffile.imwrite(
            tmp_path / "images" / f"{sample.name}.tif", sample.image, resolution=dots, resolutionunit=3
        )
        write_labels(tmp_path / "labels" / f"{sample.name}.png", sample.instances)
    seen = look(tmp_path)
    assert (seen.mpp, seen.mpp_from) == (pytest.approx(0.4), "files")
    write_image(tmp_path / "images" / "t0.png", samples[0].image)
    (tmp_path / "images" / "t0.tif").unlink()  # one that does not say it
    with pytest.raises(DataError, match="unknown"):
        look(tmp_path)


def test_binary_masks_are_refused(samples, tmp_path):
    for sample in samples:
        write_image(tmp_path / "images" / f"{sample.name}.png", sample.image)
        write_labels(tmp_path / "labels" / f"{sample.name}.png", (sample.instances > 0) * 255)
    with pytest.raises(
        DataError,
        match=r"6 of 6 images have wrong labels; t0: .*a binary mask.*skimage.measure.label",
    ):
        look(tmp_path, given={"mpp": 0.5})


def test_empty_label_maps_are_refused(samples, tmp_path):
    write_image(tmp_path / "images" / "a.png", samples[0].image)
    write_labels(tmp_path / "labels" / "a.png", np.zeros(samples[0].image.shape[:2], np.int32))
    with pytest.raises(DataError, match="contains a nucleus"):
        look(tmp_path, given={"mpp": 0.5})


def test_a_fault_is_told_and_the_rest_is_used(samples, folder):
    write_labels(folder / "labels" / "t3.png", samples[3].instances > 0)
    seen = look(folder)
    assert [fault.name for fault in seen.faults] == ["t3"]
    assert dict(seen.lines())["faults"].startswith("t3: this looks like a binary mask")


def test_an_image_without_its_labels_is_refused_as_training_would(folder):
    (folder / "labels" / "t3.png").unlink()
    with pytest.raises(DataError, match="1 of 6 images cannot be read with their labels; t3: no label map"):
        look(folder)


def test_patches_are_counted_without_reading_all(tmp_path, samples):
    for k, kind in enumerate(["a"] * 90 + ["b"] * 30):
        write_image(tmp_path / kind / f"{k}.png", samples[0].image[:32, :32])
    seen = look(tmp_path, given={"mpp": 0.5})
    assert (seen.task, seen.classes, seen.looked, len(seen.dataset)) == (
        "patches",
        {"a": 90, "b": 30},
        48,
        120,
    )


def test_a_task_that_the_labels_do_not_teach_is_refused(folder):
    with pytest.raises(DataError, match="--task patches needs a class for each image"):
        look(folder, task="patches")
    with pytest.raises(ConfigError, match="expected nuclei or patches"):
        look(folder, task="cells")


def test_columns_that_name_people_stand_before_those_that_name_places():
    records = tuple(
        Record(str(k), tags={"fold": str(k % 3), "Donor": str(k // 2), "site": "x"}) for k in range(4)
    )
    assert list(groups_of(records).items()) == [("Donor", 2), ("fold", 3)]
    assert groups_of((*records, Record("e", tags={"fold": "1", "Donor": ""}))) == {"fold": 3}
