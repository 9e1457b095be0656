"""Any decoder of segmentation-models-pytorch on any encoder of timm."""

from pathlib import Path
from typing import Any

from histoscope.errors import ConfigError, UnknownNameError
from histoscope.models.base import InputSpec
from histoscope.models.nuclei.region_segmenter import RegionSegmenter
from histoscope.models.patches.published import check_reachable

MOST_DIVISIBLE = 32
_CACHE = (
    "download them once on a machine with internet access and copy its cache folder here (HF_HUB_CACHE is "
    "its path), or "
    "set pretrained: false"
)


class Smp(RegionSegmenter):
    """A decoder of segmentation-models-pytorch over a timm encoder.

    Parameters
    ----------
    decoder : str
        Architecture name of segmentation-models-pytorch: ``unet``, ``fpn``, ``deeplabv3plus``...
    encoder : str
        timm name of the encoder: ``resnet18``, ``convnext_tiny``...
    pretrained : bool
        Begin from the encoder's published weights, fetched by timm from the Hugging Face Hub.
    weights : str or Path, optional
        Begin from the encoder in a file or a model folder instead, as of `StarDist`.
    freeze_norm : bool
        Batch normalisation of the encoder keeps its statistics while training.
    mpp : float
        Micrometres per pixel of its input.
    options : dict, optional
        Further arguments of the decoder.

    Raises
    ------
    UnknownNameError
        If the decoder or the encoder does not exist.
    ConfigError
        If they do not fit each other, or the weights cannot be fetched.

    Examples
    --------
    >>> model = Smp(decoder="unet", encoder="resnet18")
    >>> model.spec.divisible_by
    32
    """

    name = "smp"

    def __init__(
        self,
        *,
        decoder: str = "unet",
        encoder: str = "resnet18",
        pretrained: bool = False,
        weights: str | Path | None = None,
        freeze_norm: bool = False,
        mpp: float = 0.25,
        options: dict[str, Any] | None = None,
    ) -> None:
        network = build(decoder, encoder, options or {}, pretrained=pretrained and weights is None)
        super().__init__(
            InputSpec(mpp=mpp, divisible_by=MOST_DIVISIBLE),
            # Saved weights replace the pretrained ones, so loading a model needs no hub.
            {
                "decoder": decoder,
                "encoder": encoder,
                "pretrained": False,
                "freeze_norm": freeze_norm,
                "mpp": mpp,
                "options": options or {},
            },
        )
        self.network = network
        self.begin(
            "network.encoder.model", encoder, pretrained=pretrained, weights=weights, freeze_norm=freeze_norm
        )


def build(decoder: str, encoder: str, options: dict[str, Any], *, pretrained: bool, channels: int = 3) -> Any:
    """Network of segmentation-models-pytorch: (B, 3, H, W) to (B, channels, H, W).

    Raises
    ------
    UnknownNameError
        If the decoder or the encoder does not exist.
    ConfigError
        If they do not fit each other, or the weights cannot be fetched.
    """
    import segmentation_models_pytorch as smp
    import timm

    kinds = [kind for kind in vars(smp).values() if isinstance(kind, type)]
    decoders = [kind.__name__.lower() for kind in kinds if issubclass(kind, smp.base.SegmentationModel)]
    if decoder.lower() not in decoders:
        raise UnknownNameError("decoder", decoder, decoders)
    if not timm.is_model(encoder.split(".", maxsplit=1)[0]):
        raise UnknownNameError(
            "timm encoder", encoder, timm.list_models("*" + encoder[:6] + "*") or ["resnet18"]
        )
    if pretrained:
        check_reachable(encoder, advice=_CACHE)
    try:
        return smp.create_model(
            decoder,
            encoder_name=f"tu-{encoder}",
            encoder_weights="imagenet" if pretrained else None,
            in_channels=3,
            classes=channels,
            **options,
        )
    except (ValueError, TypeError, RuntimeError, OSError, KeyError) as error:
        hint = "; without internet access, set pretrained: false" if pretrained else ""
        raise ConfigError(
            f"decoder {decoder!r} on encoder {encoder!r} cannot be made: {error}{hint}"
        ) from error
