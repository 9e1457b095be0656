"""Encoder of a network that finds nuclei: initial weights, depths and frozen normalisation."""

from pathlib import Path
from typing import Any, Self

from torch import nn

from histoscope.errors import ConfigError
from histoscope.models.base import Segmenter
from histoscope.models.patches.initial import Loaded, initialise_encoder, outside_features

OWN = "unet"
"""Name of our own encoder."""


class EncodedSegmenter(Segmenter):
    """A segmenter with an encoder that may begin from the weights of another network.

    A subclass calls `begin` once its layers are made.
    """

    encoder: str = ""
    """Where the encoder is among the modules, such as ``network.encoder.model``; "" for none."""
    freeze_norm: bool = False
    """Whether batch normalisation of the encoder keeps its statistics while training."""
    loaded: Loaded = Loaded("")
    """Report of the initial weights."""

    def begin(
        self,
        encoder: str,
        name: str,
        *,
        pretrained: bool = False,
        weights: str | Path | None = None,
        freeze_norm: bool = False,
    ) -> None:
        """Load the encoder's initial weights, if any are given.

        Parameters
        ----------
        encoder : str
            Where it is among the modules.
        name : str
            Of timm; ``unet`` for our own.
        pretrained : bool
            Whether it has the published weights already.
        weights : str or Path, optional
            A file or a model folder, see `histoscope.models.patches.initial`.
        freeze_norm : bool

        Raises
        ------
        ConfigError, CorruptDataError, DatasetNotFoundError
            As of `histoscope.models.patches.initial.initialise`.
        """
        if pretrained and weights is not None:
            raise ConfigError("pretrained: true and weights= exclude each other; choose one")
        if pretrained and name == OWN:
            raise ConfigError(
                "pretrained: true is for timm encoders; Histoscope's own U-Net has no published weights. "
                "Name an encoder, such as resnet18, or give weights="
            )
        self.encoder, self.freeze_norm = encoder, freeze_norm
        if weights is None:
            source = f"{name}, published weights" if pretrained else ""
            self.loaded = Loaded.fresh(self, source, f"{encoder}.")
        else:
            self.loaded = initialise_encoder(self, encoder, name, weights)

    def depths(self) -> dict[str, int]:
        """Depth of each parameter by its name: 0 nearest the image, the decoder the most."""
        if not self.encoder:
            return super().depths()
        order: dict[str, int] = {}
        names = [name for name, _ in self.get_submodule(self.encoder).named_parameters()]
        depth = {f"{self.encoder}.{name}": order.setdefault(block_of(name), len(order)) for name in names}
        return depth | {name: len(order) for name, _ in self.named_parameters() if name not in depth}

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002  # as torch has it
        """Switch between training and prediction; frozen normalisation stays as it is."""
        super().train(mode)
        if mode and self.freeze_norm and self.encoder:
            for module in self.get_submodule(self.encoder).modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def block_of(name: str) -> str:
    """Block of an encoder that a parameter belongs to; everything before the first block is its stem.

    Examples
    --------
    >>> [block_of(name) for name in ("conv_stem.weight", "blocks.3.0.bn1.bias", "layer2.1.bn1.bias")]
    ['stem', 'blocks.3', 'layer2']
    """
    parts: list[Any] = outside_features(name).split(".")
    if parts[0] in {"blocks", "stages", "layers", "features"} and parts[1].isdigit():
        return f"{parts[0]}.{parts[1]}"
    return str(parts[0]) if parts[0][-1].isdigit() and parts[0] not in {"conv1", "bn1"} else "stem"
