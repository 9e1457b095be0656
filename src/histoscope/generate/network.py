"""Conditional generator of tissue and its discriminator: maps of the nuclei in, amounts of dye out.

The generator starts from a blurred image (each nucleus in its mean colour with soft chromatin, on a soft
background) and learns the residual: rims, clumps, edges, fibres, grain. Its output is amounts of dye, so any
stain can be applied exactly. It normalises each pixel, never the image, so an image made in blocks is
the same as one made whole.

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
from histoscope.generate.bank_dyes import CANONICAL, dyes_of
from histoscope.generate.bank_maps import BASE, N_PLAIN, chromatin_of, ground_of, maps_of, tones_of
from histoscope.models.base import Heads, InputSpec, Model, instances_of
from histoscope.models.precision import narrowed
from histoscope.types import Sample

N_NOISE = 3
"""Maps of noise: of single pixels, of 4 x 4 and of 16 x 16."""
DETAIL = 6.0
"""Gain of the fine detail that the discriminator is given besides the dyes."""
L1_LOWRES, L1, FEATURE_MATCHING = 5.0, 10.0, 10.0
"""Loss weights: L1 after 4 x 4 average pooling, L1 of pixels, L1 of the discriminator's features."""


class Generator(Model):
    """Conditional generator of H&E tissue with its patch discriminator.

    ``forward`` takes maps and noise, (B, n_maps, H, W) float, in place of images, and gives the head ``dyes``
    (B, 3, H, W): haematoxylin, eosin and the rest, in the units of `histoscope.generate.bank_dyes`.

    Parameters
    ----------
    width : int
        Channels at full resolution; half resolution has twice, quarter resolution four times as many.
    mpp : float
        Micrometres per pixel of its images.
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
        self.adversarial_weight = 1.0  # training raises it from 0: an untrained discriminator is no guide
        self.generator = _UNet(self.n_maps, width)
        self.discriminator = Discriminator(known + 6, 2 * width)
        self.register_load_state_dict_pre_hook(_rename_keys)  # type: ignore[no-untyped-call]

    def forward(self, image: Tensor) -> Heads:
        """Dyes of maps and noise (B, n_maps, H, W); height and width multiples of four."""
        if image.ndim != 4 or image.shape[1] != self.n_maps or image.shape[2] % 4 or image.shape[3] % 4:
            raise ShapeError(
                f"maps are {tuple(image.shape)}, expected (B, {self.n_maps}, H, W), H and W multiples of 4"
            )
        return self.heads(image)

    def heads(self, x: Tensor) -> Heads:
        """As `forward`, unchecked."""
        return {"dyes": x[:, BASE] + self.generator(x)}

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
        of_real, of_fake = self.discriminator(maps, real), self.discriminator(maps, fake.detach())
        discriminator = (functional.relu(1 - of_real[-1]) + functional.relu(1 + of_fake[-1])).mean()
        self.discriminator.requires_grad_(requires_grad=False)
        scored = self.discriminator(maps, fake)
        self.discriminator.requires_grad_(requires_grad=True)
        matching = [functional.l1_loss(a, b.detach()) for a, b in zip(scored[:-1], of_real[:-1], strict=True)]
        terms = {
            "l1_lowres": L1_LOWRES * functional.l1_loss(_pooled(fake), _pooled(real)),
            "l1": L1 * functional.l1_loss(fake, real),
            "feature_matching": self.adversarial_weight * FEATURE_MATCHING * torch.stack(matching).mean(),
            "adversarial": -self.adversarial_weight * scored[-1].mean(),
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


def _pooled(dyes: Tensor) -> Tensor:
    return functional.avg_pool2d(dyes, 4)


def _rename_keys(model: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Read weights of 0.1, whose generator was called ``painter`` and whose discriminator ``critic``."""
    del model
    names = {"painter.": "generator.", "critic.verdict.": "discriminator.last.", "critic.": "discriminator."}
    for old, new in names.items():
        for key in [key for key in state if key.startswith(prefix + old)]:
            state[prefix + new + key.removeprefix(prefix + old)] = state.pop(key)


class _Pixelwise(nn.Module):
    """Pixel normalisation (channels of each pixel to mean square 1), then LeakyReLU."""

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-4)
        if x.dtype != torch.float32:
            # 16 bits, as a product with float32 would be float32; and expanded in memory, as broadcasting
            # over a few channels-last values of 16 bits takes four times as long.
            scale = torch.empty_like(x).copy_(scale)
        return functional.leaky_relu(x * scale, 0.2)


def _conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, stride, padding=1), _Pixelwise())


class _UNet(nn.Module):
    """U-Net of three levels; its output is the residual to the blurred image."""

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
            nn.init.zeros_(parameter)  # so that training starts from the blurred image

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        half = self.to_half(first)
        low = self.to_quarter(half)
        for block in self.middle:
            low = low + block(low)
        half = self.from_quarter(torch.cat([_upsampled(low), half], dim=1))
        # Noise once more at full resolution, for grain. All parts channels last: else joining them takes six
        # times as long.
        noise = x[:, -N_NOISE:].to(first.dtype).contiguous(memory_format=torch.channels_last)
        residual: Tensor = self.last(self.from_half(torch.cat([_upsampled(half), first, noise], dim=1)))
        return residual


class Discriminator(nn.Module):
    """Patch discriminator with a receptive field of 26 pixels and spectral normalisation, for hinge loss.

    Colours are given by the maps, so it gets fine detail as further channels, amplified.

    Parameters
    ----------
    channels_in : int
        Of maps, dyes and their detail.
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
        self.last = nn.Conv2d(3 * width, 1, 3, padding=1)

    def forward(self, maps: Tensor, dyes: Tensor) -> list[Tensor]:
        """Features of each level, and last the logits: above 0 real, below 0 generated."""
        parts = (maps, dyes, DETAIL * (dyes - _local_mean(dyes)))
        x = torch.cat([narrowed(part) for part in parts], dim=1).contiguous(memory_format=torch.channels_last)
        found = []
        for level in self.levels:
            x = functional.leaky_relu(level(x), 0.2)
            found.append(x)
        return [*found, self.last(x)]


def _local_mean(x: Tensor) -> Tensor:
    """Mean of 5 x 5 pixels, at borders of those inside; five shifted sums are faster than average pooling."""
    for dim, pad in ((2, (0, 0, 2, 2)), (3, (2, 2))):
        n, wide = x.shape[dim], functional.pad(x, pad)
        at = torch.arange(n, device=x.device)
        there = (at + 3).clamp(max=n) - (at - 2).clamp(min=0)
        total = sum((wide.narrow(dim, k, n) for k in range(1, 5)), start=wide.narrow(dim, 0, n))
        x = total / (there[:, None] if dim == 2 else there)
    return x


def _upsampled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
