"""The contract of every segmentation model: targets, forward, loss, decode."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from histoscope.errors import ConfigError, ShapeError
from histoscope.models import turns
from histoscope.types import Labels, Nuclei, Sample

Heads: TypeAlias = dict[str, Tensor]
"""Named outputs of a network, each (B, channels, H / grid, W / grid)."""

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
        Names of the classes of nuclei, the first with id 1; empty if it tells none apart.
    grid : int
        Pixels of the image from one value of a head to the next.
    context_px : int
        How far around a pixel the network looks; prediction in tiles shows it as much.
    """

    mpp: float
    divisible_by: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    classes: tuple[str, ...] = ()
    grid: int = 1
    context_px: int = 128

    def __post_init__(self) -> None:
        if not self.mpp > 0:
            raise ConfigError(f"mpp is {self.mpp}, expected micrometres per pixel above 0")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a model card."""
        return asdict(self)


class Segmenter(nn.Module):
    """Base of the segmentation models: all that training, evaluation and prediction know of a network.

    A subclass gives `features`, and says what its heads mean: `targets`, `loss` and `decode`. ``decode`` of
    perfect heads gives the labels back.

    Parameters
    ----------
    spec : InputSpec
        What the network wants to be shown.
    arguments : mapping
        The arguments that the subclass was made with, so that a saved model can be made again.
    """

    name: str = ""
    thresholds: dict[str, float]
    """What `decode` compares with, each in (0, 1); tuned on validation images, kept on the card."""
    mean: Tensor
    std: Tensor

    def __init__(self, spec: InputSpec, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self.spec = spec
        self.arguments = dict(arguments)
        self.thresholds = {}
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    def heads(self, x: Tensor) -> Heads:
        """Heads of a normalised image (B, 3, H, W); a subclass gives this."""
        raise TypeError(f"{type(self).__name__} must define heads()")

    def targets(self, sample: Sample) -> dict[str, NDArray[Any]]:
        """Training targets of a sample as plain arrays; runs in loader workers."""
        raise TypeError(f"{type(self).__name__} must define targets()")

    def loss(self, heads: Heads, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """Named loss terms and their sum, ``total``."""
        raise TypeError(f"{type(self).__name__} must define loss()")

    def weigh_classes(self, weights: Sequence[float]) -> None:
        """Weigh the classes in the loss, the background first; only for models with classes."""
        raise ConfigError(f"model {self.name!r} tells no classes apart, so they cannot be weighed")

    def turned_back(self, heads: Heads, turn: int) -> Heads:
        """Heads of an upright image from those of `histoscope.models.turns.turn` of it."""
        return {name: turns.back(head, turn) for name, head in heads.items()}

    def merged(self, turned: Sequence[Heads]) -> Heads:
        """One set of heads from those of several turns, each turned back."""
        raise TypeError(f"{type(self).__name__} must define merged()")

    def decode(self, heads: Heads, shape: tuple[int, int], mpp: float) -> Nuclei:
        """Nuclei of one image from its heads.

        Parameters
        ----------
        heads : dict
            Of one image, each (1, C, ...), on the CPU.
        shape : (int, int)
            Height and width of the image that the nuclei are wanted on; the heads cover the same field, maybe
            at another resolution.
        mpp : float
            Micrometres per pixel of that image.
        """
        raise TypeError(f"{type(self).__name__} must define decode()")

    def forward(self, image: Tensor) -> Heads:
        """Heads of a batch of images.

        Parameters
        ----------
        image : (B, 3, H, W) uint8, or float in [0, 1]
            RGB; the model normalises it. Height and width must be multiples of ``spec.divisible_by``.
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
        return self.heads(x.contiguous(memory_format=torch.channels_last))


def instances_of(sample: Sample) -> Labels:
    """Instance map of a sample, or an error that names the sample."""
    if sample.instances is None:
        raise ShapeError(f"sample {sample.name!r} has no instance map to learn from")
    return sample.instances
