"""Patch classifier: any backbone with a linear head."""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from histoscope.errors import ConfigError, DataError, ShapeError
from histoscope.images.resolution import check_mpp
from histoscope.models.base import Heads, InputSpec, Model
from histoscope.models.folding import folded
from histoscope.models.patches import hub
from histoscope.models.patches.initial import Loaded, initialise
from histoscope.types import Image, Sample

Three = tuple[float, float, float]
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
POOLINGS = ("", "cls_mean")


class Classifier(Model):
    """A backbone of timm, or our own, and a linear head on its pooled features.

    Parameters
    ----------
    backbone : str
        A name of timm (``resnet18``), of a foundation model (``uni``, ``hf-hub:MahmoodLab/UNI``), or
        ``unet``.
    classes : sequence of str
        Names of labels 0, 1, ...; empty for a backbone that only extracts features.
    pretrained : bool
        Begin from the backbone's published weights, fetched from the Hugging Face Hub.
    weights : str or Path, optional
        Begin from a file (.safetensors, .npz, .pth) or a model folder instead, see
        `histoscope.models.patches.initial`.
    mpp : float, optional
        Micrometres per pixel of its input; by default that of the backbone, if it has one. Without either, it
        must be set by `show_at` before prediction.
    patch_px : int, optional
        Their side, in pixels.
    mean, std : three floats, optional
        Of RGB in [0, 1]. These, `patch_px`, `interpolation` and `pooling` come from the backbone's own
        configuration unless given.
    interpolation, pooling : str, optional
        See `histoscope.models.patches.hub.Preset`.
    dropout : float
        Share of features dropped before the head while training.
    freeze_norm : bool
        Batch normalisation keeps its statistics while training.
    options : dict, optional
        Further arguments of the backbone.

    Examples
    --------
    >>> import torch
    >>> model = Classifier(backbone="test_efficientnet", classes=["normal", "tumour"], mpp=0.5).eval()
    >>> model(torch.zeros(2, 3, 160, 160, dtype=torch.uint8))["logits"].shape
    torch.Size([2, 2])
    """

    name = "classifier"
    task = "patches"
    temperature: Tensor
    """Temperature of calibration, by which logits are divided; 1 until calibrated."""
    loaded: Loaded
    """Report of the initial weights."""

    def __init__(  # noqa: PLR0913  # the same words as in a configuration file
        self,
        *,
        backbone: str = "resnet18",
        classes: Sequence[str] = (),
        pretrained: bool = False,
        weights: str | Path | None = None,
        mpp: float | None = None,
        patch_px: int | None = None,
        mean: Three | None = None,
        std: Three | None = None,
        interpolation: str | None = None,
        pooling: str | None = None,
        dropout: float = 0.0,
        freeze_norm: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        _check(classes, dropout, pretrained=pretrained, weights=weights)
        _check_shown(patch_px, interpolation, pooling, std)
        network, preset, plain, plain_options = hub.build(
            backbone, pretrained=pretrained, options=options or {}, patch_px=patch_px
        )
        known = hub.foundation(backbone)
        spec = InputSpec(
            mpp=_resolution(mpp, known),
            divisible_by=1,
            mean=hub.three(mean or preset.mean),
            std=hub.three(std or preset.std),
            classes=tuple(classes),
            patch_px=preset.patch_px if patch_px is None else patch_px,
        )
        super().__init__(spec, {})
        self.backbone = network
        self.interpolation = interpolation or preset.interpolation
        self.pooling = preset.pooling if pooling is None else pooling
        self.fixed = preset.fixed
        self.n_features = int(network.num_features) * (2 if self.pooling == "cls_mean" else 1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.n_features, len(classes)) if classes else None
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("class_weights", None, persistent=False)
        source = f"{backbone}, published weights" if pretrained else ""
        self.loaded = Loaded.fresh(self, source) if weights is None else initialise(self, weights)
        self.freeze_norm = freeze_norm
        # Arguments that make the same network without a hub; its weights are in the model folder.
        self.arguments = {
            "backbone": plain,
            "classes": list(classes),
            "mpp": spec.to_dict()["mpp"],
            "patch_px": spec.patch_px,
            "mean": list(spec.mean),
            "std": list(spec.std),
            "interpolation": self.interpolation,
            "pooling": self.pooling,
            "dropout": dropout,
            "freeze_norm": self.freeze_norm,
            "options": plain_options,
        }

    def features(self, x: Tensor) -> Tensor:
        """Pooled features (B, D) of normalised patches (B, 3, H, W)."""
        side = self.spec.patch_px
        if self.fixed and x.shape[2:] != (side, side):
            raise ShapeError(
                f"patches are {tuple(x.shape[2:])}, but backbone {self.arguments['backbone']!r} takes "
                f"{side} x {side} pixels; Classifier.patch brings an image to that size"
            )
        if self.pooling == "cls_mean":
            tokens: Tensor = self.backbone.forward_features(x)
            first = int(self.backbone.num_prefix_tokens)
            return torch.cat([tokens[:, 0], tokens[:, first:].mean(dim=1)], dim=1)
        pooled: Tensor = self.backbone(x)
        return pooled

    def heads(self, x: Tensor) -> Heads:
        """Logits (B, C) of normalised patches."""
        if self.head is None:
            raise ConfigError(
                "this model is a backbone without classes; give its folder as weights= to a classifier"
            )
        return {"logits": self.head(self.dropout(self.features(x)))}

    def targets(self, sample: Sample) -> dict[str, NDArray[Any]]:
        """The label, a scalar int64."""
        names = self.spec.classes
        if sample.label is None:
            raise DataError(f"patch {sample.name!r} has no class to learn from; use a data set with classes")
        if not 0 <= sample.label < len(names):
            raise ConfigError(
                f"patch {sample.name!r} is of class {sample.label}, but the model knows 0 to "
                f"{len(names) - 1}: {', '.join(names)}; give it the classes of the data set"
            )
        return {"label": np.asarray(sample.label, np.int64)}

    def loss(self, heads: Heads, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy."""
        loss = functional.cross_entropy(
            heads["logits"].float(), target["label"], weight=getattr(self, "class_weights", None)
        )
        return {"classification_loss": loss, "total": loss}

    def weigh_classes(self, weights: Sequence[float]) -> None:
        """Set the class weights of the loss."""
        if len(weights) != len(self.spec.classes):
            raise ConfigError(f"{len(weights)} class weights for {len(self.spec.classes)} classes")
        self.class_weights = torch.tensor(weights, dtype=torch.float32, device=self.mean.device)

    def quick(self) -> Self:
        """Copy for faster inference, with batch normalisation folded; weights are shared."""
        shared = {id(tensor): tensor for tensor in chain(self.parameters(), self.buffers())}
        model = copy.deepcopy(self, shared).eval()
        backbone, side = getattr(model, "backbone", None), self.spec.patch_px
        # Only transformers are pooled here, and they have nothing to fold.
        if backbone is not None and not self.pooling:
            ramp = torch.linspace(0, 1, 3 * side**2, device=self.mean.device)
            example = self.normalised(ramp.view(1, 3, side, side))
            model.backbone = folded(backbone, example).to(memory_format=torch.channels_last)
        return model

    def depths(self) -> dict[str, int]:
        """Depth of each parameter by its name: 0 nearest the image, one more a block, the head the most."""
        from timm.models import group_parameters

        found: dict[str, int] = group_parameters(self.backbone, self.backbone.group_matcher(), reverse=True)
        order = {old: new for new, old in enumerate(sorted(set(found.values())))}
        depth = {f"backbone.{name}": order[old] for name, old in found.items()}
        return depth | {name: len(order) for name, _ in self.named_parameters() if name not in depth}

    def probabilities(self, heads: Heads) -> Tensor:
        """(B, C), rows sum to 1."""
        return torch.softmax(heads["logits"].float() / self.temperature, dim=1)

    def patch(self, image: Image, mpp: float) -> Image:
        """Resample an image to the model's resolution and size: centre crop, or reflected borders.

        Parameters
        ----------
        image : (H, W, 3) uint8
        mpp : float
            Its micrometres per pixel.

        Returns
        -------
        (patch_px, patch_px, 3) uint8
            The same array if it fits already.
        """
        return fit_patch(image, mpp / self.input_mpp, self.spec.patch_px, self.interpolation)

    @property
    def input_mpp(self) -> float:
        """Micrometres per pixel of its input.

        Raises
        ------
        ConfigError
            If it is not set.
        """
        if math.isnan(self.spec.mpp):
            raise ConfigError(
                "the resolution of this classifier is not set: give it mpp=... (micrometres per pixel), "
                "or call show_at(mpp)"
            )
        return self.spec.mpp

    def show_at(self, mpp: float) -> None:
        """Set the resolution of its input."""
        self.spec = replace(self.spec, mpp=mpp)
        self.arguments["mpp"] = mpp

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002  # as torch has it
        """Switch between training and prediction; frozen normalisation stays as it is."""
        super().train(mode)
        if mode and self.freeze_norm:
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def fit_patch(image: Image, scale: float, side: int, interpolation: str = "bilinear") -> Image:
    """Resample an image by `scale` and crop its centre, or reflect its borders, to a square.

    Parameters
    ----------
    image : (H, W, 3) uint8
    scale : float
        Output pixels for each input pixel. A size within 1 % of `side` counts as equal.
    side : int
        Of the square.
    interpolation : str
        ``nearest``, ``bilinear``, ``bicubic`` or ``lanczos``; all are antialiased.

    Examples
    --------
    >>> fit_patch(np.zeros((100, 80, 3), np.uint8), 0.5, 32).shape
    (32, 32, 3)
    """
    from PIL import Image as Pillow

    height, width = image.shape[:2]
    if (height, width) == (side, side) and abs(scale - 1) < 0.01:
        return image
    # The part of the image that is used, in its own pixels, and its size in the output.
    wanted = side / scale
    seen = [float(n) if n < wanted * 1.01 else wanted for n in (height, width)]
    out = [side if abs(n * scale / side - 1) < 0.01 else min(side, max(1, round(n * scale))) for n in seen]
    top, left = (height - seen[0]) / 2, (width - seen[1]) / 2
    method = getattr(Pillow.Resampling, interpolation.upper(), Pillow.Resampling.BILINEAR)
    picture = Pillow.fromarray(np.ascontiguousarray(image)).resize(
        (out[1], out[0]), method, box=(left, top, left + seen[1], top + seen[0])
    )
    pixels = np.asarray(picture)
    if out != [side, side]:
        pads = [((side - n) // 2, side - n - (side - n) // 2) for n in out]
        pixels = np.pad(pixels, [*pads, (0, 0)], mode="symmetric")
    return pixels


def _resolution(mpp: float | None, known: hub.Foundation | None) -> float:
    """The given resolution, or that of the backbone; NaN if neither is known."""
    if mpp is not None:
        return check_mpp(mpp, "mpp of the model")
    return math.nan if known is None else known.mpp


def _check_shown(
    patch_px: int | None, interpolation: str | None, pooling: str | None, std: Three | None
) -> None:
    """Refuse impossible sizes and interpolations."""
    if patch_px is not None and (not isinstance(patch_px, int) or isinstance(patch_px, bool) or patch_px < 1):
        raise ConfigError(f"patch_px is {patch_px!r}, expected the side of a patch in pixels, such as 224")
    for what, given, known in (
        ("interpolation", interpolation, INTERPOLATIONS),
        ("pooling", pooling, POOLINGS),
    ):
        if given is not None and given not in known:
            raise ConfigError(f"{what} is {given!r}, expected one of {', '.join(map(repr, known))}")
    if std is not None and not all(value > 0 for value in std):
        raise ConfigError(f"std is {list(std)}, expected three numbers above 0")


def _check(classes: Sequence[str], dropout: float, *, pretrained: bool, weights: str | Path | None) -> None:
    if isinstance(classes, str) or len(set(classes)) < len(classes) or len(classes) == 1:
        raise ConfigError(f"classes are {classes!r}, expected a list of two or more different names")
    if not 0 <= dropout < 1:
        raise ConfigError(f"dropout is {dropout}, expected a number from 0 up to, but not including, 1")
    if pretrained and weights is not None:
        raise ConfigError("pretrained: true and weights= exclude each other; choose one")
