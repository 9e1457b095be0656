"""Any `torch.nn.Module` as a model: the user's own, and those of timm and segmentation-models-pytorch.

>>> from torch import nn
>>> model = wrap(nn.Conv2d(3, 3, 1), mpp=0.5)
>>> model.spec.mpp
0.5
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from histoscope import plugins
from histoscope.errors import ConfigError, ShapeError, UnknownNameError
from histoscope.models.base import IMAGENET_MEAN, IMAGENET_STD, InputSpec, Model
from histoscope.models.nuclei.region_segmenter import RegionSegmenter
from histoscope.models.patches.classifier import Classifier
from histoscope.models.patches.initial import Loaded

Three = tuple[float, float, float]


def wrap(  # noqa: PLR0913  # the same words as in a configuration file
    module: nn.Module,
    *,
    kind: str = "regions",
    classes: Sequence[str] = (),
    mpp: float = 0.25,
    divisible_by: int = 32,
    context_px: int = 128,
    patch_px: int = 224,
    mean: Three = IMAGENET_MEAN,
    std: Three = IMAGENET_STD,
) -> Model:
    """Wrap a network as a model that can be trained with `train.fit`, saved, and used for prediction.

    Parameters
    ----------
    module : torch.nn.Module
        Takes (B, 3, H, W) float images, with `mean` and `std` taken off. For nuclei it gives (B, 3 + C, H, W)
        logits of background, inside and boundary of nuclei, and of their C classes, if there are any; for
        patches (B, C) logits.
    kind : str
        ``regions``: it finds nuclei. ``patches``: it classifies patches.
    classes : sequence of str
        Name of each of the C classes, of nuclei (without the background) or of patches.
    mpp : float
        Micrometres per pixel of its input.
    divisible_by, context_px : int
        Of nuclei: height and width are multiples of the first; receptive field around a pixel.
    patch_px : int
        Of patches: their side.
    mean, std : three floats
        Of RGB in [0, 1].

    Returns
    -------
    Model
        A `Segmenter` or a `Classifier`. The module is part of it, not copied.

    Raises
    ------
    ConfigError
        If it is not a module, or an argument belongs to the other kind.
    """
    if not isinstance(module, nn.Module):
        raise ConfigError(f"wrap got a {type(module).__name__}, expected a torch.nn.Module object")
    if kind not in {"regions", "patches"}:
        raise ConfigError(f"kind is {kind!r}, expected 'regions' (it finds nuclei) or 'patches'")
    few = kind == "patches" and len(classes) < 2
    if isinstance(classes, str) or few or len(set(classes)) < len(classes) or "" in classes:
        raise ConfigError(
            f"a network of kind {kind!r} got classes {classes!r}, expected a list of "
            f"{'two or more names' if kind == 'patches' else 'names, or none'}, each once"
        )
    about: dict[str, Any] = {"kind": kind, "mpp": mpp, "mean": list(mean), "std": list(std)}
    about["classes"] = list(classes)
    if kind == "patches":
        spec = InputSpec(mpp, 1, tuple(mean), tuple(std), tuple(classes), patch_px=patch_px)  # type: ignore[arg-type]
        return WrappedClassifier(module, spec, about | {"patch_px": patch_px})
    spec = InputSpec(mpp, divisible_by, tuple(mean), tuple(std), tuple(classes), context_px=context_px)  # type: ignore[arg-type]
    about |= {"divisible_by": divisible_by, "context_px": context_px}
    return WrappedSegmenter(module, spec, about)


OWN = [name for name in signature(wrap).parameters if name != "module"]
"""Names of the arguments of `wrap`."""


class WrappedSegmenter(RegionSegmenter):
    """A third-party network that finds nuclei; see `wrap`."""

    name = "wrapped"

    def __init__(self, module: nn.Module, spec: InputSpec, arguments: Mapping[str, Any]) -> None:
        super().__init__(spec, arguments)
        self.made_as = plugins.name_of(type(module), "histoscope.models")
        self.network = module

    def features(self, x: Tensor) -> Tensor:
        """Logits (B, 3 + C, H, W) of a normalised image (B, 3, H, W)."""
        channels = 3 + len(self.spec.classes)
        return _checked(self.network(x), (x.shape[0], channels, *x.shape[2:]), self.made_as)


class WrappedClassifier(Classifier):
    """A third-party network that classifies patches; see `wrap`."""

    name = "wrapped"

    def __init__(self, module: nn.Module, spec: InputSpec, arguments: Mapping[str, Any]) -> None:
        Model.__init__(self, spec, arguments)
        self.made_as = plugins.name_of(type(module), "histoscope.models")
        self.backbone = module
        self.interpolation, self.pooling, self.fixed, self.freeze_norm = "bilinear", "", True, False
        self.n_features = len(spec.classes)
        self.head: nn.Module = nn.Identity()  # type: ignore[assignment]
        self.dropout = nn.Identity()  # type: ignore[assignment]
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("class_weights", None, persistent=False)
        self.loaded = Loaded("the network that was given")

    def features(self, x: Tensor) -> Tensor:
        """Logits (B, C) of normalised patches (B, 3, H, W)."""
        return _checked(self.backbone(x), (x.shape[0], len(self.spec.classes)), self.made_as)

    def depths(self) -> dict[str, int]:
        """Refuse learning rates by depth: the order of the layers is not known."""
        raise ConfigError(f"train.transfer is for timm backbones, not for {self.made_as}; leave it out")


def _checked(logits: Any, shape: tuple[int, ...], name: str) -> Tensor:
    if not isinstance(logits, Tensor) or tuple(logits.shape) != shape:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ShapeError(f"network {name} gives {got}, expected logits {shape}: one channel for each class")
    return logits


@dataclass(frozen=True, slots=True)
class Maker:
    """Factory of models from a class of torch modules, or a function that returns a module.

    Arguments of `wrap` go to it, all others to the class or function.

    Parameters
    ----------
    name : str
        By which it was found.
    factory : callable
    fixed : mapping
        Arguments of the factory that are always these.
    saved : mapping
        Arguments that a saved model is made again with, where they are other ones.
    outputs : str
        Argument of the factory that is the number of channels that come out, if it has one.
    """

    name: str
    factory: Callable[..., Any]
    fixed: Mapping[str, Any]
    saved: Mapping[str, Any]
    outputs: str = ""

    def kind(self, arguments: Mapping[str, Any]) -> type[Model]:
        """Class of what is made."""
        return WrappedClassifier if arguments.get("kind") == "patches" else WrappedSegmenter

    def __call__(self, **arguments: Any) -> Model:
        """Make the network, and a model of it."""
        names, fixed = arguments.get("classes") or (), dict(self.fixed)
        if isinstance(names, int):
            raise ConfigError(
                f"classes of model {self.name!r} are {names}, expected names of classes of nuclei, or none"
            )
        if self.outputs:
            fixed[self.outputs] = 3 + len(names)
        for key, value in self.fixed.items():
            if arguments.pop(key, value) != value:
                raise ConfigError(f"{key} of model {self.name!r} is {value}, which its labels require")
        theirs = {key: value for key, value in arguments.items() if key not in OWN}
        made = self.factory(**theirs, **fixed)
        model = wrap(made, **{key: value for key, value in arguments.items() if key in OWN})
        model.made_as = self.name
        model.arguments |= {**theirs, **self.saved}
        return model


def maker(name: str, found: Any) -> Maker:
    """Factory of models from a class of modules, or from a function that returns one.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if not callable(found):
        raise ConfigError(
            f"model {name!r} is {found!r}, expected a class of models, of torch modules, or a function that "
            "gives a module"
        )
    return Maker(name, found, {}, {})


