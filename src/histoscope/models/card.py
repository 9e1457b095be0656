"""Card and stain normaliser of a model folder; without torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from histoscope import stain, weights
from histoscope.errors import ConfigError, CorruptDataError, FormatVersionError
from histoscope.files import write_text
from histoscope.models.arguments import new_arguments

FORMAT = 1
WEIGHTS, CARD, STAIN_REFERENCE = "model.safetensors", "card.json", "stain_reference.json"
RULE = "class rule"
"""Key of a card: how votes become classes of nuclei; absent where they are taken as they are."""
NORMALISER = "stain normaliser"
"""Key of a card: ``none``, or the method that images go through before the network."""


def read_card(folder: str | Path) -> dict[str, Any]:
    """Card of a model folder, or of a model that comes with Histoscope, checked for its format version.

    Raises
    ------
    UnknownNameError
        If it is neither a name nor a folder.
    DatasetNotFoundError, CorruptDataError, FormatVersionError
        If the folder holds no card, a broken one, or one of another version.
    """
    about = weights.card(folder)
    if about.get("format") != FORMAT:
        raise FormatVersionError(
            f"{weights.find(folder) / CARD} has format {about.get('format')!r}, this version of Histoscope "
            f"reads {FORMAT}; install the version that wrote it"
        )
    if isinstance(about.get("arguments"), dict):
        about["arguments"] = new_arguments(str(about.get("architecture")), about["arguments"], quiet=True)
    return about


def write_card(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the card of a model folder.

    Raises
    ------
    ConfigError
        If it holds what JSON cannot.
    """
    write_text(folder / CARD, json.dumps(about, indent=2, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    """JSON values of NumPy numbers and paths."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise ConfigError(f"a card cannot hold {value!r} ({type(value).__name__}); give text, numbers or lists")


def normalizer_of(folder: str | Path) -> stain.Normalizer | None:
    """Stain normaliser of a model; None if it takes images as they are.

    Parameters
    ----------
    folder : str or Path
        Name of a model that comes with Histoscope, a model folder, or a run folder with one called ``model``.

    Raises
    ------
    UnknownNameError
        If it is neither a name nor a folder.
    CorruptDataError
        If the card names a normaliser and its reference is missing or of another method: scores without it
        would not be those of this model.
    """
    folder = weights.find(folder)
    named, reference = str(read_card(folder).get(NORMALISER) or ""), folder / STAIN_REFERENCE
    if not reference.is_file():
        if named in {"", "none"}:
            return None
        raise CorruptDataError(
            f"{folder / CARD} names the stain normaliser {named!r}, but {STAIN_REFERENCE} is "
            "missing beside it (earlier versions did not write it in studies). Copy the whole folder, train "
            "again, or write it from the reference image that the run's config.yaml names: "
            f"histoscope.stain.get({named!r}).fit(image).save({str(reference)!r})"
        )
    found = stain.load(reference)
    if named not in {"", "none", found.name}:  # a reference may be laid beside a model by hand
        raise CorruptDataError(
            f"{folder / CARD} says {NORMALISER} {named!r}, but {STAIN_REFERENCE} beside it is for "
            f"{found.name!r}; copy the model folder again, or train again"
        )
    return found
