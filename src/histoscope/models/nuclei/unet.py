"""U-Net: contracting and expanding paths joined by skip connections.

References
----------
.. [1] Ronneberger, Fischer and Brox, MICCAI 2015, doi:10.1007/978-3-319-24574-4_28
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from histoscope.errors import ConfigError
from histoscope.models.base import InputSpec
from histoscope.models.nuclei.region_segmenter import RegionSegmenter


class UNet(RegionSegmenter):
    """U-Net with batch normalisation and padded convolutions, so that output and input have one size.

    Parameters
    ----------
    width : int
        Channels of the first level; each level below doubles them. The paper has 64.
    depth : int
        Number of levels. The paper has 5.
    mpp : float
        Micrometres per pixel of its input.
    dropout : float
        Share of channels dropped at the lowest level while training.
    weights : str or Path, optional
        Begin from the encoder in a file or a model folder, such as a classifier with ``backbone: unet``.
    freeze_norm : bool
        Batch normalisation of the encoder keeps its statistics while training.

    Examples
    --------
    >>> import torch
    >>> heads = UNet(width=4, depth=2)(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    >>> heads["regions"].shape
    torch.Size([1, 3, 32, 32])
    """

    name = "unet"

    def __init__(
        self,
        *,
        width: int = 32,
        depth: int = 5,
        mpp: float = 0.25,
        dropout: float = 0.0,
        weights: str | Path | None = None,
        freeze_norm: bool = False,
    ) -> None:
        body = UNetBody(3, width, depth, dropout=dropout)
        super().__init__(
            InputSpec(mpp=mpp, divisible_by=2 ** (depth - 1), context_px=body.context_px),
            {"width": width, "depth": depth, "mpp": mpp, "dropout": dropout, "freeze_norm": freeze_norm},
        )
        self.body = body
        self.head = nn.Conv2d(width, 3, 1)
        self.begin("body.down", "unet", weights=weights, freeze_norm=freeze_norm)

    def features(self, x: Tensor) -> Tensor:
        """Logits (B, 3, H, W) of a normalised image (B, 3, H, W)."""
        logits: Tensor = self.head(self.body(x))
        return logits


class UNetBody(nn.Module):
    """The two paths of a U-Net, without a head.

    Parameters
    ----------
    channels_in : int
    width : int
        Channels of the first level and of what comes out.
    depth : int
        Number of levels.
    dropout : float
        Share of channels dropped at the lowest level while training.
    """

    def __init__(self, channels_in: int, width: int, depth: int, *, dropout: float = 0.0) -> None:
        check_size(width, depth)
        super().__init__()
        widths = [width * 2**level for level in range(depth)]
        self.down = nn.ModuleList(
            double_conv(a, b) for a, b in zip([channels_in, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[:-1])
        self.merge = nn.ModuleList(double_conv(2 * w, w) for w in widths[:-1])
        self.dropout = nn.Dropout2d(dropout)
        # Two 3x3 convolutions a level on either side and two at the bottom, each a pixel of its level wide;
        # pooling adds the width of the bottom's pixels.
        self.context_px = 4 * (2 ** (depth - 1) - 1) + 3 * 2 ** (depth - 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) of (B, channels_in, H, W)."""
        skips = []
        for level, block in enumerate(self.down):
            # Half the height and width of the level above, twice its channels.
            x = block(x if level == 0 else functional.max_pool2d(x, 2))
            skips.append(x)
        x = self.dropout(skips.pop())
        for up, merge, skip in zip(reversed(self.up), reversed(self.merge), reversed(skips), strict=True):
            x = merge(torch.cat([skip, up(x)], dim=1))
        return x


def check_size(width: int, depth: int) -> None:
    """Refuse a width or depth that no network can have."""
    if width < 1 or not 1 <= depth <= 8:
        raise ConfigError(
            f"width {width} and depth {depth}: expected a width of at least 1 and a depth of 1 to 8"
        )


def double_conv(channels_in: int, channels_out: int) -> nn.Sequential:
    """Two 3x3 convolutions, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        layers += [
            nn.Conv2d(channels, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
