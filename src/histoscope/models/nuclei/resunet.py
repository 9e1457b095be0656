"""ResUNet: a U-Net of pre-activated residual units.

References
----------
.. [1] Zhang, Liu and Wang, IEEE GRSL 15(5), 2018, doi:10.1109/LGRS.2018.2802944
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from histoscope.models.base import InputSpec
from histoscope.models.nuclei.region_segmenter import RegionSegmenter
from histoscope.models.nuclei.unet import check_size


class ResUNet(RegionSegmenter):
    """Deep residual U-Net: strided residual units down, bilinear upsampling and residual units up.

    Parameters
    ----------
    width : int
        Channels of the first level; each level below doubles them. The paper has 64.
    depth : int
        Number of levels. The paper has 4.
    mpp : float
        Micrometres per pixel of its input.

    Examples
    --------
    >>> import torch
    >>> heads = ResUNet(width=4, depth=2)(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    >>> heads["regions"].shape
    torch.Size([1, 3, 32, 32])
    """

    name = "resunet"

    def __init__(self, *, width: int = 32, depth: int = 4, mpp: float = 0.25) -> None:
        check_size(width, depth)
        super().__init__(
            InputSpec(mpp=mpp, divisible_by=2 ** (depth - 1)), {"width": width, "depth": depth, "mpp": mpp}
        )
        widths = [width * 2**level for level in range(depth)]
        self.stem = ResidualUnit(3, width, first=True)
        self.down = nn.ModuleList(ResidualUnit(w, 2 * w, stride=2) for w in widths[:-1])
        self.merge = nn.ModuleList(ResidualUnit(3 * w, w) for w in widths[:-1])
        self.head = nn.Conv2d(width, 3, 1)

    def features(self, x: Tensor) -> Tensor:
        """Logits (B, 3, H, W) of a normalised image (B, 3, H, W)."""
        x = self.stem(x)
        skips = []
        for unit in self.down:
            skips.append(x)
            x = unit(x)  # half the height and width, twice the channels
        for unit, skip in zip(reversed(self.merge), reversed(skips), strict=True):
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = unit(torch.cat([skip, x], dim=1))
        logits: Tensor = self.head(x)
        return logits


class ResidualUnit(nn.Module):
    """Two pre-activated 3x3 convolutions beside a 1x1 shortcut.

    Parameters
    ----------
    channels_in, channels_out : int
    stride : int
        Of the first convolution and of the shortcut.
    first : bool
        Leave out the first activation: it would act on the image itself.
    """

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1, first: bool = False) -> None:
        super().__init__()
        before = nn.Identity() if first else nn.Sequential(nn.BatchNorm2d(channels_in), nn.ReLU(inplace=True))
        self.body = nn.Sequential(
            before,
            nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
        )
        self.stride = stride
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Sum of body and shortcut."""
        # Striding by slicing is the same as a strided 1x1 convolution, whose gradient crashes torch 2.15 on
        # CPUs (channels last, four channels).
        summed: Tensor = self.body(x) + self.shortcut(x[:, :, :: self.stride, :: self.stride])
        return summed
