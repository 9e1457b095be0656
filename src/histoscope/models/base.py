"""The contract of every segmentation model: targets, forward, loss, decode."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from histoscope.errors import ConfigError, ShapeError
from histoscope.models import losses, regions
from histoscope.types import Nuclei, Sample

Heads: TypeAlias = dict[str, Tensor]
"""Named outputs of a network, each (B, channels, H, W) logits."""

# Mean and standard deviation of ImageNet, as timm's encoders expect; harmless for nets trained from scratch.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a model wants to be shown.

    Parameters
    ----------
    mpp : float
        Micrometres per pixel; images of another resolution are resampled to it.
    divisible_by : int
        Height and width must be multiples of it; prediction pads to them.
    mean, std : three floats
        Of RGB in [0, 1]; the model applies them itself.
    classes : tuple of str
        Names of the classes of nuclei; empty if it tells none apart.
    """

    mpp: float
    divisible_by: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.mpp > 0:
            raise ConfigError(f"mpp is {self.mpp}, expected micrometres per pixel above 0")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a model card."""
        return asdict(self)


class Segmenter(nn.Module):
    """Base of the segmentation models that tell background, inside and boundary of nuclei apart.

    A subclass builds its network and gives `features`, which maps a normalised image to three channels of
    logits. Everything that training, evaluation and prediction need is here.

    Parameters
    ----------
    spec : InputSpec
        What the network wants to be shown.
    arguments : mapping
        The arguments that the subclass was made with, so that a saved model can be made again.
    """

    name: str = ""
    mean: Tensor
    std: Tensor

    def __init__(self, spec: InputSpec, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self.spec = spec
        self.arguments = dict(arguments)
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    def features(self, x: Tensor) -> Tensor:
        """Logits (B, 3, H, W) of a normalised image (B, 3, H, W); a subclass gives this."""
        raise TypeError(f"{type(self).__name__} must define features()")

    def forward(self, image: Tensor) -> Heads:
        """Heads of a batch of images.

        Parameters
        ----------
        image : (B, 3, H, W) uint8, or float in [0, 1]
            RGB; the model normalises it. Height and width must be multiples of ``spec.divisible_by``.

        Returns
        -------
        dict
            ``regions``: (B, 3, H, W) logits of background, inside and boundary.
        """
        divisor = self.spec.divisible_by
        if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] % divisor or image.shape[3] % divisor:
            raise ShapeError(
                f"image batch is {tuple(image.shape)}, expected (B, 3, H, W) with H and W multiples of "
                f"{divisor}; models.predict pads for you"
            )
        if image.dtype == torch.uint8:
            image = image.float() / 255.0
        x = (image - self.mean) / self.std
        return {"regions": self.features(x.contiguous(memory_format=torch.channels_last))}

    @staticmethod
    def targets(sample: Sample) -> dict[str, NDArray[Any]]:
        """Training targets of a sample as plain arrays; runs in loader workers."""
        if sample.instances is None:
            raise ShapeError(f"sample {sample.name!r} has no instance map to learn from")
        return {"regions": regions.from_labels(sample.instances)}

    @staticmethod
    def loss(heads: Heads, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """Named loss terms and their sum, ``total``."""
        return losses.dice_cross_entropy(heads["regions"], target["regions"].long())

    @staticmethod
    def decode(heads: Heads, mpp: float) -> Nuclei:
        """Nuclei of one image from its heads.

        Parameters
        ----------
        heads : dict
            ``regions``: (1, 3, H, W) logits.
        mpp : float
            Micrometres per pixel of the heads, for the smallest area that counts as a nucleus.
        """
        probability = torch.softmax(heads["regions"][0].float(), dim=0).cpu().numpy()
        return regions.to_nuclei(probability, mpp)
