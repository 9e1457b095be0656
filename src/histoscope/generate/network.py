"""A small network that paints tissue: maps of the nuclei in, amounts of dye out.

It begins from a blurred picture (each nucleus in its mean colour and with soft chromatin, on a soft ground)
and learns what is missing: rims, clumps, edges, fibres, grain. Since it paints amounts of dye, its pictures
take any stain exactly. It has no normalisation over the image, so a large picture painted in tiles is the
same as one painted whole.

References
----------
.. [1] Isola et al., CVPR 2017, doi:10.1109/CVPR.2017.632 (patch discriminator, reconstruction)
.. [2] Wang et al., CVPR 2018, doi:10.1109/CVPR.2018.00917 (feature matching)
.. [3] Park et al., CVPR 2019, doi:10.1109/CVPR.2019.00244 (hinge loss; why layouts and normalisation clash)
.. [4] Karras et al., ICLR 2018, arXiv:1710.10196 (normalisation of each pixel)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from histoscope.errors import ConfigError, ShapeError
from histoscope.generate import _painting
from histoscope.generate.bank_dyes import CANONICAL, dyes_of
from histoscope.generate.bank_maps import BASE, N_PLAIN, chromatin_of, ground_of, maps_of, tones_of
from histoscope.models.base import Heads, InputSpec, Model, instances_of
from histoscope.models.precision import narrowed
from histoscope.types import Sample

N_NOISE = 3
"""Maps of noise: of single pixels, of 4 x 4 and of 16 x 16."""
DETAIL = 6.0
"""How much the critic's view of detail is enlarged."""
L1_LOWRES, L1, FEATURE_MATCHING = 5.0, 10.0, 10.0
"""Weights of the difference after 4 x 4 averaging, of each pixel, and of the discriminator's features."""


