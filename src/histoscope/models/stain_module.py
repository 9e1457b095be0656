"""A fitted stain normaliser as a torch module, so that it travels inside an exported model."""

import torch
from torch import Tensor, nn

from histoscope.errors import ShapeError, StainError
from histoscope.stain import StainEstimate, StainNormalizer
from histoscope.stain._kernels import COLD


class StainModule(nn.Module):
    """Normalisation of stains for one slide: a 3x3 matrix on optical density, as far as a pixel is tissue.

    Parameters
    ----------
    matrix : (3, 3) float tensor
        From the slide's density (R, G, B) to the target's; see `StainNormalizer.matrix`.
    white, new_white : (3,) float tensor
        Levels (0..255) of bare glass from which the slide's and the target's densities count.
    """

    matrix: Tensor
    white: Tensor
    new_white: Tensor

    def __init__(self, matrix: Tensor, white: Tensor | None = None, new_white: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix.float().reshape(3, 3, 1, 1))
        for name, level in (("white", white), ("new_white", new_white)):
            levels = torch.full((3,), 255.0) if level is None else level.float()
            self.register_buffer(name, levels.reshape(3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Give images the target's stains.

        Parameters
        ----------
        image : (B, 3, H, W) uint8, or float in [0, 1]
            RGB.

        Returns
        -------
        (B, 3, H, W) float in [0, 1]
            Not rounded to 8 bits; otherwise what the normaliser gives.

        Raises
        ------
        ShapeError
            If there are not three channels.
        """
        if image.ndim != 4 or image.shape[1] != 3:
            raise ShapeError(f"image batch is {tuple(image.shape)}, expected (B, 3, H, W) RGB")
        if image.dtype == torch.uint8:
            image = image.float() / 255.0
        # Level 0 counts as 0.4 of a level, as in histoscope.stain.density.
        density = torch.log(self.white / 255.0) - torch.log(image.clamp(0.4 / 255.0, 1.0))
        light = torch.exp(-nn.functional.conv2d(density, self.matrix.to(density.dtype)))
        mapped = (self.new_white / 255.0 * light).clamp(0.0, 1.0)
        return torch.lerp(image, mapped, tissueness(density.clamp(min=0.0)))


def tissueness(density: Tensor) -> Tensor:
    """How far pixels are stained tissue, from their density below the white point.

    The twin of the kernel of that name in `histoscope.stain`, where the rules are explained; it does not look
    for strokes of a pen.

    Parameters
    ----------
    density : (B, 3, H, W) float
        Not negative.

    Returns
    -------
    (B, 1, H, W) float in [0, 1]
    """
    red, green, blue = density[:, 0:1], density[:, 1:2], density[:, 2:3]
    mean, least, most = (f(density, dim=1, keepdim=True) for f in (torch.mean, torch.amin, torch.amax))
    span, held = most - least, green.clamp(max=3.5)
    usual = (
        torch.minimum(1.2 * held, torch.maximum(0.9 * held, 0.75 * held + 0.8 * blue)) + float(COLD) * held
    )
    ramps = (
        10.0 * (mean - 0.05),
        2.0 * span / (0.03 + 0.08 * mean + 0.05 * mean**2) - 1.0,
        1.0 - 10.0 * (red.clamp(max=3.5) - usual - 0.05),
        4.0 * (span - 1.3 * least + 1.42) + 0.5,
        6.0 * ((0.75 + 1.3 * red).clamp(max=1.6) - torch.minimum(green, blue) + red) + 0.5,
    )
    weight = torch.ones_like(mean)
    for ramp in ramps:
        weight = weight * ramp.clamp(0.0, 1.0)
    return weight


def stain_module(normalizer: StainNormalizer, source: StainEstimate) -> StainModule:
    """Write a fitted normaliser, for one slide, as a torch module.

    Parameters
    ----------
    normalizer : Macenko, Vahadane or Ruifrok
        The fitted normaliser.
    source : StainEstimate
        Stains of the slide, from ``normalizer.estimate``. They are fixed in the module.

    Returns
    -------
    StainModule
        To put before a network: ``torch.nn.Sequential(stain_module(...), model)``.

    Raises
    ------
    StainError
        For a method that is no matrix on density, such as Reinhard's.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscope import stain
    >>> image = stain.combine(np.random.default_rng(0).gamma(1.0, 0.4, (64, 64, 2)), stain.RUIFROK[:2])
    >>> normalize = stain.Macenko.default()
    >>> layer = stain_module(normalize, normalize.estimate(image))
    >>> layer(torch.from_numpy(image).permute(2, 0, 1)[None]).shape
    torch.Size([1, 3, 64, 64])
    """
    if not isinstance(normalizer, StainNormalizer):
        raise StainError(
            f"{type(normalizer).__name__} works without stain vectors, so it is no matrix on density; "
            "fit macenko, vahadane or ruifrok instead"
        )
    whites = (torch.from_numpy(white.copy()) for white in (source.white, normalizer.target.white))
    return StainModule(torch.from_numpy(normalizer.matrix(source)), *whites)
