"""Attention rollout of vision transformers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from histoscope.errors import ConfigError
from histoscope.models import Classifier


def rollout(model: Classifier, x: Tensor) -> Tensor:
    """Attention rollout [1]_: attention of all layers, multiplied back to the input.

    It does not depend on the class.

    Parameters
    ----------
    model : Classifier
        With a plain vision transformer as backbone.
    x : (B, 3, H, W) float32
        Normalised patches, from ``model.normalised``.

    Returns
    -------
    (B, h, w) float32
        Shares of attention; with that of class and register tokens each map sums to 1 or less.

    Raises
    ------
    ConfigError
        If the backbone has no global attention.

    Notes
    -----
    The attention of each layer is averaged over heads and, for the path around it, with the identity; the
    product over layers tells how much of each token is in each at the end.

    References
    ----------
    .. [1] Abnar and Zuidema, ACL 2020, doi:10.18653/v1/2020.acl-main.385
    """
    if not has_global_attention(model):
        raise ConfigError(
            f"backbone {model.arguments.get('backbone')!r} has no global attention; use Grad-CAM"
        )
    backbone: Any = model.backbone
    with torch.inference_mode(), _attention_of(backbone) as layers:
        model.eval().features(x)
        if not layers:
            raise ConfigError(
                f"attention of backbone {model.arguments.get('backbone')!r} cannot be read from its layers; "
                "use another backbone"
            )
        flow = layers[0]
        for layer in layers[1:]:
            flow = layer @ flow
    prefix = int(backbone.num_prefix_tokens)
    rows = _read_by_head(flow, prefix, str(getattr(backbone, "global_pool", "token")), model.pooling)
    places = rows[:, prefix:]
    height, width = _grid(backbone, places.shape[1])
    return places.reshape(-1, height, width).float()


def has_global_attention(model: Classifier) -> bool:
    """Whether the backbone is a plain vision transformer with global attention."""
    backbone = model.backbone
    return hasattr(backbone, "num_prefix_tokens") and hasattr(backbone, "blocks") and bool(_layers(backbone))


def _layers(backbone: nn.Module) -> list[nn.Module]:
    return [
        module
        for module in backbone.modules()
        if hasattr(module, "fused_attn") and hasattr(module, "attn_drop")
    ]


@contextmanager
def _attention_of(backbone: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the (B, N, N) attention of each layer, mixed with the identity; the network is restored."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, attention: Tensor) -> None:
        mean = attention.float().mean(dim=1)
        identity = torch.eye(mean.shape[-1], device=mean.device)
        found.append((mean + identity) / 2)

    layers: list[Any] = _layers(backbone)
    fused = [layer.fused_attn for layer in layers]
    hooks = [layer.attn_drop.register_forward_hook(keep) for layer in layers]
    try:
        for layer in layers:
            layer.fused_attn = False  # the fused kernel does not give the attention
        yield found
    finally:
        for hook in hooks:
            hook.remove()
        for layer, before in zip(layers, fused, strict=True):
            layer.fused_attn = before


def _read_by_head(flow: Tensor, prefix: int, pool: str, pooling: str) -> Tensor:
    """Rows of the tokens that are pooled for the head, (B, N)."""
    first, rest = flow[:, 0], flow[:, prefix:].mean(dim=1)
    if pooling == "cls_mean":
        return (first + rest) / 2
    return first if prefix and pool == "token" else rest


def _grid(backbone: Any, n_places: int) -> tuple[int, int]:
    known = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    if known is not None and known[0] * known[1] == n_places:
        return int(known[0]), int(known[1])
    side = round(n_places**0.5)
    return side, n_places // side
