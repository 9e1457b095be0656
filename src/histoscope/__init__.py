"""Deep learning for H&E histopathology images, and honest answers to which remedy helps and by how much.

Submodules load when they are first touched, so ``import histoscope`` costs nothing.

>>> import histoscope as hs
>>> sorted(hs.stain.NORMALIZERS)
['macenko', 'reinhard', 'ruifrok', 'vahadane']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from histoscope import (
        augment,
        data,
        errors,
        explain,
        metrics,
        models,
        slides,
        stain,
        studies,
        synth,
        train,
        types,
        weights,
    )
    from histoscope.files import read_image, read_labels, write_image, write_labels

_SUBMODULES = (
    *("augment", "data", "errors", "explain", "metrics", "models"),
    *("slides", "stain", "studies", "synth", "train", "types", "weights"),
)
_FUNCTIONS = dict.fromkeys(("read_image", "read_labels", "write_image", "write_labels"), "histoscope.files")

__all__ = [
    "augment",
    "data",
    "errors",
    "explain",
    "metrics",
    "models",
    "read_image",
    "read_labels",
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


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"histoscope.{name}")
    if name in _FUNCTIONS:
        return getattr(import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'histoscope' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
