"""``histoscope synth`` writes a data set that reads back, or says why not."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from histoscope import data, synth
from histoscope.cli.main import app
from histoscope.errors import ConfigError, DataError, UnknownNameError


def _run(*args: str | Path) -> str:
    done = CliRunner().invoke(app, ["synth", *map(str, args)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_folder_reads_back_pixel_for_pixel(tmp_path: Path) -> None:
    out = tmp_path / "tissue"
    answer = json.loads(
        _run(out, "--n", "5", "--patients", "2", "--size", "48", "--mpp", "0.5", "--seed", "3", "--json")
    )
    dataset = data.open("folder", root=out)
    drawn = synth.cohort(2, [3, 2], shape_px=(48, 48), mpp=0.5, seed=3)
    assert [record.name for record in dataset.records] == [sample.name for sample in drawn]
    for read, sample in zip((dataset[k] for k in range(5)), drawn, strict=True):
        assert np.array_equal(read.image, sample.image)
        assert np.array_equal(read.instances, sample.instances)
        assert np.array_equal(read.classes, sample.classes)
        assert (read.mpp, read.patient, read.source) == (0.5, sample.patient, sample.source)
    assert answer["images"], answer["patients"] == (5, 2)
    assert sum(answer["nuclei"].values()) == sum(len(sample.classes) - 1 for sample in drawn)
    assert dict(dataset.info.classes) == {number: name for name, number in synth.CLASSES.items()}


def test_stains_are_taken_in_turn(tmp_path: Path) -> None:
    out = tmp_path / "tissue"
    text = _run(out, "--n", "2", "--patients", "2", "--size", "64", "--stain", "pink", "--stain", "blue")
    assert "2 images of 2 patients" in text
    dataset = data.open("folder", root=out)
    assert dataset[0].image[..., 0].mean() > dataset[1].image[..., 0].mean()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["--stain", "purpel"], UnknownNameError, "purple"),
        (["--mpp", "0"], ConfigError, "mpp"),
        (["--n", "2", "--patients", "3"], ConfigError, "--patients is 3"),
    ],
)
def test_wrong_input_writes_nothing(tmp_path: Path, options: list[str], error: type, words: str) -> None:
    out = tmp_path / "tissue"
    with pytest.raises(error, match=words):
        _run(out, "--n", "2", "--size", "16", *options)
    assert not out.exists()


def test_full_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not an empty folder"):
        _run(tmp_path, "--n", "1", "--size", "16")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
