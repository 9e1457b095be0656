"""Networks behind one contract: heads out, losses from heads, and from these nuclei or classes.

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

if TYPE_CHECKING:
    from histoscope.models.base import InputSpec, Model, Segmenter
    from histoscope.models.checkpoint import load, normalizer_of, read_card, save
    from histoscope.models.inference import predict
    from histoscope.models.patches.classifier import Classifier

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
    "Classifier": "histoscope.models.patches.classifier",
    "InputSpec": "histoscope.models.base",
    "Model": "histoscope.models.base",
    "Segmenter": "histoscope.models.base",
    "load": "histoscope.models.checkpoint",
    "save": "histoscope.models.checkpoint",
    "normalizer_of": "histoscope.models.checkpoint",
    "predict": "histoscope.models.inference",
    "read_card": "histoscope.models.checkpoint",
}

__all__ = [
    "MODELS",
    "Classifier",
    "InputSpec",
    "Model",
    "Segmenter",
    "create",
    "create_for",
    "get",
    "load",
    "normalizer_of",
    "predict",
    "read_card",
    "save",
]


GROUP = "histoscope.models"
"""Entry points of models of others."""


def get(name: str) -> "type[Model]":
    """Class of a model.

    Parameters
    ----------
    name : str
        A key of `MODELS`, of an installed plug-in (``histoscope.models``), or ``package.module:Name``.

    Raises
    ------
    UnknownNameError
        If no model has that name; the message offers the nearest.
    ConfigError
        If what has that name is no class of a model, or cannot be imported.
    """
    found = plugins.find("model", name, MODELS, GROUP)
    if isinstance(found, tuple):
        module, attribute = found
        found = getattr(import_module(module), attribute)
    from histoscope.models.base import Model

    if not (isinstance(found, type) and issubclass(found, Model)):
        raise ConfigError(
            f"model {name!r} is {found!r}, expected a class derived from histoscope.models.Model"
        )
    return found


def create(name: str, **arguments: Any) -> "Model":
    """Make a model with fresh weights.

    Parameters
    ----------
    name : str
        A key of `MODELS`.
    **arguments
        Arguments of the model, such as ``width``, ``depth`` or ``mpp``.

    Raises
    ------
    UnknownNameError
        If no model has that name.
    ConfigError
        If an argument is not one of the model's, or has an impossible value.
    """
    from inspect import signature

    kind = get(name)
    known = list(signature(kind).parameters)
    for key in arguments:
        if key not in known:
            raise ConfigError(str(UnknownNameError(f"argument of model {name!r}", key, known)))
    if isinstance(arguments.get("classes"), str):
        raise ConfigError(
            f"classes of model {name!r} are {arguments['classes']!r}, expected a list of names: [a, b]"
        )
    try:
        return kind(**arguments)
    except HistoscopeError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:  # of torch, timm and the like
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ConfigError(
            f"model {name!r} cannot be made with {given or 'its defaults'}: {' '.join(str(error).split())}"
        ) from error


def name_of(model: "Model") -> str:
    """Name that a model is made again by: a key of `MODELS`, or of one's own class its full Python name.

    A class of one's own may inherit the name of a class here; it is not taken for that.
    """
    kind = type(model)
    known = model.name in MODELS and get(model.name) is kind
    return model.name if known else f"{kind.__module__}.{kind.__qualname__}"


def create_for(classes: Mapping[int, str], name: str, arguments: Mapping[str, Any]) -> "Model":
    """Make a model that tells the classes of a data set apart, if it can tell any and is not told which.

    Parameters
    ----------
    classes : mapping of int to str
        Of the data set: of nuclei, ids from 1 (0 is the background and no class), or of patches.
    name : str
        A key of `MODELS`.
    arguments : mapping
        Of the model; ``classes`` among them wins.

    Raises
    ------
    DataError
        If the names of nuclei give class 0, which is background, to something else.
    """
    from inspect import signature

    from histoscope.models.base import Segmenter

    kind = get(name)
    if not classes or "classes" not in signature(kind).parameters or "classes" in arguments:
        return create(name, **arguments)
    of_nuclei = issubclass(kind, Segmenter)
    known = names_of_nuclei(classes, "the data set") if of_nuclei else classes
    names = names_in_order(known, first=1 if of_nuclei else min(classes))
    return create(name, **arguments, **({"classes": list(names)} if names else {}))


__getattr__, __dir__ = attach(__name__, _LAZY)
