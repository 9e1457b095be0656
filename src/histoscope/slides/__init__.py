"""Whole slide images: nothing reads them yet; what this package offered in 0.1 stands elsewhere now.

Finding nuclei is in `histoscope.predict`, outlines, tables and pictures are in `histoscope.export`.
"""

from histoscope.lazy import attach

__all__: list[str] = []

_PREDICT = ("Detector", "PatchClassifier", "classify_tiles", "predict")
_EXPORT = (
    "Outlines",
    "TileMap",
    "colours",
    "draw",
    "draw_heatmap",
    "measure",
    "trace",
    "write_geojson",
    "write_tiles",
)

__getattr__, __dir__ = attach(
    __name__,
    {},
    moved={
        **{name: f"histoscope.predict:{name}" for name in _PREDICT},
        **{name: f"histoscope.export:{name}" for name in _EXPORT},
        "mpp_of": "histoscope.images.resolution:mpp_of",
    },
)
