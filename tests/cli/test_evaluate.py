"""``histoscope evaluate``: what it does with files that cannot be read, and with names of classes."""

import json
import sys
import warnings

import numpy as np
import pytest

from histoscope import data, models, synth
from histoscope.cli import main
from histoscope.data import Datasheet
from histoscope.tables import read_table


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate") / "cohort"
    samples = synth.cohort(3, 1, shape_px=(96, 96), mpp=0.5, stains=("default",), seed=1)
    names = dict(enumerate(("a", "b", "c", "d"), start=1))
    data.write_folder(root, samples, Datasheet(name="cohort", mpp=0.5, classes=names))
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "model"
    small = {"width": 2, "depth": 2, "head_width": 2, "n_rays": 4, "mpp": 0.5}
    return models.save(models.create("stardist", classes=["a", "b", "c", "x"], **small), folder, {})


def cli(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["histoscope", *map(str, arguments)])
    try:
        main.main()
    except SystemExit as leave:
        return leave.code or 0
    return 0


def test_a_broken_image_is_named_and_the_others_are_scored(cohort, model, tmp_path, monkeypatch, capsys):
    samples = list(data.open("folder", cohort))
    root, out = tmp_path / "cohort", tmp_path / "t.csv"
    data.write_folder(
        root, samples, Datasheet(name="cohort", mpp=0.5, classes={1: "a", 2: "b", 3: "c", 4: "x"})
    )
    broken = root / "images" / f"{samples[1].name}.png"
    broken.write_bytes(broken.read_bytes()[:200])
    assert cli(monkeypatch, "evaluate", model, root, "--out", out, "--json") == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["images"] == 2
    assert read_table(out)["name"].tolist() == [samples[0].name, samples[2].name]
    assert f"skipped {samples[1].name}: " in said.err
    assert "1 of 3 could not be scored" in said.err


def test_classes_of_other_names_are_told_or_given(cohort, model, tmp_path, monkeypatch, capsys):
    out = tmp_path / "t.csv"
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert cli(monkeypatch, "evaluate", model, cohort, "--out", out) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "does not know d" in line]
    assert len(lines) == 1
    assert lines[0].startswith("warning: the model does not know d")
    assert lines[0].endswith("the data set has no x: no score for that class")
    assert "tp_x" not in read_table(out)
    assert cli(monkeypatch, "evaluate", model, cohort, "--out", out, "--class", "d=x") == 0
    table = read_table(out)
    dataset = data.open("folder", cohort)
    true = [int((sample.classes[1:] == 4).sum()) for sample in dataset]
    assert (table["tp_x"] + table["fn_x"]).tolist() == true
    assert np.sum(true) > 0
    capsys.readouterr()
    for wrong, words in (("d", "expected two names"), ("q=x", "has no class 'q'"), ("D=a", "'D' twice")):
        assert cli(monkeypatch, "evaluate", model, cohort, "--class", "d=x", "--class", wrong) == 2
        assert words in capsys.readouterr().err


def test_a_table_that_cannot_be_written_is_told_before_the_work(cohort, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(models, "load", lambda folder: pytest.fail("the work began"))
    (tmp_path / "file").write_text("mine")
    for out, words in ((tmp_path, "it is a folder"), (tmp_path / "file" / "t.csv", "file is a file")):
        assert cli(monkeypatch, "evaluate", model, cohort, "--out", out) == 2
        assert words in capsys.readouterr().err


OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(3, 3, 1)
    def forward(self, x):
        return self.last(x)

def count_error(true, pred):
    return float(true.max()) - float(pred.max())
"""


def test_a_network_and_a_metric_of_ones_own(cohort, tmp_path, monkeypatch, capsys):
    (tmp_path / "own_here.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("histoscope.plugins._asked", set())
    models.save(models.create("own_here:Net", mpp=0.5), tmp_path / "model")
    monkeypatch.setattr("histoscope.plugins._asked", set())
    out = tmp_path / "t.csv"
    verb = ("evaluate", tmp_path / "model", cohort, "--metric", "own_here:count_error", "--out", out)
    assert cli(monkeypatch, *verb) == 2
    assert "--use own_here:Net" in capsys.readouterr().err
    assert cli(monkeypatch, "--use", "own_here:Net", *verb) == 0
    table = read_table(out)
    assert len(table["count_error"]) == 3
    assert table["count_error"].notna().all()
    assert cli(monkeypatch, "--use", "own_here", *verb) == 2
    assert "expected package.module:Name" in capsys.readouterr().err
    del sys.modules["own_here"]
