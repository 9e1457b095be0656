"""DeepLabV3+: an encoder, parallel dilated convolutions at several rates, and a light decoder.

References
----------
.. [1] Chen et al., ECCV 2018, doi:10.1007/978-3-030-01234-2_49
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from histoscope.errors import ConfigError
from histoscope.models.base import InputSpec
from histoscope.models.nuclei import smp
from histoscope.models.nuclei.region_segmenter import RegionSegmenter


class DeepLab(RegionSegmenter):
    """DeepLabV3+ of segmentation-models-pytorch over a timm encoder, from scratch by default.

    Parameters
    ----------
    encoder : str
        timm name of the encoder: ``resnet18``, ``mobilenetv3_small_050``...
    width : int
        Channels of the decoder; the paper has 256.
    rates : three ints
        Dilation rates of the parallel convolutions, in pixels of the deepest level. The paper's 12, 24 and 36
        are for images of 513 pixels; on patches of 128 they would reach into the padding.
    pretrained : bool
        Begin from the encoder's published weights, fetched by timm from the Hugging Face Hub.
    weights : str or Path, optional
        Begin from the encoder in a file or a model folder instead, as of `StarDist`.
    freeze_norm : bool
        Batch normalisation of the encoder keeps its statistics while training.
    mpp : float
        Micrometres per pixel of its input.

    Raises
    ------
    UnknownNameError
        If the encoder does not exist.
    ConfigError
        If a size is not possible, or the weights cannot be fetched.

    Examples
    --------
    >>> DeepLab(encoder="resnet10t", width=16).spec.divisible_by
    16
    """

    name = "deeplab"

    def __init__(
        self,
        *,
        encoder: str = "resnet18",
        width: int = 64,
        rates: tuple[int, int, int] = (2, 4, 6),
        pretrained: bool = False,
        weights: str | Path | None = None,
        freeze_norm: bool = False,
        mpp: float = 0.25,
    ) -> None:
        if width < 1 or len(rates) != 3 or min(rates) < 1:  # three branches, as published
            raise ConfigError(
                f"width is {width} and rates {rates}; expected a number of channels and three dilation rates"
            )
        options: dict[str, Any] = {"decoder_channels": width, "decoder_atrous_rates": tuple(rates)}
        network = smp.build("deeplabv3plus", encoder, options, pretrained=pretrained and weights is None)
        super().__init__(
            InputSpec(mpp=mpp, divisible_by=int(network.encoder.output_stride)),
            # Saved weights replace the pretrained ones, so loading a model needs no hub.
            {
                "encoder": encoder,
                "width": width,
                "rates": list(rates),
                "pretrained": False,
                "freeze_norm": freeze_norm,
                "mpp": mpp,
            },
        )
        self.network = network
        self.begin(
            "network.encoder.model", encoder, pretrained=pretrained, weights=weights, freeze_norm=freeze_norm
        )

    def features(self, x: Tensor) -> Tensor:
        """Logits (B, 3, H, W) of a normalised image (B, 3, H, W)."""
        if self.training and len(x) == 1:  # its global pooling gives one value, without a variance
            raise ConfigError("deeplab needs training batches of 2 or more; set train.batch_size")
        return super().features(x)
