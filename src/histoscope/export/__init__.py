"""Export of nuclei and tiles: outlines, measurements, overlays, heat maps, GeoJSON for QuPath.

>>> import numpy as np
>>> from histoscope import export
>>> square = np.zeros((5, 5), np.int32)
>>> square[1:4, 1:4] = 1
>>> len(export.trace(square))
1
"""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.export.features import measure
    from histoscope.export.geojson import write_geojson, write_tiles
    from histoscope.export.heatmap import draw_heatmap
    from histoscope.export.overlay import colours, draw
    from histoscope.export.tilemap import TileMap
    from histoscope.nuclei import Outlines, trace

__all__ = [
    "Outlines",
    "TileMap",
    "colours",
    "draw",
    "draw_heatmap",
    "measure",
    "trace",
    "write_geojson",
    "write_tiles",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "Outlines": "histoscope.nuclei",
        "TileMap": "tilemap",
        "colours": "overlay",
        "draw": "overlay",
        "draw_heatmap": "heatmap",
        "measure": "features",
        "trace": "histoscope.nuclei",
        "write_geojson": "geojson",
        "write_tiles": "geojson",
    },
)
