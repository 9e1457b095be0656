"""The job script is for the call that was given, which is checked before anything waits in a queue."""

import sys

import pytest
from typer.testing import CliRunner

from histoscope.cli.main import app
from histoscope.errors import HistoscopeError


def call(*words):
    return CliRunner().invoke(app, ["slurm", *map(str, words)])


def test_options_of_the_call_stay_with_it(tmp_path):
    done = call(
        "--tasks", 3, "--gpus", 0, "predict", "nuclei-free", tmp_path, "*.svs", "out", "--csv", "--mpp", "0.5"
    )
    assert done.exit_code == 0, done.output
    assert "--array=1-3\n" in done.stdout
    assert "gpu" not in done.stdout
    words = (
        f"{sys.executable} -m histoscope predict nuclei-free {tmp_path} '*.svs' out --csv --mpp 0.5 --claim\n"
    )
    assert words in done.stdout
    assert call("predict", "nuclei-free", tmp_path, "out", "--claim").stdout.count("--claim") == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["train", "a.yaml"], "expected a predict command"),
        (["predict", "nuclei-free", ".", "out", "--overwrite"], "--overwrite with --claim"),
        (["predict", "nuclei-fre", ".", "out"], "nuclei-free"),
        (["predict", "nuclei-free", "no/where", "out"], "no/where does not exist"),
    ],
)
def test_a_wrong_call_is_told_now(words, why):
    done = call(*words)
    assert isinstance(done.exception, HistoscopeError)
    assert why in str(done.exception)


def test_slides_elsewhere_are_sought_now():
    pytest.importorskip("fsspec").filesystem("memory").pipe_file("/slurm/in/a.svs", b"a")
    done = call("predict", "nuclei-free", "memory://slurm/in", "s3://lab/out", "--work", "work")
    assert "nuclei-free memory://slurm/in s3://lab/out --work work --claim\n" in done.stdout
    done = call("predict", "nuclei-free", "memory://slurm/in", "s3://lab/out")
    assert "give --work DIR" in str(done.exception)
    done = call("predict", "nuclei-free", "memory://slurm/none", "out")
    assert "memory://slurm/none does not exist" in str(done.exception)


def test_unknown_options_of_the_call_are_told_now(tmp_path):
    done = call("predict", "nuclei-free", tmp_path, "out", "--cvs")
    assert done.exit_code == 2
    assert "No such option" in done.output
