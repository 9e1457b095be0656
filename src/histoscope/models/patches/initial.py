"""Initial weights of a model, from a file or another model: all of a backbone, or nothing.

Formats: ``.safetensors``; ``.pth``, ``.pt`` and ``.bin`` (weights only, no code is run); ``.npz``;
and model folders of Histoscope: a classifier, a backbone pretrained on unlabelled tiles, a U-Net, StarDist,
or the encoder of a network of segmentation-models-pytorch.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from histoscope import models, weights
from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError
from histoscope.models.base import Model
from histoscope.models.card import WEIGHTS, read_card
from histoscope.types import class_key

if TYPE_CHECKING:
    from histoscope.models.patches.classifier import Classifier

State = dict[str, Tensor]
# Prefix of the backbone's names in our own models -> their prefix in a classifier's backbone.
ENCODERS: dict[str, tuple[tuple[str, str], ...]] = {
    "classifier": (("backbone.", ""),),
    "unet": (("body.down.", "down."),),
    "stardist": (("body.1.down.", "down."), ("body.0.encoder.model.", "")),
    "smp": (("network.encoder.model.", ""),),
    "deeplab": (("network.encoder.model.", ""),),
}
# Prefixes of names in files of others, from the classes that wrapped the network.
WRAPPED = tuple(
    outer + inner
    for outer in ("", "module.", "model.", "teacher.", "student.")
    for inner in ("", "backbone.", "encoder.", "network.")
)
WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher", "student", "module")
# Prefixes of heads, the only weights that may be left over.
HEADS = ("head.", "fc.", "classifier.", "heads.", "dino_head.", "ibot_head.", "projection.")

# Not learned.
SETTLED = ("temperature",)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Report of the initial weights of a classifier.

    Parameters
    ----------
    source : str
        File, folder or hub; "" for random weights.
    loaded, skipped, made : tuple of str
        Names that were loaded (as in the network), that only the source has, and that are random.
    """

    source: str
    loaded: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    made: tuple[str, ...] = ()

    @classmethod
    def fresh(cls, model: Model, source: str, prefix: str = "backbone.") -> "Loaded":
        """Of a model whose backbone is as timm made it."""
        names = [name for name in model.state_dict() if name not in SETTLED]
        loaded = tuple(name for name in names if source and name.startswith(prefix))
        return cls(source, loaded, made=tuple(name for name in names if name not in loaded))

    def __str__(self) -> str:
        """Summary: what was loaded, and what was not."""
        if not self.source:
            return f"all {len(self.made)} tensors random (trained from scratch)"
        lines = [f"loaded {len(self.loaded)} tensors from {self.source}"]
        for what, names in (("skipped", self.skipped), ("newly made", self.made)):
            shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            lines.append(f"{what} {len(names)}: {shown}" if names else f"{what} 0")
        return "\n".join(lines)


def initialise(model: "Classifier", source: str | Path) -> Loaded:
    """Load a backbone into a classifier.

    Parameters
    ----------
    model : Classifier
        Changed in place.
    source : str or Path
        File or model folder.

    Raises
    ------
    DatasetNotFoundError
        If there is nothing at `source`.
    CorruptDataError
        If it cannot be read.
    ConfigError
        If it does not fit: a name is missing or left over, or a shape differs. The model is then unchanged.
    """
    source = Path(source)
    wanted: State = model.backbone.state_dict()
    found, outside, about = _backbone_of(source, wanted)
    heads = [name for name in found if name not in wanted and name.startswith(HEADS)]
    kept = {name: value for name, value in found.items() if name not in heads}
    _check_fit(source, f"backbone {model.backbone.__class__.__name__}", wanted, kept, about)
    target = {f"backbone.{name}": value for name, value in kept.items()}
    model.load_state_dict(target, strict=False)
    made = tuple(name for name in model.state_dict() if name not in target and name not in SETTLED)
    return Loaded(str(source), tuple(target), (*heads, *outside), made)


def initialise_encoder(model: Model, encoder: str, name: str, source: str | Path) -> Loaded:
    """Load the encoder of a network that finds nuclei, as `initialise` does a backbone.

    Parameters
    ----------
    model : Model
        Changed in place.
    encoder : str
        Where its encoder is among its modules.
    name : str
        Of timm; ``unet`` for our own. Layers behind the last level of the encoder are skipped.
    source : str or Path
        File, model folder, or name of a model that ships with Histoscope or is on the hub.
    """
    source = Path(source)
    own: State = model.get_submodule(encoder).state_dict()
    first = "down." if name == "unet" else ""
    wanted = {outside_features(first + key): value for key, value in own.items()}
    found, outside, about = _backbone_of(source, wanted)
    behind = {*_all_names(name)} - wanted.keys()
    heads = [key for key in found if key not in wanted and (key in behind or key.startswith(HEADS))]
    kept = {key: value for key, value in found.items() if key not in heads}
    _check_fit(source, f"encoder {name}", wanted, kept, about)
    names = dict(zip(wanted, own, strict=True))
    target = {f"{encoder}.{names[key]}": value for key, value in kept.items()}
    model.load_state_dict(target, strict=False)
    made = tuple(key for key in model.state_dict() if key not in target)
    return Loaded(str(source), tuple(target), (*heads, *outside), made)


def outside_features(name: str) -> str:
    """Name of a tensor in the whole network of timm, from its name in an encoder of it.

    Examples
    --------
    >>> outside_features("stages_0.blocks.1.norm.weight"), outside_features("conv_stem.weight")
    ('stages.0.blocks.1.norm.weight', 'conv_stem.weight')
    """
    return re.sub(r"^(stem|stages|layers|features)_(\d+)\.", r"\1.\2.", name)


