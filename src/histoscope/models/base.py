"""Base classes of all models: targets, forward pass and loss; of segmentation models, decoding too."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from histoscope.errors import ConfigError, ShapeError
from histoscope.images.resolution import check_mpp
from histoscope.models import turns
from histoscope.models.class_rule import ClassRule
from histoscope.models.folding import folded_sequences
from histoscope.types import Labels, Nuclei, Sample

if TYPE_CHECKING:
    from histoscope.models.backends.runner import Runner

UNKNOWN = -1
"""Class of pixels whose nucleus has no known class: the loss leaves them out."""
Heads: TypeAlias = dict[str, Tensor]
"""Named outputs of a network, each (B, channels, H / grid, W / grid)."""

# Mean and standard deviation of ImageNet, as timm's encoders expect; harmless for nets trained from scratch.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Input of a model: resolution, size, normalisation and classes.

    Parameters
    ----------
    mpp : float
        Micrometres per pixel; images of another resolution are resampled to it. NaN: of a classifier whose
        resolution is not set.
    divisible_by : int
        Height and width must be multiples of it; prediction pads to them.
    mean, std : three floats
        Of RGB in [0, 1]; the model applies them itself.
    classes : tuple of str
        Names of the classes: of nuclei, the first with id 1, empty for a model without classes; or of
        patches, the first with label 0.
    grid : int
        Pixels of the image from one value of a head to the next.
    context_px : int
        Receptive field around a pixel; prediction in tiles adds as wide a margin.
    patch_px : int
        Side of the patches of a classifier; 0 for models that take images of any size.
    """

    mpp: float
    divisible_by: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    classes: tuple[str, ...] = ()
    grid: int = 1
    context_px: int = 128
    patch_px: int = 0

    def __post_init__(self) -> None:
        if not (self.patch_px and math.isnan(self.mpp)):
            check_mpp(self.mpp, "mpp of the model")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a model card."""
        return asdict(self) | {"mpp": None if math.isnan(self.mpp) else self.mpp}


class Model(nn.Module):
    """Base of all models, as training and saving use them.

    A subclass defines `heads`, and `targets` and `loss` to train them.

    Parameters
    ----------
    spec : InputSpec
        Input of the network.
    arguments : mapping
        The arguments that the subclass was made with, so that a saved model can be made again.
    """

    name: str = ""
    made_as: str = ""
    """Name in the registry by which it is created again, where that is not its class's."""
    task: str = ""
    """Its task: a key of `histoscope.train.tasks.TASKS`."""
    thresholds: dict[str, float]
    """What `decode` compares with, each in (0, 1); tuned on validation images, kept on the card."""
    runner: "Runner | None" = None
    """What computes the heads for prediction in place of torch; see `histoscope.models.backends`."""
    mean: Tensor
    std: Tensor

    def __init__(self, spec: InputSpec, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self.spec = spec
        self.arguments = dict(arguments)
        self.thresholds = {}
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    def __repr__(self) -> str:
        """One line; ``torch.nn.Module.__repr__(model)`` lists the layers."""
        weights = sum(each.numel() for each in self.parameters())
        scale = "" if math.isnan(self.spec.mpp) else f", {self.spec.mpp:g} um a pixel"
        classes = f", {len(self.spec.classes)} classes" if self.spec.classes else ""
        return f"{type(self).__name__}({weights:,} weights{scale}{classes})"

    def heads(self, x: Tensor) -> Heads:
        """Heads of a normalised image (B, 3, H, W); defined by a subclass."""
        raise TypeError(f"{type(self).__name__} must define heads()")

    def targets(self, sample: Sample) -> dict[str, NDArray[Any]]:
        """Training targets of a sample as plain arrays; runs in loader workers."""
        raise TypeError(f"{type(self).__name__} must define targets()")

    def loss(self, heads: Heads, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """Named loss terms and their sum, ``total``."""
        raise TypeError(f"{type(self).__name__} must define loss()")

    def quick(self) -> Self:
        """Copy for faster inference, with batch normalisation folded; weights are shared."""
        return folded_sequences(self)

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002  # as torch has it
        """Switch between training and prediction; what trains will have other weights than its backend."""
        if mode:
            self.runner = None
        return super().train(mode)

    def depths(self) -> dict[str, int]:
        """Depth of each parameter by its name, 0 nearest the image; only for models that can be unfrozen."""
        raise ConfigError(
            f"train.transfer is for networks with an encoder; model {self.name!r} has none, leave it out"
        )

    def weigh_classes(self, weights: Sequence[float]) -> None:
        """Set the class weights of the loss, the background first; only for models with classes."""
        raise ConfigError(f"model {self.name!r} has no classes to weight")

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
        return self.heads(self.normalised(image))

    def normalised(self, image: Tensor) -> Tensor:
        """Normalise (B, 3, H, W), uint8 or float in [0, 1], with mean and deviation of training."""
        if image.dtype == torch.uint8:
            image = image.float() / 255.0
        x: Tensor = (image - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last)


class Tile(NamedTuple):
    """Heads of a part of an image. Parts neither overlap nor leave gaps.

    Parameters
    ----------
    heads : dict
        Each (1, C, h, w), on the network's device.
    row, column : int
        Where in the heads of the whole image these begin.
    size : (int, int)
        Height and width of the heads of the whole image.
    """

    heads: Heads
    row: int
    column: int
    size: tuple[int, int]


def assembled(tiles: Iterable[Tile]) -> Heads:
    """Heads of the whole image, each (1, C, H / grid, W / grid) float32, on the CPU."""
    whole: Heads = {}
    for tile in tiles:
        for name, head in tile.heads.items():
            if name not in whole:
                whole[name] = torch.empty((1, head.shape[1], *tile.size), dtype=torch.float32)
            height, width = head.shape[2:]
            rows, columns = slice(tile.row, tile.row + height), slice(tile.column, tile.column + width)
            whole[name][:, :, rows, columns] = head
    return whole


class Segmenter(Model):
    """Base of segmentation models; `decode` turns heads into nuclei, perfect ones into the ground truth."""

    task = "nuclei"
    class_rule: ClassRule = ClassRule()
    """How `decode` calls classes; tuned on validation images, kept on the card."""

    def turned_back(self, heads: Heads, turn: int) -> Heads:
        """Heads of the original image from those of one transformed by `histoscope.models.turns.turn`."""
        return {name: turns.back(head, turn) for name, head in heads.items()}

    def merged(self, turned: Sequence[Heads]) -> Heads:
        """One set of heads from those of all test-time augmentations, each transformed back."""
        raise TypeError(f"{type(self).__name__} must define merged()")

    def decode(self, heads: Heads, shape: tuple[int, int], mpp: float) -> Nuclei:
        """Nuclei of one image from its heads.

        Parameters
        ----------
        heads : dict
            Of one image, each (1, C, ...), on the CPU.
        shape : (int, int)
            Height and width of the image on whose grid the nuclei are given; the heads cover the same field,
            maybe at another resolution.
        mpp : float
            Micrometres per pixel of that image.
        """
        raise TypeError(f"{type(self).__name__} must define decode()")

    def decode_tiles(self, tiles: Iterable[Tile], shape: tuple[int, int], mpp: float) -> Nuclei:
        """`decode`, given the heads tile by tile.

        A model that needs only few values keeps only those, so that the heads of large images need not fit in
        memory. The result must be that of `decode` on the heads of the whole image.
        """
        return self.decode_gathered(self.gather(tiles, shape, mpp), shape, mpp)

    def gather(self, tiles: Iterable[Tile], shape: tuple[int, int], mpp: float) -> Any:
        """First half of `decode_tiles`: what is kept of the tiles, while the network runs."""
        return assembled(tiles)

    def decode_gathered(self, gathered: Any, shape: tuple[int, int], mpp: float) -> Nuclei:
        """Second half of `decode_tiles`, which may run while the network sees the next part of a slide."""
        return self.decode(gathered, shape, mpp)


def resampled_shape(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Height and width of an image at another resolution: `scale` times as many pixels a side, at least one.

    Sizes are whole numbers, so the two axes of a resampled image have scales that differ a little from the
    requested one. Coordinates are mapped back by the sizes: by the scale, they would drift towards the far
    edge.

    Examples
    --------
    >>> resampled_shape((2001, 1507), 0.37)
    (740, 558)
    """
    return max(round(shape[0] * scale), 1), max(round(shape[1] * scale), 1)


def instances_of(sample: Sample) -> Labels:
    """Instance map of a sample, or an error that names the sample."""
    if sample.instances is None:
        raise ShapeError(f"sample {sample.name!r} has no instance map to learn from")
    return sample.instances


def class_map(sample: Sample, names: Sequence[str], *, grid: int = 1) -> NDArray[np.int16]:
    """Class of the nucleus at each pixel, or at each `grid`-th: 0 on background, `UNKNOWN` where not known.

    Of a sample without classes nothing is known, its background included: it teaches no class.

    Raises
    ------
    ShapeError
        If the sample has no instance map.
    ConfigError
        If it has a class without a name.
    """
    instances = instances_of(sample)
    class_of = np.full(int(instances.max(initial=0)) + 1, UNKNOWN, np.int16)
    if sample.classes is None or not sample.has_classes:
        return class_of[instances[::grid, ::grid]]
    known = sample.classes[: len(class_of)].astype(np.int16)
    if (top := int(known.max(initial=0))) > len(names):
        raise ConfigError(
            f"sample {sample.name!r} has a nucleus of class {top}, but the model knows {len(names)}: "
            f"{', '.join(names)}; give it the classes of the data set"
        )
    class_of = np.where(known > 0, known, UNKNOWN).astype(np.int16)
    class_of[0] = 0
    return class_of[instances[::grid, ::grid]]
