"""Detected nuclei: exact outlines and a table; a label map on request.

>>> import numpy as np
>>> from histoscope.nuclei import Nuclei
>>> labels = np.array([[0, 1, 1], [2, 0, 1]], np.int32)
>>> nuclei = Nuclei.from_labels(labels, mpp=0.5)
>>> bool((nuclei.outlines.to_labels((2, 3)) == labels).all())
True
"""

from histoscope.lazy import attach
from histoscope.nuclei.nuclei import Nuclei
from histoscope.nuclei.outlines import Outlines, trace

__all__ = ["Nuclei", "Outlines", "trace"]


__getattr__, __dir__ = attach(__name__, {})
