"""From images to nuclei or classes in files: find, measure, outline, draw, and write for QuPath.

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
    from histoscope.slides.geojson import write_geojson, write_tiles
    from histoscope.slides.heatmap import draw_heatmap
    from histoscope.slides.outlines import Outlines, trace
    from histoscope.slides.overlay import colours, draw
    from histoscope.slides.patch_classifier import PatchClassifier
    from histoscope.slides.resolution import mpp_of
    from histoscope.slides.tilemap import TileMap, classify_tiles

_LAZY = {
    "Detector": "detector",
    "Outlines": "outlines",
    "PatchClassifier": "patch_classifier",
    "TileMap": "tilemap",
    "classify_tiles": "tilemap",
    "colours": "overlay",
    "draw": "overlay",
    "draw_heatmap": "heatmap",
    "measure": "features",
    "mpp_of": "resolution",
    "predict": "detector",
    "trace": "outlines",
    "write_geojson": "geojson",
    "write_tiles": "geojson",
}

__all__ = [
    "Detector",
    "Outlines",
    "PatchClassifier",
    "TileMap",
    "classify_tiles",
    "colours",
    "draw",
    "draw_heatmap",
    "measure",
    "mpp_of",
    "predict",
    "trace",
    "write_geojson",
    "write_tiles",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"histoscope.slides.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'histoscope.slides' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
