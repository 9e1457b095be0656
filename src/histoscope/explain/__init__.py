"""Attribution maps of classifiers, and galleries of their most confident mistakes.

An attribution map does not prove that the network used the right features: read it beside the patch.
"""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.explain.attention import rollout
    from histoscope.explain.gallery import Example, mistakes, page, patches_by_confidence, sheet
    from histoscope.explain.gradcam import grad_cam
    from histoscope.explain.maps import Explanation, blend, explain, method_of

_LAZY = {
    "Explanation": "maps",
    "Example": "gallery",
    "blend": "maps",
    "explain": "maps",
    "grad_cam": "gradcam",
    "method_of": "maps",
    "mistakes": "gallery",
    "page": "gallery",
    "patches_by_confidence": "gallery",
    "rollout": "attention",
    "sheet": "gallery",
}

__all__ = [
    "Example",
    "Explanation",
    "blend",
    "explain",
    "grad_cam",
    "method_of",
    "mistakes",
    "page",
    "patches_by_confidence",
    "rollout",
    "sheet",
]


_MOVED = {
    "Shown": "histoscope.explain.gallery:Example",
    "patches_by_sureness": "histoscope.explain.gallery:patches_by_confidence",
}
__getattr__, __dir__ = attach(__name__, _LAZY, moved=_MOVED)
