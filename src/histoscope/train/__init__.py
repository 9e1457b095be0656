"""Training and evaluation of any model that keeps the contract of `histoscope.models.base`."""

from typing import TYPE_CHECKING

from histoscope.lazy import attach
from histoscope.train.config import TrainConfig

if TYPE_CHECKING:
    from histoscope.train.evaluation import evaluate
    from histoscope.train.loop import fit

_LAZY = {"evaluate": "evaluation", "fit": "loop"}

__all__ = ["TrainConfig", "evaluate", "fit"]


__getattr__, __dir__ = attach(__name__, _LAZY)
