"""A model folder opened for prediction, whatever the model finds."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn

from histoscope import models, stain, weights
from histoscope.brief import brief
from histoscope.errors import CorruptDataError
from histoscope.models import Model
from histoscope.models.card import CARD, STAIN_REFERENCE, WEIGHTS, normalizer_of, read_card
from histoscope.models.device import fastest

M = TypeVar("M", bound=Model)
_ANSWERS = ("architecture", "arguments", "input", "thresholds")


@brief
@dataclass(frozen=True, eq=False, slots=True)
class Loaded(Generic[M]):
    """A network, ready to predict, and what its folder says of it."""

    network: M
    normalizer: stain.Normalizer | None
    card: dict[str, Any]
    fingerprint: str


def load(model: str | Path, kind: type[M], network: nn.Module | str | None = None) -> Loaded[M]:
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
    opened = models.load(folder, kind, network=network)
    classes = opened.spec.classes
    if len(set(classes)) < len(classes) or "" in classes:
        raise CorruptDataError(
            f"the card in {folder} names the classes {', '.join(map(repr, classes))}; "
            "expected each once, and none empty"
        )
    card = read_card(folder)
    return Loaded(opened.to(fastest()), normalizer_of(folder), card, fingerprint(folder))


def fingerprint(folder: Path) -> str:
    """What the answers of a model depend on, in 16 digits: weights, card and stain reference, by content.

    Scores, names and dates on the card change no answer. The card counts as it was written, so that folders of
    0.1 keep their digits though some arguments have other names today.
    """
    reference = folder / STAIN_REFERENCE
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    parts = [
        (folder / WEIGHTS).read_bytes(),
        json.dumps({key: card.get(key) for key in _ANSWERS}, sort_keys=True).encode(),
        reference.read_bytes() if reference.is_file() else b"",
    ]
    digests = [hashlib.blake2b(part).digest() for part in parts]
    return hashlib.blake2b(b"".join(digests), digest_size=8).hexdigest()
