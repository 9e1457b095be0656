"""Model folders: weights as safetensors, everything else as a readable card. No pickle anywhere."""

import json
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

import histoscope
from histoscope import stain, weights
from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError
from histoscope.files import whole, write_text
from histoscope.models import create, is_trusted, name_of
from histoscope.models.base import Model
from histoscope.models.card import (
    CARD,
    FORMAT,
    NORMALISER,
    STAIN_REFERENCE,
    WEIGHTS,
    normalizer_of,
    read_card,
)

__all__ = ["load", "normalizer_of", "read_card", "save"]

M = TypeVar("M", bound=Model)


def save(
    model: Model,
    folder: str | Path,
    card: Mapping[str, Any] | None = None,
    normalizer: stain.Normalizer | None = None,
) -> Path:
    """Write a model folder.

    Parameters
    ----------
    model : Model
    folder : str or Path
        Made if missing; a model in it is replaced, with its normaliser.
    card : mapping, optional
        What to say of it: training data, licences, scores. Architecture, resolution, normaliser and versions
        are added.
    normalizer : Normalizer, optional
        Fitted; what images must go through before this network. Left out: the images as they are.

    Returns
    -------
    Path
        The folder.
    """
    fitted = None if normalizer is None else stain.adopted(normalizer)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        **(card or {}),
        "format": FORMAT,
        "architecture": name_of(model),
        "arguments": model.arguments,
        "input": model.spec.to_dict(),
        "thresholds": model.thresholds,
        NORMALISER: "none" if fitted is None else fitted.name,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": {"histoscope": histoscope.__version__, "torch": torch.__version__},
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if fitted is not None:  # first: a card never names a normaliser that is not there
        fitted.save(folder / STAIN_REFERENCE)
    with whole(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)
    write_text(folder / CARD, json.dumps(about, indent=2, default=_plain) + "\n")
    if normalizer is None:
        (folder / STAIN_REFERENCE).unlink(missing_ok=True)
    return folder


@overload
def load(folder: str | Path) -> Model: ...


@overload
def load(folder: str | Path, kind: type[M]) -> M: ...


@overload
def load(folder: str | Path, *, network: M) -> M: ...


@overload
def load(folder: str | Path, kind: type[M], *, network: nn.Module | str | None) -> M: ...


@overload
def load(folder: str | Path, *, network: nn.Module | str) -> Model: ...


def load(folder: str | Path, kind: type[Model] = Model, *, network: nn.Module | str | None = None) -> Model:
    """Read a model that comes with Histoscope, or a model folder, ready to predict.

    Parameters
    ----------
    folder : str or Path
        A name such as ``"nuclei-free"`` (see `histoscope.weights.WEIGHTS`), a model folder, or a run folder
        with one called ``model`` in it. A licence that forbids commercial use of a named one is a warning.
    kind : type
        What it must be: ``models.Segmenter`` finds nuclei, ``models.Classifier`` tells patches apart.
    network : Model, torch.nn.Module or str, optional
        Takes the weights and is given back; a plain module is wrapped as the card says. A network of one's
        own class is opened so, since no code is read from a folder: ``models.load(folder,
        network=MyNet(...))``. Its name, ``package.module:MyNet``, does where it can be made with the
        arguments on the card.

    Raises
    ------
    UnknownNameError
        If it is neither a name nor a folder.
    DatasetNotFoundError
        If the folder holds no model.
    FormatVersionError
        If another version wrote it.
    CorruptDataError
        If card or weights cannot be read, or do not fit each other.
    ConfigError
        If it is a model of another kind, or one of somebody's own class and no `network` is given.

    Examples
    --------
    >>> load("nuclei-free").spec.mpp
    0.5
    """
    if folder in weights.WEIGHTS and (notice := weights.licence_notice(weights.find(folder))):
        warnings.warn(notice, stacklevel=2)
    folder = weights.find(folder)
    about = read_card(folder)
    found = str(about.get("architecture"))
    if network is None and not is_trusted(found) and {".", ":"} & set(found):
        raise ConfigError(_not_ours(folder, found))
    try:
        model = _network(folder, about, found if network is None else network)
        _check_kind(folder, model, found, kind)
        missing, unexpected = model.load_state_dict(load_file(folder / WEIGHTS), strict=False)
    except FileNotFoundError as error:
        raise DatasetNotFoundError(
            f"{folder} has a card but no {WEIGHTS}; copy the whole model folder"
        ) from error
    except _WrongKindError as error:
        raise ConfigError(str(error)) from None
    except (SafetensorError, RuntimeError, OSError, KeyError, TypeError, ConfigError) as error:
        raise CorruptDataError(
            f"the model in {folder} cannot be read: {error}; train or copy it again"
        ) from error
    if missing or unexpected:
        raise CorruptDataError(
            f"the weights in {folder} do not fit architecture {found!r}: "
            f"missing {missing[:3]}, unexpected {unexpected[:3]}"
        )
    model.thresholds = _thresholds(folder, about, expected=model.thresholds)
    return model.eval()


def _plain(value: Any) -> Any:
    """What a card says of values that JSON does not know: NumPy's numbers, and paths."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise ConfigError(f"a card cannot hold {value!r} ({type(value).__name__}); give text, numbers or lists")


class _WrongKindError(ConfigError):
    """The model is none of those that were asked for, which is no fault of its folder."""


def _network(folder: Path, about: Mapping[str, Any], given: nn.Module | str) -> Model:
    """The network that takes the weights: as given, or made with the arguments on the card."""
    if isinstance(given, Model):
        return given
    if isinstance(given, str):
        return create(given, **about["arguments"])
    if "kind" not in about["arguments"]:
        raise _WrongKindError(
            f"{folder} holds a {about['architecture']}, got a {type(given).__name__}, which is no "
            "histoscope.models.Model; plain modules are for folders that a wrapped one was saved in"
        )
    from histoscope.models.guests import OWN, wrap

    return wrap(given, **{key: value for key, value in about["arguments"].items() if key in OWN})


def _check_kind(folder: Path, model: Model, found: str, kind: type[Model]) -> None:
    """Refuse a model of another class than the card says, or of another kind than was asked for."""
    name = name_of(model)
    if name.replace(":", ".") != found.replace(":", "."):  # cards of before have dots alone
        raise _WrongKindError(f"{folder} holds a {found}, the network given is a {name}")
    if not isinstance(model, kind):
        raise _WrongKindError(
            f"{folder} holds a {found}, expected a {kind.__name__.lower()}: "
            "a segmenter finds nuclei in images, a classifier tells patches apart"
        )


def _not_ours(folder: Path, found: str) -> str:
    name = found.replace(":", ".").rpartition(".")[2]
    return (
        f"{folder} holds a network of the class {found}, which is not part of Histoscope, and no code is run "
        f"because a card names it. Make one and hand it over, histoscope.models.load(folder, "
        f"network={name}(...)), or name it yourself: network={found!r}; on the "
        f"command line, histoscope --use {found} and the verb. A package that offers it under "
        "'histoscope.models' makes it known to all (docs/plugins.md)"
    )


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
