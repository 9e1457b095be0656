"""What ``histoscope init`` prints and writes, and ``train --data`` takes."""

import pytest
import yaml
from typer.testing import CliRunner

from histoscope import data, synth
from histoscope.cli.main import app
from histoscope.config import load
from histoscope.errors import ConfigError, DataError
from histoscope.files import read_image, write_image
from histoscope.train.experiment import Experiment

SMALL = [
    "model.arguments={width: 4, depth: 2}",
    "train.patch_px=32",
    "train.steps=1",
    "train.tensorboard=false",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five tiles of five patients, whose pixel size no file says."""
    samples = synth.cohort(5, 1, shape_px=(64, 64), mpp=0.5, seed=0)
    root = data.write_folder(
        tmp_path_factory.mktemp("init") / "mine", samples, data.Datasheet("mine", mpp=0.5)
    )
    (root / "dataset.yaml").write_text("name: mine\n", encoding="utf-8")
    for path in (root / "images").iterdir():
        write_image(path, read_image(path))
    lines = (root / "index.csv").read_text(encoding="utf-8").splitlines()
    keep = [place for place, column in enumerate(lines[0].split(",")) if column != "mpp"]
    text = "\n".join(",".join(line.split(",")[place] for place in keep) for line in lines)
    (root / "index.csv").write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Give a function that calls a verb in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def called(*words):
        done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return called


def test_it_prints_what_it_saw_and_writes_what_train_reads(folder, call, tmp_path):
    said = call("init", folder, "--mpp", "0.5", "--no-time")
    headings = [line.split("  ")[0] for line in said.splitlines()]
    assert headings[:7] == [
        "layout",
        "images",
        "pixel size 0.5 um, as given",
        "labels",
        "classes",
        "patients",
        "stain",
    ]
    assert "mine.yaml written; next: histoscope train mine.yaml" in said
    written = load(Experiment, tmp_path / "mine.yaml")
    assert (written.data.root, written.data.mpp, written.model.name) == (folder, 0.5, "stardist")
    changes = [word for line in [*SMALL, "initial_weights=null", "out=run"] for word in ("--set", line)]
    call("train", "mine.yaml", *changes)
    assert (tmp_path / "run" / "per_image.csv").is_file()


def test_a_file_that_is_there_is_kept(folder, call, tmp_path):
    (tmp_path / "mine.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="--overwrite"):
        call("init", folder, "--mpp", "0.5", "--no-time")
    assert (tmp_path / "mine.yaml").read_text(encoding="utf-8") == "mine"
    call("init", folder, "--mpp", "0.5", "--no-time", "--overwrite")
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text(encoding="utf-8"))["data"]["mpp"] == 0.5


def test_without_a_pixel_size_nothing_is_written(folder, call, tmp_path):
    with pytest.raises(DataError, match=r"--mpp 0\.25"):
        call("init", folder)
    assert not list(tmp_path.iterdir())


def test_train_takes_a_folder_says_its_settings_and_goes_on_in_them(folder, call, tmp_path):
    changes = [word for line in ["data.mpp=0.5", *SMALL, "out=run"] for word in ("--set", line)]
    said = call("train", "--data", folder, *changes)
    assert "# " in said
    assert "split_by: patient" in said
    assert load(Experiment, tmp_path / "run" / "config.yaml").train.steps == 1
    assert call("train", "--data", folder, *changes)


@pytest.mark.parametrize("words", [[], ["a.yaml", "--data", "a"]])
def test_a_file_or_a_folder_is_given(call, words):
    with pytest.raises(ConfigError, match="expected a YAML file or --data FOLDER"):
        call("train", *words)


def test_a_file_names_itself_what_it_goes_on_from(call, tmp_path):
    (tmp_path / "a.yaml").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"--from works with --data.* set initial_weights: nuclei"):
        call("train", "a.yaml", "--from", "nuclei")
