"""From images to nuclei in files: find, measure, outline, draw, and write for QuPath.

>>> import numpy as np
>>> from histoscope import slides
>>> square = np.zeros((5, 5), np.int32)
>>> square[1:4, 1:4] = 1
>>> len(slides.trace(square))
1
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from histoscope.slides.detector import Detector, predict
    from histoscope.slides.features import measure
    from histoscope.slides.geojson import write_geojson
    from histoscope.slides.outlines import Outlines, trace
    from histoscope.slides.overlay import colours, draw
    from histoscope.slides.resolution import mpp_of

_LAZY = {
    "Detector": "detector",
    "Outlines": "outlines",
    "colours": "overlay",
    "draw": "overlay",
    "measure": "features",
    "mpp_of": "resolution",
    "predict": "detector",
    "trace": "outlines",
    "write_geojson": "geojson",
}

__all__ = [
    "Detector",
    "Outlines",
    "colours",
    "draw",
    "measure",
    "mpp_of",
    "predict",
    "trace",
    "write_geojson",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"histoscope.slides.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'histoscope.slides' has no attribute {name!r}")
