"""A study is of its pixels, labels and weights: others of the same names are refused, broken ones named."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from histoscope import data, synth
from histoscope.errors import ConfigError, DataError
from histoscope.files import read_image, read_labels, write_image, write_labels
from histoscope.images.digest import digest_of_sample
from histoscope.locks import alone_in
from histoscope.report.effects import effects
from histoscope.report.results import read_study
from histoscope.report.write import write_report
from histoscope.studies import content, run_study
from histoscope.studies import folder as study_folder
from histoscope.studies.config import StudyConfig
from histoscope.studies.events import silent
from histoscope.studies.task import task_of
from histoscope.types import Record

TRAIN = 4


def _written(folder: Path, names: list[str], patients: list[str]) -> Path:
    samples = synth.cohort(len(names), 1, shape_px=(64, 64), mpp=0.5, seed=3)
    samples = [replace(s, name=n, patient=p) for s, n, p in zip(samples, names, patients, strict=True)]
    records = [
        Record(s.name, s.patient, s.source, "train" if k < TRAIN else "test") for k, s in enumerate(samples)
    ]
    sheet = data.Datasheet("tiny", mpp=0.5, classes=dict(enumerate(synth.CLASSES, 1)))
    return data.write_folder(folder, samples, sheet, records=records)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Four training and three test images."""
    names = [f"t{k}" for k in range(7)]
    return _written(tmp_path / "images", names, [f"p{k}" for k in range(7)])


@pytest.fixture
def configure(images: Path, tmp_path: Path):
    """Give a function that makes the configuration of a study of one tiny run."""

    def make(**changes) -> StudyConfig:
        steps = {"steps": 2, "batch_size": 1, "patch_px": 32, "accelerator": "cpu", "tensorboard": False}
        values = {
            "study": "stain",
            "data": {"name": "folder", "root": str(changes.pop("root", images)), "val": 0.25},
            "models": {"unet": {"width": 4, "depth": 2, "mpp": 0.5}},
            "train": {**steps, "evaluate_every": 2, "checkpoint_every": 2},
            "augment": "none",
            "levels": ["none"],
            "seeds": [0],
            "conditions": ["test"],
            "out": str(tmp_path / "study"),
        }
        return StudyConfig.model_validate({**values, **changes})

    return make


def _flip_image(root: Path) -> None:
    path = root / "images" / "t5.png"
    write_image(path, read_image(path)[::-1].copy())


def _flip_labels(root: Path) -> None:
    path = next((root / "labels").glob("t1.*"))
    write_labels(path, read_labels(path)[::-1].copy())


def _rename_class(root: Path) -> None:
    path = root / "dataset.yaml"
    path.write_text(path.read_text().replace("plasma", "mast cell"))


@pytest.mark.parametrize(
    ("change", "said"), [(_flip_image, "t5"), (_flip_labels, "t1"), (_rename_class, "its classes")]
)
def test_other_content_under_the_same_names_is_refused(configure, images, change, said) -> None:
    run_study(configure())
    change(images)
    with pytest.raises(ConfigError, match=f"1 of 7 in 'data' have changed since .first: {said}"):
        run_study(configure(levels=["none", "reinhard"]))


def test_the_same_content_elsewhere_is_welcome(configure, images, tmp_path) -> None:
    run_study(configure())
    moved = shutil.copytree(images, tmp_path / "moved", copy_function=shutil.copyfile)
    summary = run_study(configure(root=moved, levels=["none", "reinhard"]))
    assert summary.kept == ("none-unet-seed0",)
    assert summary.done == ("reinhard-unet-seed0",)


def test_two_calls_do_not_run_one_study(configure, tmp_path) -> None:
    run_study(configure())
    more = configure(levels=["none", "reinhard"])
    with alone_in(tmp_path / "study"), ThreadPoolExecutor(1) as another:
        refused = another.submit(run_study, more)
        with pytest.raises(ConfigError, match=f"study is being written by process {os.getpid()}"):
            refused.result()
    assert run_study(more).done == ("reinhard-unet-seed0",)


