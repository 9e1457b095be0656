"""Fine-tuning a pretrained backbone: layer-wise learning rates, freezing and gradual unfreezing."""

from typing import Any

from torch import nn

from histoscope.models.base import Model
from histoscope.train.config import TransferConfig


def parameter_groups(model: Model, config: TransferConfig | None) -> list[dict[str, Any]]:
    """Parameters for an optimiser, grouped by depth, each group with its ``scale`` on the learning rate.

    Raises
    ------
    ConfigError
        If transfer settings are given for a model that has no depths.
    """
    if config is None or config == TransferConfig():
        return [{"params": list(model.parameters()), "scale": 1.0, "depth": 0}]
    depth_of = model.depths()
    top = max(depth_of.values())
    groups: dict[int, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault(depth_of[name], []).append(parameter)
    return [
        {
            "params": groups[depth],
            "scale": 1.0 if depth == top else config.backbone_lr * config.layer_decay ** (top - depth),
            "depth": depth,
        }
        for depth in sorted(groups)
    ]


class Unfreezing:
    """Gradual unfreezing: blocks that are not trained yet are frozen, and have no gradients.

    Parameters
    ----------
    model : Model
    config : TransferConfig, optional
    """

    def __init__(self, model: Model, config: TransferConfig | None) -> None:
        self.model, self.config, self.lowest = model, config, 0
        self.depth_of: dict[str, int] = {}
        if config is not None and config != TransferConfig():
            self.depth_of = model.depths()
            self.top = max(self.depth_of.values())

    def __call__(self, step: int) -> None:
        """Freeze and unfreeze as the settings say for a step, counted from 0."""
        if self.config is None or not self.depth_of:
            return
        lowest = self.config.unfrozen_from(step, self.top)
        if lowest == self.lowest:
            return
        self.lowest = lowest
        learns = {}
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(self.depth_of[name] >= lowest)
            learns[name.rpartition(".")[0]] = parameter.requires_grad
        for name, module in self.model.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                # Statistics of a frozen block stay those that its weights were learned with.
                module.train(learns.get(name, True) and not getattr(self.model, "freeze_norm", False))
