"""Model folders: weights as safetensors, everything else as a JSON card; no pickle."""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

import histoscope
from histoscope import stain, weights
from histoscope.brief import brief
from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError
from histoscope.files import whole
from histoscope.models import backends, create, is_trusted, name_of
from histoscope.models.backends import TORCH
from histoscope.models.base import Model, Segmenter
from histoscope.models.card import (
    CARD,
    FORMAT,
    NORMALISER,
    RULE,
    STAIN_REFERENCE,
    WEIGHTS,
    normalizer_of,
    read_card,
    write_card,
)
from histoscope.models.class_rule import ClassRule
from histoscope.models.device import fastest
from histoscope.weights.hub import DIGEST, digest_of

__all__ = ["Opened", "load", "open_model", "save"]

M = TypeVar("M", bound=Model)
_ANSWERS = ("architecture", "arguments", "input", "thresholds")
"""Keys of a card that predictions depend on; scores, names and dates change none."""


@brief
@dataclass(frozen=True, eq=False, slots=True)
class Opened(Generic[M]):
    """A trained model with its normaliser and card; returned by `open_model`.

    Parameters
    ----------
    network : Model
        Ready to predict, on the accelerator if there is one.
    normalizer : Normalizer or None
        Images go through it first.
    card : dict
        Training data, licences, scores.
    fingerprint : str
        Hash of what predictions depend on, 16 digits: weights, card and stain reference, by content.
    """

    network: M
    normalizer: stain.Normalizer | None
    card: dict[str, Any]
    fingerprint: str


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
        Training data, licences, scores. Architecture, resolution, normaliser and versions are added.
    normalizer : Normalizer, optional
        Fitted stain normaliser that images go through before this network; by default none.

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
        **_rule_of(model),
        NORMALISER: "none" if fitted is None else fitted.name,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": {"histoscope": histoscope.__version__, "torch": torch.__version__},
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if fitted is not None:  # first: a card never names a normaliser that is not there
        fitted.save(folder / STAIN_REFERENCE)
    with whole(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)
    write_card(folder, about | {DIGEST: digest_of(folder / WEIGHTS)})
    if normalizer is None:
        (folder / STAIN_REFERENCE).unlink(missing_ok=True)
    return folder


@overload
def open_model(name_or_folder: str | Path, *, backend: str = TORCH) -> Opened[Model]: ...


@overload
def open_model(
    name_or_folder: str | Path,
    kind: type[M],
    *,
    network: nn.Module | str | None = None,
    backend: str = TORCH,
) -> Opened[M]: ...


def open_model(
    name_or_folder: str | Path,
    kind: type[Model] = Model,
    *,
    network: nn.Module | str | None = None,
    backend: str = TORCH,
) -> Opened[Any]:
    """Open a model that comes with Histoscope, or a model folder; on the accelerator, if there is one.

    Parameters
    ----------
    name_or_folder, kind, network
        As for `load`.
    backend : str
        What it predicts with: a key of `histoscope.models.backends.BACKENDS`, or ``auto``, the fastest.

    Returns
    -------
    Opened
        The network, the stain normaliser that its images must go through, its card, and a fingerprint.

    Raises
    ------
    UnknownNameError, DatasetNotFoundError, FormatVersionError, CorruptDataError, ConfigError
        As `load`; CorruptDataError too if the card names a stain normaliser that is missing.
    MissingDependencyError
        If the backend is not installed.

    Examples
    --------
    >>> opened = open_model("nuclei")
    >>> opened.network.spec.mpp, opened.normalizer, len(opened.fingerprint)
    (0.5, None, 16)
    """
    folder = weights.find(name_or_folder)
    _note_licence(folder)
    opened, about = _load(folder, kind, network), read_card(folder)
    found = Opened(opened.to(fastest()), normalizer_of(folder), about, _fingerprint(folder))
    backends.use(found.network, backend, found.fingerprint)
    return found


@overload
def load(folder: str | Path, *, network: M) -> M: ...


@overload
def load(folder: str | Path, *, network: nn.Module | str | None = None) -> Model: ...


@overload
def load(folder: str | Path, kind: type[M], *, network: nn.Module | str | None = None) -> M: ...


def load(folder: str | Path, kind: type[Model] = Model, *, network: nn.Module | str | None = None) -> Model:
    """Load the network of a model that comes with Histoscope, or of a model folder, ready to predict.

    `open_model` gives its stain normaliser and its card too.

    Parameters
    ----------
    folder : str or Path
        A name such as ``"nuclei"`` (see `histoscope.weights.WEIGHTS`), a model folder, or a run folder
        with one called ``model`` in it. A licence that forbids commercial use is a warning.
    kind : type
        What it must be: ``models.Segmenter`` finds nuclei, ``models.Classifier`` classifies patches.
    network : Model, torch.nn.Module or str, optional
        Gets the weights and is returned; a plain module is wrapped as the card says. Needed for a class of
        your own, since no code is read from a folder: ``models.load(folder, network=MyNet(...))``. Its name,
        ``package.module:MyNet``, is enough where it can be created with the arguments on the card.

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
        If it is a model of another kind, or of a class that is not ours, without `network`.

    Examples
    --------
    >>> load("nuclei").spec.mpp
    0.5
    """
    folder = weights.find(folder)
    _note_licence(folder)
    return _load(folder, kind, network)