class Generator(Model):
    """Conditional generator of H&E tissue with its patch discriminator.

    ``forward`` takes maps and noise, (B, n_maps, H, W) float, in place of images, and gives the head ``dyes``
    (B, 3, H, W): haematoxylin, eosin and the rest, in the units of `histoscope.generate.bank_dyes`.

    Parameters
    ----------
    width : int
        Channels at full resolution; half resolution has twice, quarter resolution four times as many.
    mpp : float
        Micrometres per pixel that it paints at.
    classes : sequence of str
        Classes of nuclei.

    Examples
    --------
    >>> net = Generator(width=4)
    >>> net(torch.zeros(1, net.n_maps, 16, 16))["dyes"].shape
    torch.Size([1, 3, 16, 16])
    """

    name = "generator"

    def __init__(self, *, width: int = 16, mpp: float = 0.5, classes: Sequence[str] = ("nucleus",)) -> None:
        if width < 2 or not classes or isinstance(classes, str):
            raise ConfigError(
                f"generator: width {width} and classes {classes!r}; expected a width of at least 2 and names"
            )
        super().__init__(
            InputSpec(mpp=mpp, divisible_by=4, classes=tuple(classes), context_px=48),
            {"width": width, "mpp": mpp, "classes": list(classes)},
        )
        known = N_PLAIN + len(classes)
        self.n_maps = known + N_NOISE
        self.adversarial_weight = 1.0  # training lets it grow, for at first the discriminator knows nothing
        # `painter` (the generator) and `critic` (the discriminator) are the names in saved weights.
        self.painter = _UNet(self.n_maps, width)
        self.critic = Discriminator(known + 6, 2 * width)

    def forward(self, image: Tensor) -> Heads:
        """Dyes of maps and noise (B, n_maps, H, W); height and width multiples of four."""
        if image.ndim != 4 or image.shape[1] != self.n_maps or image.shape[2] % 4 or image.shape[3] % 4:
            raise ShapeError(
                f"maps are {tuple(image.shape)}, expected (B, {self.n_maps}, H, W), H and W multiples of 4"
            )
        return self.heads(image)

    def heads(self, x: Tensor) -> Heads:
        """As `forward`, unchecked."""
        return {"dyes": x[:, BASE] + self.painter(x)}

    def targets(self, sample: Sample) -> dict[str, NDArray[Any]]:
        """Maps and dyes of a labelled patch whose stain is the canonical one."""
        instances = instances_of(sample)
        dyes = dyes_of(sample.image, CANONICAL)
        tone, spread = tones_of(dyes, instances)
        classes = sample.classes
        if classes is None:
            classes = (np.arange(len(spread)) > 0).astype(np.uint8)
        ground = ground_of(dyes, instances > 0, sample.mpp)
        chromatin = chromatin_of(dyes, instances > 0, sample.mpp) - tone[instances, 0]
        n_classes = len(self.spec.classes)
        maps = maps_of(
            instances, classes, tone, spread, ground, chromatin, n_classes=n_classes, mpp=sample.mpp
        )
        return {"maps": maps, "dyes": np.ascontiguousarray(dyes.transpose(2, 0, 1))}

    def loss(self, heads: Heads, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms of generator and discriminator, and their sum.

        Each term reaches only its own part: the discriminator is trained on a detached image, the generator
        by a discriminator whose weights are frozen. So one backward pass serves both.
        """
        maps, real, fake = target["maps"], target["dyes"], heads["dyes"]
        truth, seen = self.critic(maps, real), self.critic(maps, fake.detach())
        discriminator = (functional.relu(1 - truth[-1]) + functional.relu(1 + seen[-1])).mean()
        self.critic.requires_grad_(requires_grad=False)
        judged = self.critic(maps, fake)
        self.critic.requires_grad_(requires_grad=True)
        alike = [functional.l1_loss(a, b.detach()) for a, b in zip(judged[:-1], truth[:-1], strict=True)]
        terms = {
            "l1_lowres": L1_LOWRES * functional.l1_loss(_coarse(fake), _coarse(real)),
            "l1": L1 * functional.l1_loss(fake, real),
            "feature_matching": self.adversarial_weight * FEATURE_MATCHING * torch.stack(alike).mean(),
            "adversarial": -self.adversarial_weight * judged[-1].mean(),
            "discriminator": discriminator,
        }
        return {**terms, "total": torch.stack(list(terms.values())).sum()}


def noise_like(maps: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Noise for maps (B, C, H, W): (B, 3, H, W), of pixels, of 4 x 4 and of 16 x 16 blocks."""
    batch, _, height, width = maps.shape
    parts = []
    for step in (1, 4, 16):
        shape = (batch, 1, -(-height // step), -(-width // step))
        drawn = torch.randn(shape, generator=generator).to(maps)
        if step > 1:
            drawn = drawn.repeat_interleave(step, 2).repeat_interleave(step, 3)[..., :height, :width]
        parts.append(drawn)
    return torch.cat(parts, dim=1)


def _coarse(dyes: Tensor) -> Tensor:
    return functional.avg_pool2d(dyes, 4)


class _Pixelwise(nn.Module):
    """Scale the channels of each pixel to mean square 1, then LeakyReLU."""

    def forward(self, x: Tensor) -> Tensor:
        if _painting.applies(x):
            return _painting.scale(x)
        size = torch.rsqrt(x.square().mean(dim=1, keepdim=True) + _painting.LEAST)
        if x.dtype != torch.float32:
            # In 16 bits too: a product with a number of 32 would be one of 32. And written out for all
            # channels: a broadcast over a few of 16 bits that lie side by side takes four times as long.
            size = torch.empty_like(x).copy_(size)
        return functional.leaky_relu(x * size, _painting.SLOPE)


def _conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, stride, padding=1), _Pixelwise())


class _UNet(nn.Module):
    """U-Net of three levels that gives the difference to the blurred image."""

    def __init__(self, channels_in: int, width: int) -> None:
        super().__init__()
        self.first = _conv(channels_in, width)
        self.to_half, self.to_quarter = _conv(width, 2 * width, 2), _conv(2 * width, 4 * width, 2)
        self.middle = nn.ModuleList(
            nn.Sequential(_conv(4 * width, 4 * width), nn.Conv2d(4 * width, 4 * width, 3, padding=1))
            for _ in range(3)
        )
        self.from_quarter = nn.Sequential(_conv(6 * width, 2 * width), _conv(2 * width, 2 * width))
        self.from_half = nn.Sequential(_conv(3 * width + N_NOISE, width), _conv(width, width))
        self.last = nn.Conv2d(width, 3, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)  # the first picture is the blurred one

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        half = self.to_half(first)
        low = self.to_quarter(half)
        for block in self.middle:
            low = low + block(low)
        half = self.from_quarter(torch.cat([_twice(low), half], dim=1))
        # The noise once more, where grain is painted.
        picture: Tensor = self.last(self.from_half(_joined(half, first, x[:, -N_NOISE:].to(first.dtype))))
        return picture


class Discriminator(nn.Module):
    """Patch discriminator with fields of 26 pixels: hinge loss, spectral normalisation below the last layer.

    Colours are given by the maps, so it is shown fine detail once more, enlarged.

    Parameters
    ----------
    channels_in : int
        Maps, dyes and their detail.
    width : int
        Channels of the first level.
    """

    def __init__(self, channels_in: int, width: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            [
                spectral_norm(nn.Conv2d(channels_in, width, 4, 2, padding=1)),
                spectral_norm(nn.Conv2d(width, 2 * width, 4, 2, padding=1)),
                spectral_norm(nn.Conv2d(2 * width, 3 * width, 3, padding=1)),
            ]
        )
        self.verdict = nn.Conv2d(3 * width, 1, 3, padding=1)

    def forward(self, maps: Tensor, dyes: Tensor) -> list[Tensor]:
        """Features of each level, and last the verdict: above 0 real, below painted."""
        parts = (maps, dyes, DETAIL * (dyes - _soft(dyes)))
        x = torch.cat([narrowed(part) for part in parts], dim=1).contiguous(memory_format=torch.channels_last)
        found = []
        for level in self.levels:
            x = functional.leaky_relu(level(x), 0.2)
            found.append(x)
        return [*found, self.verdict(x)]


def _soft(x: Tensor) -> Tensor:
    """Mean of the 5 x 5 pixels around each, of those that there are; five sums are faster than a pool."""
    for dim, pad in ((2, (0, 0, 2, 2)), (3, (2, 2))):
        n, wide = x.shape[dim], functional.pad(x, pad)
        at = torch.arange(n, device=x.device)
        there = (at + 3).clamp(max=n) - (at - 2).clamp(min=0)
        total = sum((wide.narrow(dim, k, n) for k in range(1, 5)), start=wide.narrow(dim, 0, n))
        x = total / (there[:, None] if dim == 2 else there)
    return x


def _joined(low: Tensor, high: Tensor, more: Tensor) -> Tensor:
    """Channels of `low` at twice its size, and of the others."""
    if _painting.applies(low) and _painting.applies(high):
        return _painting.join(low, high, more)
    # Laid out alike: joining them takes six times as long if they are not.
    more = more.contiguous(memory_format=torch.channels_last)
    return torch.cat([_twice(low), high, more], dim=1)


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
