"""Whole slide images: one interface for all scanners.

>>> from histoscope import slides
>>> sorted(slides.READERS)
['openslide', 'picture', 'pydicom', 'tiff']
"""

from histoscope.lazy import attach

__all__ = ["READERS", "Box", "Level", "Slide", "open_slide"]

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
    {
        "READERS": "histoscope.slides.opening",
        "open_slide": "histoscope.slides.opening",
        "Box": "histoscope.slides.slide",
        "Level": "histoscope.slides.slide",
        "Slide": "histoscope.slides.slide",
    },
    moved={
        **{name: f"histoscope.predict:{name}" for name in _PREDICT},
        **{name: f"histoscope.export:{name}" for name in _EXPORT},
        "mpp_of": "histoscope.images.resolution:mpp_of",
    },
)
