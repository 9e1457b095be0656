"""Inference: nuclei or classes from a trained model, for one image or a folder of images.

>>> from histoscope import predict
>>> "predict" in dir(predict)
True
"""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.predict.detector import Detector, predict
    from histoscope.predict.patch_classifier import PatchClassifier
    from histoscope.predict.tilemap import classify_tiles

__all__ = ["Detector", "PatchClassifier", "classify_tiles", "predict"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "Detector": "detector",
        "PatchClassifier": "patch_classifier",
        "classify_tiles": "tilemap",
        "predict": "detector",
    },
)
