"""Trained networks as files that other programs run: ONNX, TorchScript, and QuPath's StarDist extension."""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.models.portable.writing import Exported, export

_LAZY = {
    "Exported": "histoscope.models.portable.writing",
    "export": "histoscope.models.portable.writing",
}

__all__ = ["TARGETS", "Exported", "export"]

TARGETS = {
    "onnx": "ONNX, for ONNX Runtime, OpenCV and others; needs the extra onnx",
    "torchscript": "TorchScript, for libtorch and the Deep Java Library",
    "qupath": "ONNX and a script for QuPath's StarDist extension; needs the extra onnx",
}
"""Name -> who runs it."""

__getattr__, __dir__ = attach(__name__, _LAZY)