def test_other_weights_to_begin_from_are_refused(configure, tmp_path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    config = configure(models={"unet": {"weights": str(weights)}}, out=str(tmp_path))
    found = []
    for byte in (b"a", b"b"):
        (weights / content.WEIGHTS).write_bytes(byte)
        given = content.weight_files(task_of(config).weights(), config.data.root)
        found.append(content.read({}, tmp_path, silent, weights=given))
    content.write(tmp_path, found[0])
    content.check(tmp_path, found[0])
    with pytest.raises(ConfigError, match=r"'weights' have changed since .first: models\.unet\.weights"):
        content.check(tmp_path, found[1])


def test_a_broken_test_image_is_named_and_left_out_of_every_level(configure, images, tmp_path) -> None:
    path = images / "images" / "t5.png"
    path.write_bytes(path.read_bytes()[:100])
    summary = run_study(configure(levels=["none", "reinhard"]))
    assert not summary.failed
    assert list(summary.left_out) == ["t5"]
    assert "t5.png" in summary.left_out["t5"]
    for run in read_study(tmp_path / "study").finished():
        assert run.table["name"].tolist() == ["t4", "t6"]
    page = write_report(tmp_path / "study").read_text(encoding="utf-8")
    assert "t5" in page
    assert "left out" in page.lower()
    assert run_study(configure(levels=["none", "reinhard"])).left_out == summary.left_out


def test_a_broken_training_image_is_an_error_before_anything_is_trained(configure, images, tmp_path) -> None:
    path = images / "images" / "t0.png"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"1 of 4 training images cannot be read .*t0\.png"):
        run_study(configure())
    assert not (tmp_path / "study").exists()


def test_no_test_image_that_can_be_read_is_an_error(configure, images, tmp_path) -> None:
    for name in ("t4", "t5", "t6"):
        (images / "images" / f"{name}.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 3 test images"):
        run_study(configure())


def test_names_that_look_like_gaps_or_numbers_stay_names(configure, tmp_path) -> None:
    names = ["a", "b", "c", "d", "NA", "005", "None", "nan", "null", "5"]
    patients = ["w", "x", "y", "z", "NA", "NA", "None", "null", "01", "1"]
    root = _written(tmp_path / "odd", names, patients)
    run_study(configure(root=root, levels=["none", "reinhard"]))
    study = read_study(tmp_path / "study")
    for run in study.finished():
        assert run.table["name"].tolist() == names[TRAIN:]
        assert run.table["patient"].tolist() == patients[TRAIN:]
    against = [row for row in effects(study) if row.metric == "aji" and not row.is_baseline]
    assert [(row.n_pairs, row.unit, row.n_images) for row in against] == [(5, "patient", 6)]
    write_report(study.folder)
    assert set(pd.read_csv(study.folder / "results.csv")["n_units"]) == {5}


def test_what_is_read_once_says_what_it_is_of(configure, images) -> None:
    dataset = data.open("folder", images)
    events = []
    found = content.read({study_folder.DATA: dataset}, configure().folder, events.append)
    assert found["name"].tolist() == [content.CLASSES, *(record.name for record in dataset.records)]
    assert found["digest"].is_unique
    assert [event.done for event in events] == [1, 2, 3, 4, 5, 6, 7, 0]


def test_digests_are_of_pixels_labels_classes_and_resolution() -> None:
    sample = synth.generate((32, 32), mpp=0.5, rng=np.random.default_rng(0))
    lighter = replace(sample, image=np.maximum(sample.image, 90))
    fewer = replace(sample, instances=np.where(sample.instances == 1, 0, sample.instances))
    others = replace(sample, classes=np.roll(sample.classes, 1) * (np.arange(len(sample.classes)) > 0))
    finer = replace(sample, mpp=0.25)
    made = [digest_of_sample(one) for one in (sample, lighter, fewer, others, finer)]
    assert len(set(made)) == 5


def test_study_yaml_is_readable(configure, tmp_path) -> None:
    run_study(configure())
    assert yaml.safe_load((tmp_path / "study" / "study.yaml").read_text())["study"] == "stain"
