"""Grad-CAM: how much each place of the last feature map adds to the score of a class."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from histoscope.errors import ConfigError, MissingDependencyError
from histoscope.models import Classifier
from histoscope.models.guests import WrappedClassifier


def grad_cam(model: Classifier, x: Tensor, target: Sequence[int]) -> Tensor:
    """Grad-CAM [1]_ of the last feature map.

    Parameters
    ----------
    model : Classifier
        With a backbone that ends in a feature map: convolutional, or a transformer of windows such as Swin.
        For a custom network, the output of its last convolution is used.
    x : (B, 3, H, W) float32
        Normalised patches, from ``model.normalised``.
    target : sequence of int
        The class to explain, of each patch.

    Returns
    -------
    (B, h, w) float32
        0 and above, without a unit; only values of one patch can be compared.

    Raises
    ------
    MissingDependencyError
        If captum is not installed.
    ConfigError
        If the backbone ends in no feature map.

    References
    ----------
    .. [1] Selvaraju et al., ICCV 2017, doi:10.1109/ICCV.2017.74
    """
    layer_grad_cam = require_captum()
    model.eval()
    split, layer = _own(model, x) if isinstance(model, WrappedClassifier) else _ours(model)
    classes = torch.tensor(list(target), device=x.device)
    with torch.enable_grad():
        heat = layer_grad_cam(split, layer).attribute(x, target=classes, relu_attributions=True)
    found: Tensor = heat.detach()[:, 0].float()
    return found


def require_captum() -> Any:
    """Give captum's Grad-CAM.

    Raises
    ------
    MissingDependencyError
        With the line that installs it.
    """
    try:
        from captum.attr import LayerGradCam
    except ImportError as error:
        raise MissingDependencyError(
            "Grad-CAM needs captum, which is not installed: pip install 'histoscope[explain]'"
        ) from error
    return LayerGradCam


def _ours(model: Classifier) -> tuple[nn.Module, nn.Module]:
    split = _Split(model).eval()
    return split, split.maps


def _own(model: WrappedClassifier, x: Tensor) -> tuple[Callable[[Tensor], Tensor], nn.Module]:
    """Logits of a third-party network, and the convolution that runs last in it."""
    ran: list[nn.Module] = []
    convolutions = [module for module in model.backbone.modules() if isinstance(module, nn.Conv2d)]
    hooks = [each.register_forward_hook(lambda module, *_: ran.append(module)) for each in convolutions]
    try:
        with torch.inference_mode():
            model.heads(x[:1])
    finally:
        for hook in hooks:
            hook.remove()
    if not ran:
        raise ConfigError(f"network {model.made_as} has no convolution (torch.nn.Conv2d), so no Grad-CAM")
    return lambda images: model.heads(images)["logits"], ran[-1]


class _Split(nn.Module):
    """A classifier with a layer between its feature map and its head."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model
        self.maps = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        backbone: Any = self.model.backbone
        features = backbone.forward_features(x)
        # Some transformers keep the channels last.
        last = str(getattr(backbone, "output_fmt", "NCHW")).endswith("NHWC")
        if features.ndim != 4 or self.model.head is None:
            raise ConfigError(
                f"backbone {self.model.arguments.get('backbone')!r} gives features of shape "
                f"{tuple(features.shape)}, expected a map (B, C, h, w); for transformers, use rollout"
            )
        maps = self.maps(features.permute(0, 3, 1, 2) if last else features)
        if hasattr(backbone, "forward_head"):
            pooled = backbone.forward_head(maps.permute(0, 2, 3, 1) if last else maps)
        else:  # of our own
            pooled = maps.mean(dim=(2, 3))
        logits: Tensor = self.model.head(pooled)
        return logits
