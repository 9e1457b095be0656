import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from histoscope import models
from histoscope.cli.main import app
from histoscope.errors import ConfigError, DataError, MissingDependencyError
from histoscope.files import read_image, write_image


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    small = {"width": 4, "depth": 2}
    model = models.create(
        "classifier", backbone="unet", classes=["pink", "purple"], patch_px=16, mpp=1.0, options=small
    )
    return models.save(model, tmp_path / "model")


@pytest.fixture
def patches(tmp_path, rng):
    rows = ["path,class,group,split"]
    for k in range(8):
        kind = ("pink", "purple")[k % 2]
        image = rng.integers(100, 200, (16, 16, 3), np.uint8)
        write_image(tmp_path / "data" / kind / f"t{k}.png", image)
        rows.append(f"{kind}/t{k}.png,{kind},g{k // 2},{'train' if k < 4 else 'test'}")
    (tmp_path / "data" / "index.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path / "data"


def call(*arguments):
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


def test_a_page_a_sheet_figures_and_a_table(folder, patches, tmp_path):
    out = tmp_path / "out"
    done = call(folder, patches, out, "--mpp", 1, "--which", "surest", "--split", "test", "--n", 2)
    assert done.exit_code == 0, done.output
    assert "4 patches" in done.stdout
    assert "2 shown" in done.stdout
    written = {path.name for path in out.iterdir()}
    assert written == {
        "patches.html",
        "patches.png",
        "confusion.svg",
        "reliability.svg",
        "predictions.csv",
        "explained.jsonl",
    }
    assert (out / "patches.html").read_text(encoding="utf-8").count("<figure>") == 2
    assert read_image(out / "patches.png").std() > 0
    assert len((out / "predictions.csv").read_text(encoding="utf-8").splitlines()) == 5


def test_files_of_the_user_stay_and_its_own_are_replaced(folder, patches, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert call(folder, patches, out, "--mpp", 1).exit_code == 0
    assert call(folder, patches, out, "--mpp", 1).exit_code == 0
    (out / "predictions.csv").write_text("with notes of mine")
    done = call(folder, patches, out, "--mpp", 1)
    assert isinstance(done.exception, ConfigError)
    assert "predictions.csv has been changed since" in str(done.exception)
    assert (out / "predictions.csv").read_text() == "with notes of mine"
    for inside in (patches, patches / "out"):
        done = call(folder, patches, inside, "--mpp", 1)
        assert isinstance(done.exception, ConfigError)
        assert "inside the folder of patches" in str(done.exception)


def test_a_missing_extra_is_told_before_the_work(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    done = call(folder, tmp_path / "no patches", tmp_path / "out", "--mpp", 1)
    assert isinstance(done.exception, MissingDependencyError)
    assert "pip install 'histoscope[explain]'" in str(done.exception)


def test_bad_files_are_told_and_the_rest_goes_on(folder, patches, tmp_path):
    (patches / "pink" / "t0.png").write_bytes(b"no picture")
    done = call(folder, patches, tmp_path / "out", "--mpp", 1)
    assert done.exit_code == 1
    assert "7 patches" in done.stdout
    assert "skipped pink__t0" in done.stderr


def test_wrong_input_is_told(folder, patches, tmp_path):
    done = call(folder, patches, tmp_path / "out", "--mpp", 1, "--split", "tset")
    assert isinstance(done.exception, DataError)
    nuclei = models.save(models.create("unet", width=4, depth=2), tmp_path / "unet")
    done = call(nuclei, patches, tmp_path / "out", "--mpp", 1)
    assert isinstance(done.exception, ConfigError)
    assert "expected a classifier" in str(done.exception)
