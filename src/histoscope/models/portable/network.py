"""A trained network in operations that every runtime knows, with its normalisation inside."""

import torch
from torch import Tensor, nn

from histoscope.errors import ConfigError
from histoscope.models.base import Model, Segmenter
from histoscope.models.nuclei.stardist import InPixels, StarDist
from histoscope.models.patches.classifier import Classifier

OUTPUTS = {
    "probability": "logit that a nucleus is here",
    "distances": "pixels of the input to the outline of the nucleus, along rays: the first to the right, "
    "then towards the bottom, at equal angles",
    "inside": "logit of lying in a nucleus, of the grid x grid pixels of each point, row by row",
    "regions": "logits of background, inside and boundary of nuclei",
    "classes": "logits of the classes of nuclei",
    "probabilities": "of each class, calibrated; they sum to 1",
    "output": "probability of a nucleus; distances in pixels along the rays; then, for a model with classes, "
    "a channel of 0 for the background and the probability of each class",
}
"""Outputs by name."""
_NEVER = -100.0
"""Logit of a class that never wins."""


class Portable(nn.Module):
    """A network from images as files have them to its heads, in operations that every runtime knows.

    It takes (B, 3, H, W) float32, RGB of 0 to 255, and gives a tuple: the heads of a segmentation model as
    they are, or the probabilities of a classifier.

    Parameters
    ----------
    model : Model
        Not changed; most weights are shared.

    Raises
    ------
    ConfigError
        If it neither finds nuclei nor classifies patches.
    """

    outputs: tuple[str, ...]
    """Names of what comes out."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        if not isinstance(model, Segmenter | Classifier):
            raise ConfigError(
                f"a {model.name or type(model).__name__} cannot be exported; expected a model that finds "
                "nuclei or classifies patches"
            )
        self.spec = model.spec
        self.normalised = _normalisation(model)
        self.network: Model = _plain(model)
        side = model.spec.patch_px or model.spec.divisible_by
        with torch.inference_mode():
            self.outputs = tuple(self.named(torch.zeros(1, 3, side, side)))

    def named(self, image: Tensor) -> dict[str, Tensor]:
        """Outputs by name."""
        heads = self.network.heads(self.normalised(image))
        if isinstance(self.network, Classifier):
            return {"probabilities": self.network.probabilities(heads)}
        return heads

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Outputs, in the order of `outputs`."""
        return tuple(self.named(image).values())


class ForQuPath(Portable):
    """StarDist as QuPath's extension takes it: one output of probability, distances and classes.

    The background is not one of the classes: the object probability has already decided that there is a
    nucleus.
    Offsets of the class rule are in the logits; QuPath calls no nucleus unsure.

    Parameters
    ----------
    model : StarDist
    """

    def __init__(self, model: StarDist) -> None:
        super().__init__(model)
        if isinstance(head := getattr(self.network, "classes", None), nn.Conv2d):
            last = torch.ones(head.out_channels)
            last[0] = 0.0
            rule, moved = model.class_rule, (1.0 - last) * _NEVER
            if rule.offsets:
                moved[1:] += torch.tensor(rule.offsets) * rule.temperature
            self.network.classes = _scaled(head, last, moved)

    def named(self, image: Tensor) -> dict[str, Tensor]:
        """The one output."""
        heads = super().named(image)
        parts = [torch.sigmoid(heads["probability"]), heads["distances"]]
        if "classes" in heads:
            parts.append(torch.softmax(heads["classes"], dim=1))
        return {"output": torch.cat(parts, dim=1)}


def _normalisation(model: Model) -> nn.Conv2d:
    """Normalisation as a convolution: OpenCV 4 subtracts nothing from an image of unknown size."""
    colour = nn.Conv2d(3, 3, 1)
    mean, std = model.mean.detach().cpu().flatten(), model.std.detach().cpu().flatten()
    colour.weight = _fixed(torch.diag(1.0 / (255.0 * std)).view(3, 3, 1, 1))
    colour.bias = _fixed(-mean / std)
    return colour


def _plain(model: Segmenter | Classifier) -> Model:
    """Copy for prediction, of convolutions and other common operations alone."""
    quick: Model = model.quick()
    for block in list(quick.modules()):
        for name, layer in block.named_children():
            if isinstance(layer, nn.PixelUnshuffle):
                setattr(block, name, _unshuffling(layer.downscale_factor))
    if isinstance(quick, StarDist) and isinstance(quick.in_pixels, InPixels):
        radius = torch.full((quick.n_rays,), quick.in_pixels.radius_px)
        quick.distances, quick.in_pixels = _scaled(quick.distances, radius, radius), nn.Identity()
    return quick


def _unshuffling(grid: int) -> nn.Conv2d:
    """`nn.PixelUnshuffle` of an RGB image as a convolution: each pixel goes to a channel of its own."""
    conv = nn.Conv2d(3, 3 * grid**2, grid, stride=grid, groups=3, bias=False)
    conv.weight = _fixed(torch.eye(grid**2).view(grid**2, 1, grid, grid).repeat(3, 1, 1, 1))
    return conv


def _scaled(conv: nn.Conv2d, scale: Tensor, offset: Tensor) -> nn.Conv2d:
    """Another convolution, whose channels are multiplied, and moved by an offset."""
    made = nn.Conv2d(conv.in_channels, conv.out_channels, 1)
    made.weight = _fixed(conv.weight.detach() * scale[:, None, None, None])
    bias = torch.zeros_like(scale) if conv.bias is None else conv.bias.detach()
    made.bias = _fixed(bias * scale + offset)
    return made


def _fixed(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.clone(), requires_grad=False)
