"""Star-convex nuclei: label map to star distances, to polygons, to label map; non-maximum suppression.

>>> import numpy as np
>>> rows, columns = np.mgrid[:40, :40]
>>> labels = ((rows - 20) ** 2 + (columns - 18) ** 2 <= 81).astype(np.int32)
>>> distances, probability = star_distances(labels, 32), object_probability(labels)
>>> points = np.argwhere(probability > 0.5)
>>> rows, columns = points.T
>>> keep, _ = suppress(points, distances[rows, columns], probability[rows, columns])
>>> drawn = draw(points[keep], distances[rows, columns][keep], labels.shape)
>>> bool((drawn != labels).mean() < 0.02)
True
"""

from histoscope.geometry.distances import object_probability, star_distances
from histoscope.geometry.overlap import iou, overlap, shared_px2
from histoscope.geometry.pixels import refine_with_mask
from histoscope.geometry.polygons import area_px2, draw, perimeter_px, polygons
from histoscope.geometry.suppression import Suppression, suppress
from histoscope.lazy import attach

__all__ = [
    "Suppression",
    "area_px2",
    "draw",
    "iou",
    "object_probability",
    "overlap",
    "perimeter_px",
    "polygons",
    "refine_with_mask",
    "shared_px2",
    "star_distances",
    "suppress",
]

_MOVED = {
    "areas_and_centroids": "histoscope.labels:centroids",
    "settle": "histoscope.geometry.pixels:refine_with_mask",
}
__getattr__, __dir__ = attach(__name__, {}, moved=_MOVED)
