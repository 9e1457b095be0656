"""Training and evaluation of any model that keeps the contract of `histoscope.models.base`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from histoscope.train.config import TrainConfig

if TYPE_CHECKING:
    from histoscope.train.evaluation import evaluate
    from histoscope.train.loop import fit

_LAZY = {"fit": "histoscope.train.loop", "evaluate": "histoscope.train.evaluation"}

__all__ = ["TrainConfig", "evaluate", "fit"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'histoscope.train' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
