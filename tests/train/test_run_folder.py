"""The folder of a run: what it holds decides what a call may do, and nothing of anybody's is lost."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pandas as pd
import pytest
import torch

from histoscope import data, models, synth
from histoscope.data import Datasheet
from histoscope.errors import ConfigError, HistoscopeError
from histoscope.locks import LOCK
from histoscope.models.patches.classifier import Classifier
from histoscope.train import experiment
from histoscope.train.experiment import Experiment
from histoscope.types import Record


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Images whose names and patients are digits, or read like gaps."""
    root = tmp_path_factory.mktemp("cohort")
    made = synth.cohort(7, 1, shape_px=(64, 64), mpp=0.5, stains=("default",), seed=0)
    names = ["001", "002", "003", "NA", "005", "null", "1e3"]
    patients = ["7", "8", "9", "0", "0", "NA", "1.0"]
    parts = ["train", "train", "val", "test", "test", "test", "test"]
    samples = [
        replace(sample, name=name, patient=patient, source=name)
        for sample, name, patient in zip(made, names, patients, strict=True)
    ]
    records = [
        Record(name, patient=patient, source=name, split=part)
        for name, patient, part in zip(names, patients, parts, strict=True)
    ]
    sheet = Datasheet("lab", licence="CC BY 4.0", mpp=0.5, classes=dict(enumerate(synth.CLASSES, 1)))
    data.write_folder(root, samples, sheet, records=records)
    return root


@pytest.fixture
def settings(cohort, tmp_path):
    def make(**changes):
        train = {"steps": 4, "batch_size": 1, "patch_px": 32, "evaluate_every": 2, "tensorboard": False}
        given = {
            "data": {"root": cohort, "split_by": "published"},
            "model": {"name": "unet", "arguments": {"width": 4, "depth": 2, "mpp": 0.5}},
            "augment": "none",
            "out": tmp_path / "run",
        }
        train |= changes.pop("train", {})
        return Experiment(**{**given, **changes, "train": train})

    return make


class Stop(Exception):  # noqa: N818  # stands for a kill
    pass


def stopped_at(step):
    def on_step(now, losses):
        if now == step:
            raise Stop

    return on_step


def test_what_cannot_begin_leaves_no_folder_that_stops_the_corrected_call(settings, tmp_path):
    with pytest.raises(ConfigError, match="patch_px is 33"):
        experiment.run(settings(train={"patch_px": 33}))
    assert not (tmp_path / "run").exists()


def test_a_finished_run_answers_the_same_again_and_says_that_it_did_nothing(settings):
    first = experiment.run(settings())
    said = []
    again = experiment.run(settings(), on_note=said.append)
    pd.testing.assert_frame_equal(first, again)
    assert again["name"].tolist() == ["NA", "005", "null", "1e3"]
    assert again["patient"].tolist() == ["0", "0", "NA", "1.0"]
    assert len(said) == 1
    assert "nothing was trained" in said[0]


def test_a_killed_training_leaves_a_folder_that_predicts_right(settings):
    chosen = settings(normalizer="macenko")
    with pytest.raises(Stop):
        experiment.run(chosen, on_step=stopped_at(3))
    card = models.read_card(chosen.out / "model")
    assert card["weights licence"] == "CC BY 4.0"
    assert card["stain normaliser"] == models.normalizer_of(chosen.out).name == "macenko"
    assert card["split"]["test"] == ["NA", "005", "null", "1e3"]


def test_more_steps_go_on_from_a_finished_run(settings):
    experiment.run(settings())
    before = (settings().out / "per_image.csv").read_bytes()
    steps, said = [], []
    longer = settings(train={"steps": 6})
    experiment.run(longer, on_step=lambda step, _: steps.append(step), on_note=said.append)
    assert steps == [5, 6]
    assert any("continues from the first 4" in line for line in said)
    assert (longer.out / "per_image_4_steps.csv").read_bytes() == before
    assert "steps: 6" in (longer.out / "config.yaml").read_text()
    experiment.run(longer, on_step=stopped_at(0))  # finished in its turn
    with pytest.raises(ConfigError, match=r"train\.steps is 6 there and 4 here"):
        experiment.run(settings())


def test_a_run_goes_on_with_the_images_that_it_began_with_alone(settings, cohort, tmp_path):
    root = tmp_path / "images"
    shutil.copytree(cohort, root)
    given = {"root": root, "split_by": "published"}
    experiment.run(settings(data=given))
    old = {path: path.read_bytes() for path in settings().out.rglob("*") if path.is_file()}
    longer = settings(data=given, train={"steps": 6})
    image = root / "images" / "002.png"
    kept = image.read_bytes()
    shutil.copyfile(root / "images" / "001.png", image)
    with pytest.raises(ConfigError, match=r"other images: 1 name of 3 differ \(first: '002'\)"):
        experiment.run(longer)
    assert {path: path.read_bytes() for path in settings().out.rglob("*") if path.is_file()} == old
    image.write_bytes(kept)
    assert len(experiment.run(longer)) == 4


@pytest.mark.parametrize(("part", "name"), [("images", "005"), ("labels", "001")])
def test_a_finished_run_says_that_its_images_have_changed(settings, cohort, tmp_path, part, name):
    shutil.copytree(cohort, root := tmp_path / "images")
    chosen = settings(data={"root": root, "split_by": "published"})
    first, said = experiment.run(chosen), []
    shutil.copyfile(root / part / "002.png", root / part / f"{name}.png")
    with pytest.raises(ConfigError, match=rf"1 of 7 have changed since \(first: '{name}'\)"):
        experiment.run(chosen)
    shutil.rmtree(root)
    pd.testing.assert_frame_equal(experiment.run(chosen, on_note=said.append), first)
    assert said[0].startswith("whether its images have changed since cannot be told: ")


