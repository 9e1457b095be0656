"""Grad-CAM: which places of the last map of features spoke for a class."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from histoscope.errors import ConfigError, MissingDependencyError
from histoscope.models import Classifier


def grad_cam(model: Classifier, x: Tensor, target: Sequence[int]) -> Tensor:
    """What speaks for a class, at each place of the backbone's last map of features.

    Parameters
    ----------
    model : Classifier
        With a backbone that ends in a map: convolutional, or a transformer of windows such as Swin.
    x : (B, 3, H, W) float32
        Normalised patches, from ``model.normalised``.
    target : sequence of int
        The class to explain, of each patch.

    Returns
    -------
    (B, h, w) float32
        0 and above, in no unit; only the largest of one patch may be compared with its others.

    Raises
    ------
    MissingDependencyError
        If captum is not installed.
    ConfigError
        If the backbone ends in no map.

    References
    ----------
    .. [1] Selvaraju et al., ICCV 2017, doi:10.1109/ICCV.2017.74
    """
    layer_grad_cam = require_captum()
    split = _Split(model).eval()
    classes = torch.tensor(list(target), device=x.device)
    with torch.enable_grad():
        heat = layer_grad_cam(split, split.maps).attribute(x, target=classes, relu_attributions=True)
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


class _Split(nn.Module):
    """A classifier with a place between the map of features and what is made of it."""

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
                f"{tuple(features.shape)}, expected a map (B, C, h, w); rollout explains transformers"
            )
        maps = self.maps(features.permute(0, 3, 1, 2) if last else features)
        if hasattr(backbone, "forward_head"):
            pooled = backbone.forward_head(maps.permute(0, 2, 3, 1) if last else maps)
        else:  # of our own
            pooled = maps.mean(dim=(2, 3))
        logits: Tensor = self.model.head(pooled)
        return logits
