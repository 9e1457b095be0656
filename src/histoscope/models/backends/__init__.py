"""Libraries that networks predict with on a processor: torch, or a faster one where it is installed."""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.models.backends.choosing import use
    from histoscope.models.backends.runner import used

_LAZY = {
    "use": "histoscope.models.backends.choosing",
    "used": "histoscope.models.backends.runner",
}

__all__ = ["AUTO", "BACKENDS", "TORCH", "use", "used"]

AUTO, TORCH = "auto", "torch"
BACKENDS = {
    TORCH: "what networks are trained with; always there",
    "openvino": "OpenVINO, for processors; needs the extra openvino",
    "onnxruntime": "ONNX Runtime, for processors; needs the extra onnx",
}
"""Name -> what it is."""

__getattr__, __dir__ = attach(__name__, _LAZY)
