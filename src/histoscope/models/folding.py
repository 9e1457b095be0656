"""Batch normalisation folded into the preceding convolution, for faster inference."""

import copy
from itertools import chain, pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CLOSE = 1e-3
Network = TypeVar("Network", bound=nn.Module)


def folded_sequences(network: Network) -> Network:
    """As `folded`, but only within each `nn.Sequential`, where the order is certain.

    Our own networks, which have their convolutions there, run in about a sixth less time.
    """
    quick = _copied(network)
    for block in [block for block in quick.modules() if isinstance(block, nn.Sequential)]:
        _fold(block)
    return quick


def folded(network: nn.Module, example: Tensor) -> nn.Module:
    """Copy a network for prediction, with each normalisation that follows a convolution folded into it.

    The order of layers is taken from the order in which modules define them, which is only a convention. So
    both networks are run on an example; where they differ, the unfolded copy is returned.

    Parameters
    ----------
    network : nn.Module
        Not changed; weights that are not folded are shared with the copy.
    example : Tensor
        Input of the network.

    Returns
    -------
    nn.Module
        For inference only.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    >>> folded(network, torch.rand(1, 3, 8, 8))[1]
    Identity()
    """
    plain, quick = _copied(network), _copied(network)
    for block in list(quick.modules()):
        _fold(block)
    with torch.inference_mode():
        expected, found = plain(example), quick(example)
    agree = torch.allclose(found, expected, rtol=_CLOSE, atol=_CLOSE * float(expected.abs().max()))
    chosen: nn.Module = quick if agree else plain
    return chosen


def _fold(block: nn.Module) -> None:
    """Fold the normalisations among a block's own layers."""
    for (name, first), (next_name, second) in pairwise(list(block.named_children())):
        if isinstance(first, nn.Conv2d) and isinstance(second, _BatchNorm) and second.track_running_stats:
            setattr(block, name, fuse_conv_bn_eval(first, second))
            setattr(block, next_name, _rest(second))


def _copied(network: Network) -> Network:
    """Copy a network for inference; weights are shared."""
    shared = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    return copy.deepcopy(network, shared).eval()


def _rest(norm: nn.Module) -> nn.Module:
    """Activation of a normalisation layer of timm, or identity."""
    act = getattr(norm, "act", None)
    return act if isinstance(act, nn.Module) else nn.Identity()