def of_library(name: str) -> Maker | Callable[..., Classifier]:
    """Factory of ``timm/resnet18`` or ``smp/Unet``, with the library's own arguments.

    Raises
    ------
    UnknownNameError
        If the library has no such model.
    """
    library, _, model = name.partition("/")
    if library == "timm":
        return _Timm(model)
    import segmentation_models_pytorch as smp

    kinds = {
        key: kind
        for key, kind in vars(smp).items()
        if isinstance(kind, type) and issubclass(kind, smp.base.SegmentationModel)
    }
    if model not in kinds:
        raise UnknownNameError("model of segmentation-models-pytorch", model, kinds)
    known = signature(kinds[model]).parameters

    def make(**arguments: Any) -> nn.Module:
        for key in arguments:  # smp passes unknown arguments to timm's encoders, or drops them
            if key not in known and not str(arguments.get("encoder_name")).startswith("tu-"):
                raise UnknownNameError(f"argument of model {name!r}", key, {*known, *OWN} - {"kwargs"})
        network: nn.Module = kinds[model](**arguments)
        return network

    # Saved weights replace the published ones, so opening a model needs no hub.
    return Maker(name, make, {"in_channels": 3}, {"encoder_weights": None}, outputs="classes")


@dataclass(frozen=True, slots=True)
class _Timm:
    """Factory of classifiers on a backbone of timm; arguments unknown to `Classifier` go to timm."""

    backbone: str

    def kind(self, _: Mapping[str, Any]) -> type[Model]:
        """Class of what is made."""
        return Classifier

    def __call__(self, **arguments: Any) -> Classifier:
        """Make the classifier."""
        own = {key: value for key, value in arguments.items() if key in signature(Classifier).parameters}
        options = {key: value for key, value in arguments.items() if key not in own}
        own["options"] = {**(own.get("options") or {}), **options}
        return Classifier(backbone=self.backbone, **own)