def test_more_steps_go_on_from_a_stopped_run(settings):
    with pytest.raises(Stop):
        experiment.run(settings(train={"checkpoint_every": 2}), on_step=stopped_at(3))
    steps = []
    longer = settings(train={"steps": 6, "checkpoint_every": 2})
    experiment.run(longer, on_step=lambda step, _: steps.append(step))
    assert steps == [3, 4, 5, 6]


def test_other_settings_are_named_with_both_values(settings):
    experiment.run(settings())
    with pytest.raises(
        ConfigError, match=r"normalizer is 'none' there and 'macenko' here; train\.lr is 0\.001"
    ):
        experiment.run(settings(normalizer="macenko", train={"lr": 0.1}))


def test_a_run_that_moved_is_the_same_run(settings, tmp_path):
    first = experiment.run(settings())
    (tmp_path / "run").rename(tmp_path / "moved")
    pd.testing.assert_frame_equal(experiment.run(settings(out=tmp_path / "moved")), first)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": {"name": "unet", "arguments": {"width": 4, "depth": 6, "mpp": 0.5}}},  # patches too small
        {"train": {"monitor": "auroc"}},
        {"balance": "both"},  # a U-Net has no classes
        {"initial_weights": "nowhere"},
        {"synthetic": {"root": "nowhere"}},
    ],
    ids=str,
)
def test_a_refused_call_does_not_block_the_folder(settings, wrong):
    with pytest.raises(HistoscopeError):
        experiment.run(settings(**wrong))
    assert len(experiment.run(settings())) == 4


def test_a_run_that_kept_nothing_does_not_block_the_folder(settings):
    with pytest.raises(Stop):
        experiment.run(settings(), on_step=stopped_at(1))  # as memory may end the first step
    assert (settings().out / "config.yaml").is_file()
    assert len(experiment.run(settings(train={"batch_size": 2}))) == 4


@pytest.mark.parametrize("name", ["per_image.csv", "checkpoint.safetensors", "model/card.json"])
def test_a_folder_of_something_else_is_left_alone(settings, name):
    mine = settings().out / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ConfigError, match=r"no config\.yaml"):
        experiment.run(settings())
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("text", ["mine: 1\n", "# mine\ndata: {root: elsewhere}\nmodel: {name: unet}\n"])
def test_a_configuration_of_somebodys_own_is_left_alone(settings, text):
    settings().out.mkdir()
    mine = settings().out / "config.yaml"
    mine.write_text(text)
    with pytest.raises(ConfigError, match="other settings"):
        experiment.run(settings())
    assert mine.read_text() == text


def test_a_file_in_the_place_of_the_folder_is_named(settings, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ConfigError, match="file is a file"):
            experiment.run(settings(out=out))


def test_two_trainings_do_not_write_one_folder(settings):
    def another(step, losses):
        with ThreadPoolExecutor(1) as thread:
            for chosen in (settings(), settings(train={"batch_size": 2})):
                with pytest.raises(ConfigError, match=f"is being written by process {os.getpid()} on "):
                    thread.submit(experiment.run, chosen).result()

    before = experiment.run(settings(), on_step=another)
    assert not (settings().out / LOCK).exists()
    pd.testing.assert_frame_equal(experiment.run(settings()), before)


def test_a_reference_that_nothing_uses_is_refused(settings, tmp_path):
    with pytest.raises(ConfigError, match="'reference' is for a normaliser"):
        experiment.run(settings(reference=tmp_path / "lab.json"))
    assert not settings().out.exists()


def test_what_is_in_which_part_is_said_first(settings):
    said = []
    experiment.run(settings(), on_note=said.append)
    assert said[0] == "reading 7 images"
    assert said[1].startswith("training: 2 images of 2 patients, ")
    assert said[2].startswith("validation: 1 image of 1 patient, ")
    assert said[3].startswith("test: 4 images of 3 patients, ")
    card = json.loads((settings().out / "model" / "card.json").read_text())
    assert card["test"]["images"] == 4


def test_a_probe_keeps_normaliser_and_licence(patches, tmp_path, monkeypatch):
    made = data.InMemory.of(
        [replace(patch, patient=f"p{k // 6}{patch.label}") for k, patch in enumerate(patches)],
        Datasheet("drawn", classes={0: "normal", 1: "tumour"}, mpp=0.5, licence="CC0"),
    )
    monkeypatch.setattr(data, "open", lambda *given, **more: made)
    chosen = Experiment(
        data={"name": "class_folder", "root": tmp_path, "split_by": "patient", "val": 0.25, "test": 0.25},
        model={
            "name": "classifier",
            "arguments": {"backbone": "unet", "patch_px": 20, "options": {"width": 4, "depth": 2}},
        },
        normalizer="reinhard",
        probe={"cache": None, "l2": [1.0]},
        train={"tensorboard": False},
        out=tmp_path / "run",
    )
    first = experiment.run(chosen)
    card = models.read_card(chosen.out / "model")
    assert (card["weights licence"], models.normalizer_of(chosen.out).name) == ("CC0", "reinhard")
    pd.testing.assert_frame_equal(experiment.run(chosen), first)
    assert isinstance(models.load(chosen.out), Classifier)
    assert torch.isfinite(models.load(chosen.out).head.weight).all()