def _load(folder: Path, kind: type[Model], network: nn.Module | str | None) -> Model:
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
    _check_classes(folder, model.spec.classes)
    model.thresholds = _thresholds(folder, about, expected=model.thresholds)
    if isinstance(model, Segmenter):
        model.class_rule = _rule(folder, about, model.spec.classes)
    return model.eval()


def _note_licence(folder: Path) -> None:
    """Warn of a licence that forbids commercial use."""
    if notice := weights.licence_notice(folder):
        warnings.warn(notice, stacklevel=3)


def _fingerprint(folder: Path) -> str:
    reference = folder / STAIN_REFERENCE
    # As it was written, so that folders of 0.1 keep theirs though some arguments have other names today.
    card = weights.card(folder)
    answers = (*_ANSWERS, RULE) if RULE in card else _ANSWERS  # so that cards of before keep theirs
    parts = [
        (folder / WEIGHTS).read_bytes(),
        json.dumps({key: card.get(key) for key in answers}, sort_keys=True).encode(),
        reference.read_bytes() if reference.is_file() else b"",
    ]
    digests = [hashlib.blake2b(part).digest() for part in parts]
    return hashlib.blake2b(b"".join(digests), digest_size=8).hexdigest()


def _check_classes(folder: Path, classes: tuple[str, ...]) -> None:
    if len(set(classes)) < len(classes) or "" in classes:
        raise CorruptDataError(
            f"the card in {folder} names the classes {', '.join(map(repr, classes))}; "
            "expected each once, and none empty"
        )


class _WrongKindError(ConfigError):
    """The folder is sound, but its model is not of the requested kind."""


def _network(folder: Path, about: Mapping[str, Any], given: nn.Module | str) -> Model:
    """The network for the weights: as given, or created with the arguments on the card."""
    if isinstance(given, Model):
        return given
    if isinstance(given, str):
        return create(given, **about["arguments"])
    if "kind" not in about["arguments"]:
        raise _WrongKindError(
            f"{folder} holds a {about['architecture']}, got a {type(given).__name__}, which is not a "
            "histoscope.models.Model; plain modules only fit folders saved from a wrapped module"
        )
    from histoscope.models.guests import OWN, wrap

    return wrap(given, **{key: value for key, value in about["arguments"].items() if key in OWN})


def _check_kind(folder: Path, model: Model, found: str, kind: type[Model]) -> None:
    """Refuse a model of another class than on the card, or of another kind than requested."""
    name = name_of(model)
    if name.replace(":", ".") != found.replace(":", "."):  # cards of before have dots alone
        raise _WrongKindError(f"{folder} holds a {found}, but the network given is a {name}")
    if not isinstance(model, kind):
        raise _WrongKindError(
            f"{folder} holds a {found}, expected a {kind.__name__.lower()}: "
            "a segmenter finds nuclei in images, a classifier classifies patches"
        )


def _not_ours(folder: Path, found: str) -> str:
    name = found.replace(":", ".").rpartition(".")[2]
    return (
        f"{folder} holds a network of the class {found}, which is not part of Histoscope, and Histoscope "
        "never runs code only because a card names it. Pass the network, histoscope.models.load(folder, "
        f"network={name}(...)), or name it yourself: network={found!r}; on the command line, histoscope "
        f"--use {found} COMMAND. An installed package can offer it under the entry point 'histoscope.models' "
        "(docs/plugins.md)"
    )


def _rule_of(model: Model) -> dict[str, Any]:
    """Class rule of a network, for its card; nothing for one that takes votes as they are."""
    rule = getattr(model, "class_rule", ClassRule())
    return {} if rule == ClassRule() else {RULE: rule.to_dict()}


def _rule(folder: Path, about: Mapping[str, Any], classes: tuple[str, ...]) -> ClassRule:
    """Class rule on a card."""
    try:
        return ClassRule.of_card(about.get(RULE), classes)
    except ConfigError as error:
        raise CorruptDataError(f"{folder / CARD}: {error}; correct it, or train the model again") from error


def _thresholds(folder: Path, about: dict[str, Any], *, expected: dict[str, float]) -> dict[str, float]:
    """Thresholds on a card, each there and between 0 and 1."""
    found = about.get("thresholds") or {}
    good = isinstance(found, dict) and set(found) == set(expected)
    if not good or not all(isinstance(value, float) and 0 < value < 1 for value in found.values()):
        raise CorruptDataError(
            f"{folder / CARD} has thresholds {found}, expected {expected or 'none'} or similar values "
            "between 0 and 1; correct them there, or train the model again"
        )
    return found
