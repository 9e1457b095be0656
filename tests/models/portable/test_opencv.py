"""OpenCV runs in a process of its own: what it cannot run is a reason, and no crash of ours."""

import numpy as np
import pytest

from histoscope.models.portable import opencv, runtimes
from histoscope.models.portable.network import Portable

IMAGES = [np.zeros((1, 3, 32, 32), np.float32), np.ones((1, 3, 48, 32), np.float32)]


def test_outputs_come_in_the_order_of_their_names(stardist, tmp_path):
    pytest.importorskip("onnx")
    network, path = Portable(stardist).eval(), tmp_path / "model.onnx"
    runtimes.write_onnx(network, path, {})
    found = opencv.outputs(path, IMAGES, network.outputs)
    assert [[each.shape[1:] for each in one] for one in found] == [
        [(1, 16, 16), (8, 16, 16), (4, 16, 16), (3, 16, 16)],
        [(1, 24, 16), (8, 24, 16), (4, 24, 16), (3, 24, 16)],
    ]


def test_why_it_cannot_is_said(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no network")
    with pytest.raises(opencv.OpenCvError, match=r"\w+"):
        opencv.outputs(tmp_path / "model.onnx", IMAGES, ["output"])


def test_a_crash_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(opencv, "__file__", str(tmp_path / "crash.py"))
    (tmp_path / "crash.py").write_text("import os; os.abort()")
    with pytest.raises(opencv.OpenCvError, match="it crashes"):
        opencv.outputs(tmp_path / "model.onnx", IMAGES, ["output"])
