"""``data from-edits``: from corrections beside results to a folder that training takes."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import histoscope as hs
from histoscope.cli.main import app
from histoscope.edits import Corrections
from histoscope.files import write_image


@pytest.fixture
def corrected(tmp_path):
    """Give a folder of results with corrections."""
    image = hs.synth.generate((192, 192), mpp=0.5, rng=1).image
    write_image(tmp_path / "in" / "a.png", image, mpp=0.5)
    call = ["predict", "nuclei-free", str(tmp_path / "in"), str(tmp_path / "out"), "--only", "geojson"]
    assert CliRunner().invoke(app, call).exit_code == 0
    corrections = Corrections(tmp_path / "out" / "a.geojson")
    corrections.add("confirm", "ada", polygon_px=[(0, 0), (128, 0), (128, 128), (0, 128)])
    corrections.add("delete", "ada", row=0)
    return tmp_path / "out"


def test_a_folder_is_written_and_what_to_do_next_is_said(corrected, tmp_path):
    result = CliRunner().invoke(app, ["data", "from-edits", str(corrected), str(tmp_path / "mine")])
    assert result.exit_code == 0, result.output
    assert "1 image with " in result.output
    assert "histoscope train --from MODEL --data" in result.output
    assert "licence" in result.output
    sample = hs.data.open("folder", tmp_path / "mine")[0]
    assert sample.image.shape == (128, 128, 3)
    assert (tmp_path / "mine" / "overlays" / f"{sample.name}.png").is_file()


def test_that_the_model_is_its_own_truth_is_said(corrected, tmp_path):
    call = ["data", "from-edits", str(corrected), str(tmp_path / "mine")]
    assert "the model's own" not in CliRunner().invoke(app, call).stderr
    call = ["data", "from-edits", str(corrected), str(tmp_path / "trusting"), "--trust-model"]
    assert "the model's own" in CliRunner().invoke(app, call).stderr


def test_few_nuclei_are_told(corrected, tmp_path, monkeypatch):
    call = ["data", "from-edits", str(corrected), str(tmp_path / "mine")]
    assert "may be too few to train on" in CliRunner().invoke(app, call).stderr
    monkeypatch.setattr("histoscope.cli.edits.FEW_NUCLEI", 1)
    call = ["data", "from-edits", str(corrected), str(tmp_path / "other")]
    assert "too few" not in CliRunner().invoke(app, call).stderr


def test_json_is_json(corrected, tmp_path):
    result = CliRunner().invoke(app, ["data", "from-edits", str(corrected), str(tmp_path / "mine"), "--json"])
    assert json.loads(result.stdout)["images"] == 1


def test_what_is_wrong_is_said_before_anything_is_written(corrected, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("mine")
    for arguments, words in (
        ([corrected, tmp_path / "full"], "not an empty folder"),
        ([tmp_path / "in", tmp_path / "mine"], "no corrected results"),
        ([corrected, tmp_path / "mine", "--slides", tmp_path / "full"], "give its folder with --slides"),
    ):
        result = CliRunner().invoke(app, ["data", "from-edits", *map(str, arguments)])
        assert result.exit_code
        assert words in str(result.exception)
        assert not (tmp_path / "mine").exists()


def test_one_slide_of_two_that_cannot_be_cut_is_told(corrected, tmp_path):
    write_image(tmp_path / "in" / "b.png", np.full((96, 96, 3), 240, np.uint8), mpp=0.5)
    call = ["predict", "nuclei-free", str(tmp_path / "in"), str(corrected), "--only", "geojson"]
    assert CliRunner().invoke(app, call).exit_code == 0
    one = Corrections(corrected / "b.geojson").add("confirm", "ada", polygon_px=[(0, 0), (90, 0), (90, 90)])
    Corrections(corrected / "b.geojson").add("undo", "ada", undoes=one.id)
    result = CliRunner().invoke(app, ["data", "from-edits", str(corrected), str(tmp_path / "mine")])
    assert result.exit_code == 1
    assert "left out b.png" in result.output


def test_a_model_goes_on_from_what_was_corrected(corrected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corrections = Corrections(corrected / "a.geojson")
    for x, y in ((128, 0), (0, 128), (128, 128)):  # they touch: corners and edges of the first
        shape = [(x + 1, y + 1), (x + 65, y + 1), (x + 65, y + 65), (x + 1, y + 65)]
        corrections.add("confirm", "ada", polygon_px=shape)
    call = ["data", "from-edits", str(corrected), "mine"]
    assert CliRunner().invoke(app, call).exit_code == 0
    assert len(hs.data.open("folder", "mine")) == 4
    changes = [
        "train.steps=1",
        "train.patch_px=32",
        "train.tensorboard=false",
        "train.accelerator=cpu",
        "out=run",
    ]
    call = ["train", "--from", "nuclei-free", "--data", "mine"]
    result = CliRunner().invoke(app, [*call, *(word for one in changes for word in ("--set", one))])
    assert result.exit_code == 0, result.output
    card = hs.models.read_card("run")
    assert card["begun from"] == "nuclei-free"
    assert card["training data"]["name"] == "mine"
