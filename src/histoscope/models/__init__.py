"""Networks with one interface: heads, their losses, and nuclei or classes decoded from them.

>>> import histoscope as hs
>>> model = hs.models.create("unet", width=4, depth=2)
>>> model.spec.divisible_by
2
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from histoscope import plugins
from histoscope.class_names import names_in_order, names_of_nuclei
from histoscope.errors import ConfigError, HistoscopeError, UnknownNameError
from histoscope.lazy import attach
from histoscope.models.arguments import new_arguments

if TYPE_CHECKING:
    from histoscope.models.base import InputSpec, Model, Segmenter
    from histoscope.models.card import normalizer_of, read_card
    from histoscope.models.checkpoint import Opened, load, open_model, save
    from histoscope.models.class_rule import ClassRule
    from histoscope.models.guests import wrap
    from histoscope.models.inference import predict
    from histoscope.models.patches.classifier import Classifier
    from histoscope.models.portable.writing import export

# Name -> (module, class). Modules load torch, so they are imported when a model is made.
MODELS: dict[str, tuple[str, str]] = {
    "unet": ("histoscope.models.nuclei.unet", "UNet"),
    "resunet": ("histoscope.models.nuclei.resunet", "ResUNet"),
    "smp": ("histoscope.models.nuclei.smp", "Smp"),
    "deeplab": ("histoscope.models.nuclei.deeplab", "DeepLab"),
    "stardist": ("histoscope.models.nuclei.stardist", "StarDist"),
    "classifier": ("histoscope.models.patches.classifier", "Classifier"),
    "generator": ("histoscope.generate.network", "Generator"),
}

_LAZY = {
    "ClassRule": "histoscope.models.class_rule",
    "Classifier": "histoscope.models.patches.classifier",
    "InputSpec": "histoscope.models.base",
    "Model": "histoscope.models.base",
    "Opened": "histoscope.models.checkpoint",
    "Segmenter": "histoscope.models.base",
    "export": "histoscope.models.portable.writing",
    "load": "histoscope.models.checkpoint",
    "open_model": "histoscope.models.checkpoint",
    "save": "histoscope.models.checkpoint",
    "normalizer_of": "histoscope.models.card",
    "predict": "histoscope.models.inference",
    "read_card": "histoscope.models.card",
    "wrap": "histoscope.models.guests",
}

__all__ = [
    "MODELS",
    "ClassRule",
    "Classifier",
    "InputSpec",
    "Model",
    "Opened",
    "Segmenter",
    "create",
    "create_for",
    "export",
    "get",
    "load",
    "normalizer_of",
    "open_model",
    "predict",
    "read_card",
    "save",
    "wrap",
]


GROUP = "histoscope.models"
"""Entry point group of plug-in models."""
LIBRARIES = ("timm/", "smp/")
"""Prefixes of models of timm and of segmentation-models-pytorch."""


def get(name: str) -> "type[Model]":
    """Class of a model.

    Parameters
    ----------
    name : str
        As in `create`.

    Raises
    ------
    UnknownNameError
        If no model has that name; the message offers the nearest.
    ConfigError
        If it is not a model, or cannot be imported.
    """
    maker = _maker(name)
    return maker if isinstance(maker, type) else maker.kind({})


def _maker(name: str) -> Any:
    """Class of a model, or the factory that wraps a third-party network."""
    from histoscope.models.base import Model

    if str(name).startswith(LIBRARIES):
        return import_module("histoscope.models.guests").of_library(name)
    found = plugins.find("model", name, MODELS, GROUP)
    if isinstance(found, tuple):
        module, attribute = found
        found = getattr(import_module(module), attribute)
    if isinstance(found, type) and issubclass(found, Model):
        return found
    return import_module("histoscope.models.guests").maker(name, found)


def create(name: str, **arguments: Any) -> "Model":
    """Make a model with fresh weights.

    Parameters
    ----------
    name : str
        A key of `MODELS`; ``timm/resnet18`` or ``smp/Unet``, with the names of those libraries; the name of
        an installed plug-in (``histoscope.models``); or ``package.module:Name``, a class of models or of
        torch modules, which are wrapped as `wrap` does.
    **arguments
        Arguments of the model, such as ``width``, ``depth`` or ``mpp``; of a torch module, its own and those
        of `wrap`.

    Raises
    ------
    UnknownNameError
        If no model has that name.
    ConfigError
        If an argument is not one of the model's, or has an impossible value.
    """
    from inspect import Parameter, signature

    kind, arguments = _maker(name), new_arguments(name, arguments)
    known = signature(kind).parameters
    takes_all = any(each.kind is Parameter.VAR_KEYWORD for each in known.values())
    for key in arguments:
        if key not in known and not takes_all:
            raise ConfigError(str(UnknownNameError(f"argument of model {name!r}", key, known)))
    if isinstance(arguments.get("classes"), str):
        raise ConfigError(
            f"classes of model {name!r} are {arguments['classes']!r}, expected a list of names: [a, b]"
        )
    try:
        made: Model = kind(**arguments)
    except HistoscopeError:
        raise
    except (TypeError, ValueError, RuntimeError, KeyError, OSError) as error:  # of torch, timm and the like
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ConfigError(
            f"model {name!r} cannot be made with {given or 'its defaults'}: {' '.join(str(error).split())}"
        ) from error
    return made


def name_of(model: "Model") -> str:
    """Name by which `create` makes a model again.

    The name that a user's class inherits from one of ours does not count.
    """
    kind = type(model)
    if model.made_as:
        return model.made_as
    known = model.name in MODELS and get(model.name) is kind
    return model.name if known else plugins.name_of(kind, GROUP)


def is_trusted(name: str) -> bool:
    """Whether a model named on a card may be created: ours, a plug-in, or named by the user."""
    return name.startswith(LIBRARIES) or plugins.is_trusted(name, MODELS, GROUP)


def create_for(classes: Mapping[int, str], name: str, arguments: Mapping[str, Any]) -> "Model":
    """Make a model with the classes of a data set, unless its arguments name classes or it takes none.

    Parameters
    ----------
    classes : mapping of int to str
        Of the data set: of nuclei, ids from 1 (0 is the background and no class), or of patches.
    name : str
        As in `create`.
    arguments : mapping
        Of the model; ``classes`` among them wins.

    Raises
    ------
    DataError
        If the names of nuclei give class 0, which is background, to something else.
    """
    from inspect import signature

    from histoscope.models.base import Segmenter

    maker = _maker(name)
    kind = maker if isinstance(maker, type) else maker.kind(arguments)
    of_nuclei = issubclass(kind, Segmenter)
    takes = "classes" in signature(kind).parameters or (kind is not maker and not of_nuclei)
    if not classes or not takes or "classes" in arguments:
        return create(name, **arguments)
    known = names_of_nuclei(classes, "the data set") if of_nuclei else classes
    names = names_in_order(known, first=1 if of_nuclei else min(classes))
    return create(name, **arguments, **({"classes": list(names)} if names else {}))


__getattr__, __dir__ = attach(__name__, _LAZY)
