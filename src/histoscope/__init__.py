"""Deep learning for H&E histopathology images, and honest answers to which remedy helps and by how much.

Submodules load when they are first touched, so ``import histoscope`` costs nothing.

>>> import histoscope as hs
>>> sorted(hs.stain.NORMALIZERS)
['macenko', 'reinhard', 'ruifrok', 'vahadane']
"""

from typing import TYPE_CHECKING

from histoscope import moved
from histoscope.lazy import attach

__version__ = "0.1.0"

if TYPE_CHECKING:
    from histoscope import (
        augment,
        balance,
        classify,
        data,
        edits,
        errors,
        explain,
        export,
        generate,
        geometry,
        images,
        jobs,
        ledger,
        metrics,
        models,
        nuclei,
        places,
        predict,
        report,
        slides,
        stain,
        studies,
        synth,
        train,
        types,
        weights,
    )
    from histoscope.files import read_image, read_labels, write_image, write_labels

_FUNCTIONS = dict.fromkeys(("read_image", "read_labels", "write_image", "write_labels"), "histoscope.files")

__all__ = [
    "augment",
    "balance",
    "classify",
    "data",
    "edits",
    "errors",
    "explain",
    "export",
    "generate",
    "geometry",
    "images",
    "jobs",
    "ledger",
    "metrics",
    "models",
    "nuclei",
    "places",
    "predict",
    "read_image",
    "read_labels",
    "report",
    "slides",
    "stain",
    "studies",
    "synth",
    "train",
    "types",
    "weights",
    "write_image",
    "write_labels",
]

__getattr__, __dir__ = attach(__name__, dict.fromkeys(__all__, "") | _FUNCTIONS)

moved.install()
