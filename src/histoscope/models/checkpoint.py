"""Model folders: weights as safetensors, everything else as a readable card. No pickle anywhere."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import histoscope
from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError, FormatVersionError
from histoscope.files import whole, write_text
from histoscope.models import MODELS, create, get
from histoscope.models.base import Model

M = TypeVar("M", bound=Model)

FORMAT = 1
WEIGHTS, CARD = "model.safetensors", "card.json"


def save(model: Model, folder: str | Path, card: dict[str, Any] | None = None) -> Path:
    """Write a model folder.

    Parameters
    ----------
    model : Model
    folder : str or Path
        Made if missing; a model in it is replaced.
    card : dict, optional
        What to say of it: training data, licences, scores. Architecture, resolution and versions are added.

    Returns
    -------
    Path
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        **(card or {}),
        "format": FORMAT,
        "architecture": model.name,
        "arguments": model.arguments,
        "input": model.spec.to_dict(),
        "thresholds": model.thresholds,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": {"histoscope": histoscope.__version__, "torch": torch.__version__},
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with whole(folder / WEIGHTS) as temporary:
        save_file(weights, temporary)
    write_text(folder / CARD, json.dumps(about, indent=2) + "\n")
    return folder


@overload
def load(folder: str | Path) -> Model: ...


@overload
def load(folder: str | Path, kind: type[M]) -> M: ...


def load(folder: str | Path, kind: type[Model] = Model) -> Model:
    """Read a model folder, ready to predict.

    Parameters
    ----------
    folder : str or Path
        A model folder, or a run folder with one called ``model`` in it.
    kind : type
        What it must be: ``models.Segmenter`` finds nuclei, ``models.Classifier`` tells patches apart.

    Raises
    ------
    DatasetNotFoundError
        If there is no model.
    FormatVersionError
        If another version wrote it.
    CorruptDataError
        If card or weights cannot be read, or do not fit each other.
    ConfigError
        If it is a model of another kind.
    """
    folder = Path(folder)
    if not (folder / CARD).is_file() and (folder / "model" / CARD).is_file():
        folder = folder / "model"
    about = read_card(folder)
    found = str(about.get("architecture"))
    if found in MODELS and not issubclass(get(found), kind):
        raise ConfigError(
            f"{folder} holds a {found}, expected a {kind.__name__.lower()}: "
            "a segmenter finds nuclei in images, a classifier tells patches apart"
        )
    try:
        model = create(about["architecture"], **about["arguments"])
        missing, unexpected = model.load_state_dict(load_file(folder / WEIGHTS), strict=False)
    except FileNotFoundError as error:
        raise DatasetNotFoundError(
            f"{folder} has a card but no {WEIGHTS}; copy the whole model folder"
        ) from error
    except (SafetensorError, RuntimeError, OSError, KeyError, TypeError, ConfigError) as error:
        raise CorruptDataError(
            f"the model in {folder} cannot be read: {error}; train or copy it again"
        ) from error
    if missing or unexpected:
        raise CorruptDataError(
            f"the weights in {folder} do not fit architecture {about['architecture']!r}: "
            f"missing {missing[:3]}, unexpected {unexpected[:3]}"
        )
    model.thresholds = _thresholds(folder, about, expected=model.thresholds)
    return model.eval()


def read_card(folder: str | Path) -> dict[str, Any]:
    """Card of a model folder, checked for its format version."""
    path = Path(folder) / CARD
    if not path.is_file():
        raise DatasetNotFoundError(f"no model at {folder}: expected {CARD} and {WEIGHTS} in it")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptDataError(f"{path} is not readable JSON ({error})") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        version = about.get("format") if isinstance(about, dict) else None
        raise FormatVersionError(
            f"{path} has format {version!r}, this version of Histoscope reads {FORMAT}; "
            "install the version that wrote it"
        )
    return about


def _thresholds(folder: Path, about: dict[str, Any], *, expected: dict[str, float]) -> dict[str, float]:
    """Thresholds on a card, each there and between 0 and 1."""
    found = about.get("thresholds") or {}
    good = isinstance(found, dict) and set(found) == set(expected)
    if not good or not all(isinstance(value, float) and 0 < value < 1 for value in found.values()):
        raise CorruptDataError(
            f"{folder / CARD} has thresholds {found}, expected {expected or 'none'} or like values between 0 "
            "and 1; write them there, or train the model again"
        )
    return found
