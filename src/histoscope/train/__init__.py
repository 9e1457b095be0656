"""Training and evaluation of any model that keeps the contract of `histoscope.models.base`."""

from typing import TYPE_CHECKING

from histoscope.lazy import attach
from histoscope.train.config import TrainConfig

if TYPE_CHECKING:
    from histoscope.train.evaluation import evaluate
    from histoscope.train.loader import Batch, make_loader
    from histoscope.train.loop import fit
    from histoscope.train.mixture import Mixture
    from histoscope.train.torch_data import TorchDataset

_LAZY = {
    "Batch": "loader",
    "Mixture": "mixture",
    "TorchDataset": "torch_data",
    "evaluate": "evaluation",
    "fit": "loop",
    "make_loader": "loader",
}

__all__ = ["Batch", "Mixture", "TorchDataset", "TrainConfig", "evaluate", "fit", "make_loader"]


__getattr__, __dir__ = attach(__name__, _LAZY)
