"""A model folder opened for prediction, whatever the model finds."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from histoscope import models, stain, weights
from histoscope.models import Model
from histoscope.models.checkpoint import WEIGHTS, normalizer_of, read_card
from histoscope.models.device import fastest

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, eq=False, slots=True)
class Loaded(Generic[M]):
    """A network, ready to predict, and what its folder says of it."""

    network: M
    normalizer: stain.Normalizer | None
    card: dict[str, Any]
    fingerprint: str


def load(model: str | Path, kind: type[M]) -> Loaded[M]:
    """Open a model that comes with Histoscope, or a model folder; on the accelerator, if there is one.

    Raises
    ------
    ConfigError
        If the model is of another kind.
    UnknownNameError
        If it is neither a name nor a folder.
    DatasetNotFoundError, FormatVersionError, CorruptDataError
        If the folder holds no model, one of another version, or a broken one.
    """
    folder = weights.find(model)
    network = models.load(folder, kind)
    fingerprint = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:16]
    return Loaded(network.to(fastest()), normalizer_of(folder), read_card(folder), fingerprint)
