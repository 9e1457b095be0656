"""H&E-like tissue with exact labels, drawn from nothing: for demos, tests and training.

Tissue is laid out in micrometres, stained through Beer-Lambert optical density, and photographed with blur,
noise and JPEG. Every nucleus is known to the pixel.

>>> from histoscope import synth
>>> sample = synth.generate((64, 64), mpp=0.5)
>>> sample.image.shape, int(sample.instances.max()) + 1 == len(sample.classes)
((64, 64, 3), True)
"""

from histoscope.lazy import attach
from histoscope.synth.fitting import fit
from histoscope.synth.likeness import like
from histoscope.synth.patients import cohort, cohort_stream
from histoscope.synth.picture import generate
from histoscope.synth.spec import CLASSES, STAINS, DistractorSpec, OpticsSpec, StainSpec, TissueSpec
from histoscope.synth.target import Target

__all__ = [
    "CLASSES",
    "STAINS",
    "DistractorSpec",
    "OpticsSpec",
    "StainSpec",
    "Target",
    "TissueSpec",
    "cohort",
    "cohort_stream",
    "fit",
    "generate",
    "like",
]


__getattr__, __dir__ = attach(__name__, {})
