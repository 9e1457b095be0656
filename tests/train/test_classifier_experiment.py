"""A classifier from YAML to its scores, through the command line."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from histoscope import data, models
from histoscope.cli import main
from histoscope.cli.scores import SHOWN_OF_PATCHES
from histoscope.errors import ConfigError
from histoscope.files import write_image
from histoscope.train import experiment


@pytest.fixture
def recipe(patches, tmp_path):
    """Patches with an index that knows their photographs, a pretrained backbone beside them, and settings."""
    root = tmp_path / "set"
    lines = ["path,class,group"]
    for sample in patches:
        kind = ["normal", "tumour"][sample.label]
        write_image(root / "images" / kind / f"{sample.name}.png", sample.image)
        lines.append(f"{kind}/{sample.name}.png,{kind},{sample.source}")
    (root / "index.csv").write_text("\n".join(lines) + "\n")
    models.save(models.create("unet", width=4, depth=2, mpp=0.5), tmp_path / "unet_of_this_test")
    settings = {
        "data": {
            "name": "class_folder",
            "root": str(root),
            "mpp": 0.5,
            "split_by": "source",
            "val": 0.25,
            "test": 0.25,
        },
        "model": {
            "name": "classifier",
            "arguments": {
                "backbone": "unet",
                "options": {"width": 4, "depth": 2},
                "patch_px": 20,
                "weights": "../unet_of_this_test",
            },
        },
        "augment": "basic",
        "train": {"steps": 6, "batch_size": 4, "evaluate_every": 3, "tensorboard": False},
        "out": str(tmp_path / "run"),
    }
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def cli(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["histoscope", *map(str, arguments)])
    try:
        main.main()
    except SystemExit as leave:
        return leave.code or 0
    return 0


PROBE = ["--set", "probe={l2: [1, 100], cache: null}"]


@pytest.mark.parametrize("more", [[], PROBE], ids=["fine-tuned", "probe"])
def test_train_then_evaluate(recipe, tmp_path, monkeypatch, capsys, more):
    assert cli(monkeypatch, "train", recipe, "--json", *more) == 0
    told = capsys.readouterr()
    scores = json.loads(told.out)
    assert set(scores) == {"patches", "unit", "classes", *SHOWN_OF_PATCHES}
    assert "loaded 24 tensors" in told.err
    assert "newly made 2: head.weight, head.bias" in told.err
    card = models.read_card(tmp_path / "run" / "model")
    assert card["test"]["accuracy"] == pytest.approx(scores["accuracy"]["estimate"], abs=1e-4)
    assert ("probe" in card) == bool(more)
    dataset = data.open("class_folder", tmp_path / "set", mpp=0.5)
    source = {record.name: record.source for record in dataset.records}
    groups = [{source[name] for name in part} for part in card["split"].values()]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert {len(part) > 0 for part in groups} == {True}

    table = pd.read_csv(tmp_path / "run" / "per_image.csv")
    assert cli(monkeypatch, "train", recipe, "--json", *more) == 0  # finished: nothing is done again
    assert json.loads(capsys.readouterr().out) == scores
    out = tmp_path / "scores.csv"
    evaluate = ["evaluate", tmp_path / "run", tmp_path / "set", "--data", "class_folder", "--mpp", "0.5"]
    assert cli(monkeypatch, *evaluate, "--out", out) == 0
    assert "interval by group" in capsys.readouterr().out
    again = pd.read_csv(out).set_index("name").loc[table["name"]]
    np.testing.assert_allclose(again["p_tumour"], table["p_tumour"], atol=1e-4)


def test_a_corrupt_patch_is_skipped_and_named(recipe, tmp_path, monkeypatch, capsys):
    (tmp_path / "set" / "images" / "normal" / "p8.png").write_bytes(b"torn")
    for more in ([], [*PROBE, "--set", f"out={tmp_path / 'probe'}"]):
        assert cli(monkeypatch, "train", recipe, "--json", *more) == 0
        assert "skipped 1 patches" in capsys.readouterr().err
    evaluate = ["evaluate", tmp_path / "run", tmp_path / "set", "--data", "class_folder", "--mpp", "0.5"]
    assert cli(monkeypatch, *evaluate, "--json") == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["patches"] == 23
    assert "normal__p8" in told.err


def test_a_group_of_two_classes_is_named_and_learned_from(recipe, tmp_path, monkeypatch, capsys):
    index = tmp_path / "set" / "index.csv"
    table = pd.read_csv(index)
    firsts = table.groupby("class")["group"].first()
    table.loc[table["group"].isin(firsts), "group"] = "two_of_them"
    table.to_csv(index, index=False)
    assert cli(monkeypatch, "train", recipe, "--json", *PROBE) == 0
    assert "several classes: 1" in " ".join(capsys.readouterr().err.split())


def test_settings_that_came_later_do_not_make_a_run_another(recipe, tmp_path, monkeypatch):
    assert cli(monkeypatch, "train", recipe, "--json") == 0
    settled = tmp_path / "run" / "config.yaml"
    values = yaml.safe_load(settled.read_text())
    del values["probe"], values["train"]["transfer"]
    settled.write_text(yaml.safe_dump(values))
    assert cli(monkeypatch, "train", recipe, "--json") == 0
    settled.write_text("what: is this")
    assert cli(monkeypatch, "train", recipe, "--json") == 2


def test_transfer_is_part_of_the_settings(recipe, monkeypatch, capsys):
    transfer = "train.transfer={layer_decay: 0.5, unfreeze_every: 2}"
    assert cli(monkeypatch, "train", recipe, "--json", "--set", transfer) == 0
    assert cli(monkeypatch, "train", recipe, "--set", "train.transfer={layer_dekay: 0.5}") == 2
    assert "layer_decay" in capsys.readouterr().err


def test_settings_of_an_earlier_version_are_the_same_settings(recipe, tmp_path, monkeypatch, capsys):
    chosen = ["--set", "train.transfer.unfreeze_every=2", "--set", "probe={l2: [1, 100], cache: null}"]
    assert cli(monkeypatch, "train", recipe, "--json", *chosen) == 0
    settled = tmp_path / "run" / "config.yaml"
    text = settled.read_text()
    settled.write_text(text.replace("unfreeze_every", "thaw_every").replace("  l2:", "  pulls:"))
    assert settled.read_text() != text
    capsys.readouterr()
    assert cli(monkeypatch, "train", recipe, "--json", *chosen) == 0
    told = capsys.readouterr().err
    assert "is finished" in told
    assert "is now" not in told
    settled.write_text(text)
    older = [change.replace("l2", "pulls") for change in chosen]
    assert cli(monkeypatch, "train", recipe, "--json", *older) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "warning: pulls is now l2; the old name will be removed in the next version"
    assert "is finished" in told[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.arguments.weights=nowhere.pth", "no weights at nowhere.pth"),
        ("model.arguments.backbone=resnett18", "did you mean 'resnet18'"),
        ("model.arguments.options={width: 8, depth: 2}", "does not fit the backbone"),
        ("train.monitor=auroq", "train.monitor"),
        ("probe.l2=[0]", "l2"),
    ],
)
def test_wrong_words_exit_with_two_and_help(recipe, monkeypatch, capsys, change, words):
    assert cli(monkeypatch, "train", recipe, "--set", change) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_class_in_the_test_part_alone_is_refused(recipe, tmp_path):
    index = tmp_path / "set" / "index.csv"
    lines = index.read_text().splitlines()
    split = ["split", *("test" if ",tumour," in line else "train" for line in lines[1:])]
    index.write_text("\n".join(f"{line},{part}" for line, part in zip(lines, split, strict=True)))
    from histoscope.config import load

    chosen = load(experiment.Experiment, recipe, ["data.split_by=published", "data.val_by=source"])
    with pytest.raises(Exception, match=r"no training patch is of class 'tumour'"):
        experiment.run(chosen)


def test_a_segmenter_has_no_probe(recipe, tmp_path):
    from histoscope.config import load

    chosen = load(experiment.Experiment, recipe, ["model={name: unet}", "probe={}"])
    with pytest.raises(ConfigError, match="probe"):
        experiment.run(chosen)