def _all_names(name: str) -> list[str]:
    """Names of the tensors of a whole network of timm; nothing is computed."""
    import timm

    if not timm.is_model(name.split(".", maxsplit=1)[0]):
        return []
    with torch.device("meta"):
        return list(timm.create_model(name).state_dict())


def load_initial_weights(model: Model, source: str | Path) -> Loaded:
    """Load all weights of another model of the same kind, to continue training.

    Parameters
    ----------
    model : Model
        Changed in place; not a classifier, which has its argument ``weights``.
    source : str or Path
        A model folder, or a run folder with one in it.

    Raises
    ------
    DatasetNotFoundError
        If there is no model at `source`.
    ConfigError
        If a name is missing or left over, a shape differs, or the classes are others or in another order. The
        model is as before then.
    """
    source = Path(source)
    found, card = _read_folder(source)
    if card.get("architecture") != models.name_of(model) or model.name == "classifier":
        raise ConfigError(
            f"{source} holds a {card.get('architecture')}, expected a {model.name}; choose a "
            "model of the same kind (a classifier takes its initial weights by its argument 'weights')"
        )
    wanted: State = model.state_dict()
    _check_fit(source, f"model {model.name!r}", wanted, found, card)
    _same_classes(model, card, source)
    model.load_state_dict(found, strict=False)
    model.thresholds = {**model.thresholds, **card.get("thresholds", {})}
    return Loaded(str(source), tuple(found))


def _same_classes(model: Model, card: Mapping[str, Any], source: Path) -> None:
    """Refuse weights of other classes, or of another order of classes."""
    theirs = [str(name) for name in (card.get("input") or {}).get("classes") or ()]
    if list(map(class_key, theirs)) != list(map(class_key, model.spec.classes)):
        raise ConfigError(
            f"{source} has the classes {', '.join(theirs) or '(none)'}, the model "
            f"{', '.join(model.spec.classes) or '(none)'}, and the weights depend on the order of classes; "
            f"set model.arguments.classes: [{', '.join(theirs)}] (data sets are matched by name)"
        )


def read_state(path: Path) -> State:
    """Tensors of a file by their names.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If it cannot be read as weights; nothing in it is run.
    """
    if not path.is_file():
        raise DatasetNotFoundError(f"no weights at {path}; check the path, or copy the file there")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        if path.suffix in {".pth", ".pt", ".bin"}:
            return _unwrapped(torch.load(path, map_location="cpu", weights_only=True), path)
    except (CorruptDataError, MemoryError):
        raise
    except Exception as error:  # readers raise a dozen types on broken files
        what = " ".join(str(error).split())[:200]
        raise CorruptDataError(
            f"{path} cannot be read as weights ({what}); copy it again, or save its state_dict "
            "as .safetensors"
        ) from error
    raise CorruptDataError(
        f"{path} has the suffix {path.suffix!r}, expected .safetensors, .npz, .pth, .pt, .bin or a model "
        "folder"
    )


def _backbone_of(source: Path, wanted: State) -> tuple[State, State, Mapping[str, Any]]:
    """Weights of the backbone, all others, and the card of a source."""
    if source.is_dir() or weights.is_name(str(source)):
        return _of_folder(weights.find(str(source)))
    state = read_state(source)
    prefix = max(WRAPPED, key=lambda prefix: sum(prefix + name in state for name in wanted))
    inside = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    outside = {name: value for name, value in state.items() if not name.startswith(prefix)}
    return inside, outside, {}


def _of_folder(source: Path) -> tuple[State, State, Mapping[str, Any]]:
    """`_backbone_of` of a model folder."""
    state, card = _read_folder(source)
    for there, here in ENCODERS.get(str(card.get("architecture")), ()):
        inside = {
            outside_features(here + name[len(there) :]): v
            for name, v in state.items()
            if name.startswith(there)
        }
        if inside:
            return inside, {name: v for name, v in state.items() if not name.startswith(there)}, card
    raise ConfigError(
        f"{source} is a model {card.get('architecture')!r}, which has no backbone for a classifier; "
        f"expected one of {', '.join(ENCODERS)}"
    )


def _read_folder(source: Path) -> tuple[State, Mapping[str, Any]]:
    """Weights and card of a model folder, or of the one in a run folder."""
    return read_state(weights.find(source) / WEIGHTS), read_card(source)


def _unwrapped(content: Any, path: Path) -> State:
    """State dict in a checkpoint, which may be nested in other dictionaries."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if isinstance(content, Mapping):
        state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if state:
            return state
    raise CorruptDataError(f"{path} holds no dictionary of tensors; save the network's state_dict")


def _check_fit(source: Path, what: str, wanted: State, found: State, card: Mapping[str, Any]) -> None:
    """Refuse weights of other names or shapes than those of a network."""
    shapes = [
        f"{name} is {tuple(value.shape)}, expected {tuple(wanted[name].shape)}"
        for name, value in found.items()
        if name in wanted and value.shape != wanted[name].shape
    ]
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    parts = [
        f"{len(names)} {how} (first: {'; '.join(names[:3])})"
        for how, names in (
            ("names are missing from it", missing),
            ("names are left over", [name for name in found if name not in wanted]),
            ("shapes differ", shapes),
        )
        if names
    ]
    if not parts:
        return
    given = card.get("arguments", {})
    sizes = {key: given[key] for key in ("backbone", "encoder", "width", "depth", "grid") if key in given}
    same = what.split(maxsplit=1)[0]
    hint = f" Its card says {card.get('architecture')} with {sizes}: use the same {same}." if sizes else ""
    raise ConfigError(
        f"{source} does not fit the {what} ({len(wanted)} tensors): {', '.join(parts)}. "
        f"Nothing was loaded; choose the architecture that these weights belong to.{hint}"
    )
