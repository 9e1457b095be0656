"""A whole experiment from YAML, through the command line."""

import json
import sys

import pytest
import yaml

from histoscope import data
from histoscope.cli import main
from histoscope.data import Datasheet
from histoscope.models import turns


@pytest.fixture
def recipe(samples, tmp_path):
    data.write_folder(
        tmp_path / "cohort", samples, Datasheet(name="cohort", title="A drawn cohort", licence="CC0-1.0")
    )
    path = tmp_path / "train.yaml"
    settings = {
        "data": {"root": str(tmp_path / "cohort"), "mpp": 0.5, "val": 0.25, "test": 0.25},
        "model": {"name": "unet", "arguments": {"width": 4, "depth": 2, "mpp": 0.5}},
        "normalizer": "macenko",
        "augment": "basic",
        "train": {"steps": 4, "batch_size": 2, "patch_px": 32, "evaluate_every": 4},
        "out": str(tmp_path / "run"),
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def cli(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["histoscope", *map(str, arguments)])
    try:
        main.main()
    except SystemExit as leave:
        return leave.code or 0
    return 0


def test_train_then_evaluate(recipe, tmp_path, monkeypatch, capsys):
    assert cli(monkeypatch, "train", recipe, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert set(scores) == {"images", "unit", "dice", "aji", "pq", "f1_50"}
    card = json.loads((tmp_path / "run" / "model" / "card.json").read_text())
    assert card["training data"]["licence"] == "CC0-1.0"
    assert card["stain normaliser"] == "macenko"
    assert (tmp_path / "run" / "model" / "stain_reference.json").is_file()
    everyone = [name for part in card["split"].values() for name in part]
    assert len(everyone) == len(set(everyone)) == 4

    before = (tmp_path / "run" / "per_image.csv").stat().st_mtime_ns
    assert cli(monkeypatch, "train", recipe, "--json") == 0  # finished: nothing is done again
    assert json.loads(capsys.readouterr().out) == scores
    assert (tmp_path / "run" / "per_image.csv").stat().st_mtime_ns == before

    out = tmp_path / "scores.csv"
    assert (
        cli(monkeypatch, "evaluate", tmp_path / "run", tmp_path / "cohort", "--mpp", "0.5", "--out", out) == 0
    )
    assert "95 % interval" in capsys.readouterr().out
    assert len(out.read_text().splitlines()) == 5

    seen, turn = set(), turns.turn
    monkeypatch.setattr(turns, "turn", lambda image, k: seen.add(k) or turn(image, k))
    assert cli(monkeypatch, "evaluate", tmp_path / "run", tmp_path / "cohort", "--mpp", "0.5", "--tta") == 0
    assert seen == set(range(8))


def test_test_images_that_training_began_from_have_been_seen(recipe, tmp_path, monkeypatch, capsys):
    assert cli(monkeypatch, "train", recipe) == 0
    assert "the model has seen" not in capsys.readouterr().err
    begun = [f"initial_weights={tmp_path / 'run' / 'model'}", "data.test=0.5", f"out={tmp_path / 'again'}"]
    assert cli(monkeypatch, "train", recipe, *(word for value in begun for word in ("--set", value))) == 0
    told = capsys.readouterr().err
    assert "test images: the model has seen 1 of 2 images: 1 trained on" in told
    assert "not all of these scores are on new images" in told


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.name=unett", "did you mean 'unet'"),
        ("normalizer=mackenko", "did you mean 'macenko'"),
        ("train.stepps=3", "did you mean 'steps'"),
        ("augment=basik", "did you mean 'basic'"),
        ("data.root=nowhere", "nowhere"),
        ("data.name=monusek", "did you mean 'monuseg'"),
    ],
)
def test_wrong_words_exit_with_two_and_help(recipe, monkeypatch, capsys, change, words):
    assert cli(monkeypatch, "train", recipe, "--set", change) == 2
    assert words in capsys.readouterr().err


def test_a_folder_of_other_settings_is_refused(recipe, monkeypatch, capsys):
    assert cli(monkeypatch, "train", recipe, "--json") == 0
    assert cli(monkeypatch, "train", recipe, "--set", "train.lr=0.5", "--set", "augment=none") == 2
    said = capsys.readouterr().err
    assert "augment is 'basic' there and 'none' here; train.lr is 0.001 there and 0.5 here" in said


def test_a_part_that_is_not_there_is_named(recipe, tmp_path, monkeypatch, capsys):
    assert cli(monkeypatch, "train", recipe, "--json") == 0
    assert (
        cli(monkeypatch, "evaluate", tmp_path / "run", tmp_path / "cohort", "--mpp", "0.5", "--split", "tset")
        == 2
    )
    assert "tset" in capsys.readouterr().err
