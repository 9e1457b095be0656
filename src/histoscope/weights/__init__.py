"""Small trained models that come with Histoscope, by name.

Each is a model folder in the package: weights, and a card with training data, licence, scores on external
test sets and known failures.
"""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from histoscope.errors import CorruptDataError, DatasetNotFoundError, UnknownNameError
from histoscope.lazy import attach

__all__ = ["DEFAULT", "WEIGHTS", "card", "find", "is_name", "licence_notice"]

_FOLDER = Path(str(files("histoscope.weights")))
WEIGHTS: dict[str, str] = {
    path.parent.name: str(json.loads(path.read_text(encoding="utf-8"))["about"])
    for path in sorted(_FOLDER.glob("*/card.json"))
}
"""Name -> description, as on the card."""
DEFAULT = "nuclei"
"""The model to begin with: it saw real nuclei, and its licence allows any use."""

_NON_COMMERCIAL = re.compile(r"\bnc\b|non-?commercial", re.IGNORECASE)


def is_name(text: str) -> bool:
    """Whether a text names a model that ships with Histoscope, or one of the hub, and not a path.

    Examples
    --------
    >>> is_name("nuclei"), is_name("hf:owner/name"), is_name("runs/mine")
    (True, True, False)
    """
    return text in WEIGHTS or text.startswith("hf:")


def find(name_or_path: str | Path) -> Path:
    """Folder of a model: one that comes with Histoscope, one of yours, or one of the Hugging Face Hub.

    Parameters
    ----------
    name_or_path : str or Path
        A key of `WEIGHTS`, or the path of a model folder, or of a run folder with one in it called ``model``.
        A name wins over a folder of that name; write ``./name`` for the folder. ``hf:owner/name`` is fetched
        from the hub, once.

    Raises
    ------
    UnknownNameError
        If it is none of these.
    ConfigError, DatasetNotFoundError, CorruptDataError
        As of `histoscope.weights.hub.fetch`.
    """
    if isinstance(name_or_path, str) and name_or_path.startswith("hf:"):
        from histoscope.weights.hub import fetch

        return fetch(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in WEIGHTS:
        return _FOLDER / name_or_path
    path = Path(name_or_path)
    if not path.is_dir():
        known = [*WEIGHTS, "the path of a model folder", "hf:owner/name"]
        raise UnknownNameError("model", str(name_or_path), known)
    return path / "model" if not (path / "card.json").is_file() and (path / "model").is_dir() else path


def card(name_or_path: str | Path) -> dict[str, Any]:
    """Card of a model; no weights are read.

    Raises
    ------
    UnknownNameError
        If it is neither a name nor a folder.
    DatasetNotFoundError, CorruptDataError
        If the folder holds no card, or a broken one.
    """
    path = find(name_or_path) / "card.json"
    if not path.is_file():
        raise DatasetNotFoundError(
            f"no model at {path.parent}: expected card.json and model.safetensors in it"
        )
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptDataError(f"{path} is not readable JSON ({error})") from error
    if not isinstance(about, dict) or not {"architecture", "input"} <= about.keys():
        raise CorruptDataError(f"{path} is not the card of a model: architecture or input is missing")
    return about


def licence_notice(folder: str | Path) -> str:
    """Notice of a licence that forbids commercial use; "" for any other.

    Parameters
    ----------
    folder : str or Path
        From `find`.
    """
    card = Path(folder) / "card.json"
    try:
        about = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""  # an error when the model is loaded
    licence = str(about.get("weights licence") or "") if isinstance(about, dict) else ""
    if not _NON_COMMERCIAL.search(licence):
        return ""
    return f"the weights in {Path(folder).name} are for non-commercial use only: {licence}"


__getattr__, __dir__ = attach(__name__, {})
