"""A fitted stain normaliser as a torch module, so that it travels inside an exported model."""

import torch
from torch import Tensor, nn

from histoscope.errors import ShapeError, StainError
from histoscope.stain import StainEstimate, StainNormalizer


class StainModule(nn.Module):
    """Normalisation of stains for one slide: a 3x3 matrix on optical density.

    Parameters
    ----------
    matrix : (3, 3) float tensor
        From the slide's density (R, G, B) to the target's; see `StainNormalizer.matrix`.
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix.float().reshape(3, 3, 1, 1))

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
        density = -torch.log(image.clamp(0.4 / 255.0, 1.0))
        return torch.exp(-nn.functional.conv2d(density, self.matrix.to(density.dtype))).clamp(0.0, 1.0)


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
    return StainModule(torch.from_numpy(normalizer.matrix(source)))
