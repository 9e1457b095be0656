"""MobileNets as TensorFlow published them: SAME padding, batch normalisation folded into the convolutions.

The networks are timm's; only the padding differs from its own. Quantised ImageNet weights of a few megabytes
give real features where no hub can be reached.

References
----------
.. [1] Howard et al., arXiv:1704.04861 (version 1)
.. [2] Sandler et al., CVPR 2018, doi:10.1109/CVPR.2018.00474 (version 2)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from histoscope.errors import CorruptDataError

V1 = ("dsa_r1_k3_s1_c64", "dsa_r2_k3_s2_c128", "dsa_r2_k3_s2_c256", "dsa_r6_k3_s2_c512", "dsa_r2_k3_s2_c1024")
V2 = (
    *("ds_r1_k3_s1_c16", "ir_r2_k3_s2_e6_c24", "ir_r3_k3_s2_e6_c32", "ir_r4_k3_s2_e6_c64"),
    *("ir_r3_k3_s1_e6_c96", "ir_r3_k3_s2_e6_c160", "ir_r1_k3_s1_e6_c320"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Blocks (timm's notation), channels relative to the paper's, channels of the last layer, image size."""

    blocks: tuple[str, ...]
    width: float
    last: int
    patch_px: int


MOBILENETS = {
    "mobilenet_v2_tf": Plan(V2, 1.0, 1280, 224),
    "mobilenet_v1_075_tf": Plan(V1, 0.75, 0, 192),
    "mobilenet_v1_050_tf": Plan(V1, 0.5, 0, 160),
    "mobilenet_v1_025_tf": Plan(V1, 0.25, 0, 128),
}

# (pixel - 128) / 128, as mean and spread of values in [0, 1].
MEAN = STD = (128 / 255, 128 / 255, 128 / 255)


def build(name: str) -> Any:
    """A MobileNet without its classifier, with fresh weights.

    Examples
    --------
    >>> build("mobilenet_v1_025_tf").num_features
    256
    """
    from timm.models._efficientnet_builder import decode_arch_def, round_channels
    from timm.models.efficientnet import EfficientNet

    plan = MOBILENETS[name]
    return EfficientNet(
        decode_arch_def([[block] for block in plan.blocks]),
        num_classes=0,
        num_features=plan.last,
        stem_size=32,
        pad_type="same",
        act_layer=nn.ReLU6,
        round_chs_fn=partial(round_channels, multiplier=plan.width),
    )


def is_folded(arrays: Mapping[str, Any]) -> bool:
    """Whether arrays are named as layers by number: ``000.weight``, ``000.bias``, ``001.weight``..."""
    return bool(arrays) and all(
        name.split(".")[0].isdecimal() and name.split(".")[-1] in {"weight", "bias"} for name in arrays
    )


def unfolded(arrays: Mapping[str, NDArray[Any]], network: nn.Module) -> dict[str, Tensor]:
    """State of `network` in which each convolution has its weights and its normalisation adds the bias alone.

    Parameters
    ----------
    arrays : mapping
        ``NNN.weight`` (out, in, height, width) and ``NNN.bias`` (out,), numbered in the order of the layers;
        the last is the classifier.
    network : nn.Module
        From `build`.

    Returns
    -------
    dict of Tensor
        State of the network; the classifier's is called ``classifier.weight`` (classes, features) and
        ``classifier.bias``.

    Raises
    ------
    CorruptDataError
        If the file has another number of layers, or one without a bias.
    """
    numbers = sorted({name.split(".")[0] for name in arrays}, key=int)
    modules = dict(network.named_modules())
    convolutions = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
    norms = [name for name, module in modules.items() if isinstance(module, nn.BatchNorm2d)]
    if len(numbers) != len(convolutions) + 1:
        raise CorruptDataError(
            f"the weights have {len(numbers)} layers, the network {len(convolutions)} and a classifier; "
            "they are of another MobileNet, or incomplete"
        )
    lacking = [f"{n}.{kind}" for n in numbers for kind in ("weight", "bias") if f"{n}.{kind}" not in arrays]
    if lacking:
        raise CorruptDataError(f"the weights lack {', '.join(lacking[:3])}; copy the file again")
    state: dict[str, Tensor] = {}
    for number, convolution, norm in zip(numbers[:-1], convolutions, norms, strict=True):
        bias = _tensor(arrays[f"{number}.bias"])
        state[f"{convolution}.weight"] = _tensor(arrays[f"{number}.weight"])
        state |= {
            f"{norm}.weight": torch.ones_like(bias),
            f"{norm}.bias": bias,
            f"{norm}.running_mean": torch.zeros_like(bias),
            f"{norm}.running_var": torch.full_like(bias, 1.0 - float(modules[norm].eps)),
            f"{norm}.num_batches_tracked": torch.tensor(0),
        }
    state["classifier.weight"] = _tensor(arrays[f"{numbers[-1]}.weight"]).flatten(1)
    state["classifier.bias"] = _tensor(arrays[f"{numbers[-1]}.bias"])
    return state


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
