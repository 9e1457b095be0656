"""The verb says what was written, how exact it is, and under which licence."""

import pytest
from typer.testing import CliRunner

from histoscope.cli import export as verb
from histoscope.cli.main import app
from histoscope.models.portable import TARGETS
from histoscope.models.portable.qupath import SCRIPT


def call(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)], catch_exceptions=False)


def test_what_was_written_is_told(tmp_path):
    done = call("nuclei-free", tmp_path / "out", "--to", "torchscript")
    assert done.exit_code == 0
    first, *rest = done.stdout.splitlines()
    assert first.startswith(f"{tmp_path / 'out' / 'model.pt'}: RGB of 0 to 255, float32")
    assert "sides multiples of 16, 0.5 um per pixel" in first
    assert "TorchScript: within" in rest[0]
    assert "licence of the weights: Apache-2.0" in rest
    assert "trained on: synth (CC0 1.0)" in rest


def test_the_script_of_qupath_is_told(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    done = call("nuclei-free", tmp_path / "out", "--to", "qupath")
    assert f"{tmp_path / 'out' / SCRIPT}: open it in QuPath's script editor" in done.stdout
    assert "OpenCV" in done.stdout
    assert "ONNX Runtime: within" in done.stdout


def test_all_targets_and_files_have_words():
    assert {str(each) for each in verb.Target} == set(TARGETS)
    assert SCRIPT in verb._FILES
