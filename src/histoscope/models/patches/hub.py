"""Backbones by name: our own, timm's, and the published pathology foundation models."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from histoscope.errors import ConfigError, HistoscopeError, UnknownNameError
from histoscope.models.base import IMAGENET_MEAN, IMAGENET_STD
from histoscope.models.nuclei.unet import check_size, double_conv
from histoscope.models.patches.published import check_reachable

Three = tuple[float, float, float]
_NONE: Mapping[str, Any] = MappingProxyType({})
_BIOPTIMUS_MEAN, _BIOPTIMUS_STD = (0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517)
_SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}
_HUB = ("hf-hub:", "hf_hub:", "local-dir:")
_LOCAL = (
    "download the file on a machine with internet access, copy it here, and set weights= to its path "
    "(.safetensors) with "
    "pretrained: false"
)
_FOLDER = (
    "download config.json and model.safetensors on a machine with internet access, copy them into a folder "
    "here, and name it as local-dir:FOLDER"
)


@dataclass(frozen=True, slots=True)
class Preset:
    """Input of a backbone, as its weights were trained.

    Parameters
    ----------
    patch_px : int
        Side of its images.
    mean, std : three floats
        Of RGB in [0, 1].
    interpolation : str
        How images are brought to that size: ``bilinear``, ``bicubic``...
    pooling : str
        How features become one vector: "" as the backbone does it, ``cls_mean`` the class token beside the
        mean of the patch tokens.
    fixed : bool
        It takes images of exactly that size.
    """

    patch_px: int = 224
    mean: Three = IMAGENET_MEAN
    std: Three = IMAGENET_STD
    interpolation: str = "bilinear"
    pooling: str = ""
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Foundation:
    """A published pathology foundation model.

    Parameters
    ----------
    repo : str
        On the Hugging Face Hub.
    architecture : str
        Of timm.
    arguments : mapping
        Further arguments of timm; layers by name.
    features : int
        Length of an embedding.
    mpp : float
        Micrometres per pixel of the tiles that it was trained on.
    licence : str
        Of the weights.
    gated : bool
        Whether terms must be accepted before the download.
    preset : Preset
    """

    repo: str
    architecture: str
    arguments: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    features: int = 1024
    mpp: float = 0.5
    licence: str = "CC BY-NC-ND 4.0"
    gated: bool = True
    preset: Preset = Preset(interpolation="bicubic", fixed=True)


_VIRCHOW = {"img_size": 224, "init_values": 1e-5, "mlp_ratio": 5.3375, "global_pool": "", **_SWIGLU}
_UNI2 = {
    "img_size": 224,
    "patch_size": 14,
    "depth": 24,
    "num_heads": 24,
    "embed_dim": 1536,
    "init_values": 1e-5,
    "mlp_ratio": 2.66667 * 2,
    "no_embed_class": True,
    "reg_tokens": 8,
    **_SWIGLU,
}
_GIGAPATH = {
    "img_size": 224,
    "patch_size": 16,
    "depth": 40,
    "num_heads": 24,
    "embed_dim": 1536,
    "init_values": 1e-5,
    "mlp_ratio": 5.33334,
}
_TOKENS = Preset(interpolation="bicubic", pooling="cls_mean", fixed=True)
_BIOPTIMUS = replace(_TOKENS, mean=_BIOPTIMUS_MEAN, std=_BIOPTIMUS_STD, pooling="")
_DINOV2 = "vit_giant_patch14_reg4_dinov2"
_PLAIN = {"img_size": 224, "init_values": 1e-5}
# MobileNets of 0.1, whose model folders still open: version, and channels relative to the paper's.
_OF_0_1 = {
    "mobilenet_v2_tf": (2, 1.0),
    "mobilenet_v1_075_tf": (1, 0.75),
    "mobilenet_v1_050_tf": (1, 0.5),
    "mobilenet_v1_025_tf": (1, 0.25),
}

# Short name -> model. Licences are those of the weights; "research" stands for terms of the publisher's own.
FOUNDATIONS: dict[str, Foundation] = {
    "uni": Foundation("MahmoodLab/UNI", "vit_large_patch16_224", _PLAIN),
    "uni2": Foundation("MahmoodLab/UNI2-h", "vit_giant_patch14_224", _UNI2, features=1536),
    "virchow": Foundation(
        "paige-ai/Virchow",
        "vit_huge_patch14_224",
        _VIRCHOW,
        features=2560,
        licence="Apache-2.0",
        preset=_TOKENS,
    ),
    "virchow2": Foundation(
        "paige-ai/Virchow2",
        "vit_huge_patch14_224",
        {**_VIRCHOW, "reg_tokens": 4},
        features=2560,
        preset=_TOKENS,
    ),
    "h_optimus_0": Foundation(
        "bioptimus/H-optimus-0", _DINOV2, _PLAIN, features=1536, licence="Apache-2.0", preset=_BIOPTIMUS
    ),
    "h_optimus_1": Foundation("bioptimus/H-optimus-1", _DINOV2, _PLAIN, features=1536, preset=_BIOPTIMUS),
    "h0_mini": Foundation(
        "bioptimus/H0-mini",
        "vit_base_patch14_reg4_dinov2",
        {"img_size": 224, "global_pool": "", "mlp_ratio": 5.33334, "init_values": 1e-5, **_SWIGLU},
        features=1536,
        preset=replace(_BIOPTIMUS, pooling="cls_mean"),
    ),
    "gigapath": Foundation(
        "prov-gigapath/prov-gigapath",
        "vit_giant_patch14_dinov2",
        _GIGAPATH,
        features=1536,
        licence="Apache-2.0",
    ),
    "phikon": Foundation(
        "1aurent/vit_base_patch16_224.owkin_pancancer",
        "vit_base_patch16_224",
        features=768,
        licence="research (Owkin)",
        gated=False,
    ),
    "lunit_dino_s8": Foundation(
        "1aurent/vit_small_patch8_224.lunit_dino",
        "vit_small_patch8_224",
        features=384,
        licence="research (Lunit)",
        gated=False,
        preset=replace(
            _TOKENS,
            pooling="",
            mean=(0.70322989, 0.53606487, 0.66096631),
            std=(0.21716536, 0.26081574, 0.20723464),
        ),
    ),
}


class UNetEncoder(nn.Module):
    """The contracting path of our U-Net, as a backbone, for transfer from nuclei to patches.

    Parameters
    ----------
    width, depth : int
        As of the U-Net (or of StarDist's ``unet`` encoder).
    grid : int
        As of StarDist; 1 for the U-Net.
    """

    def __init__(self, *, width: int = 32, depth: int = 5, grid: int = 1) -> None:
        check_size(width, depth)
        super().__init__()
        widths = [width * 2**level for level in range(depth)]
        self.spread = nn.PixelUnshuffle(grid)
        self.pool = nn.MaxPool2d(2)
        self.down = nn.ModuleList(
            double_conv(a, b) for a, b in zip([3 * grid**2, *widths], widths, strict=False)
        )
        self.num_features = widths[-1]

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, num_features, h, w)."""
        x = self.spread(x)
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
        return x

    def forward(self, x: Tensor) -> Tensor:
        """(B, num_features): the mean over the lowest level."""
        return self.forward_features(x).mean(dim=(2, 3))

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  # as timm's
        """Patterns of block names, as of timm's models."""
        return {"stem": r"^down\.0", "blocks": r"^down\.(\d+)"}


def build(
    name: str, *, pretrained: bool, options: Mapping[str, Any], patch_px: int | None = None
) -> tuple[Any, Preset, str, dict[str, Any]]:
    """Make a backbone: one feature vector for each image.

    Parameters
    ----------
    name : str
        A key of `FOUNDATIONS`, ``unet``, ``hf-hub:`` and a repository, ``local-dir:`` and a folder with
        timm's ``config.json``, a name of timm, or that of a MobileNet in a model folder of 0.1.
    pretrained : bool
        Fetch the published weights.
    options : mapping
        Further arguments of the backbone.
    patch_px : int, optional
        Side of the images, for backbones that are made for one size.

    Returns
    -------
    network, preset, name, options
        The last two make the same network again without a hub.

    Raises
    ------
    UnknownNameError
        If no backbone has that name.
    ConfigError
        If it cannot be made, or its weights cannot be fetched; the message says how to get them.
    """
    import timm

    if pretrained and (name == "unet" or name in _OF_0_1):
        raise ConfigError(
            f"backbone {name!r} has no weights on a hub; set weights= to a file or a model folder"
        )
    if name in _OF_0_1:
        return _of_0_1(name), Preset(), name, {}
    known = foundation(name)
    try:
        if name == "unet":
            return UNetEncoder(**options), Preset(), name, dict(options)
        if known is not None:
            options = {**({} if patch_px is None else {"img_size": patch_px}), **options}
            arguments = {**known.arguments, **options}
            source = f"hf-hub:{known.repo}" if pretrained else known.architecture
            check_reachable(source, advice=_LOCAL, options=options, weights=pretrained)
            network = timm.create_model(source, pretrained=pretrained, num_classes=0, **_layers(arguments))
            return network, known.preset, f"hf-hub:{known.repo}", dict(options)
        if name.startswith(_HUB):
            return _from_hub(name, pretrained=pretrained, options=dict(options))
        if not timm.is_model(name.split(".", maxsplit=1)[0]):
            near = get_close_matches(name, timm.list_models(), n=5)
            raise UnknownNameError("backbone", name, [*near, *FOUNDATIONS, "unet"])
        check_reachable(name, advice=_LOCAL, options=options, weights=pretrained)
        config = timm.get_pretrained_cfg(name)
        if patch_px is not None and config is not None and config.fixed_input_size:
            options = {"img_size": patch_px, **options}
        network = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except HistoscopeError:
        raise
    except Exception as error:  # timm and the hub raise dozens of types
        raise ConfigError(_why(name, known, error, pretrained=pretrained)) from error
    return network, preset_of(network.pretrained_cfg), name, dict(options)


def foundation(name: str) -> Foundation | None:
    """The foundation model of a short name, or of its name on the hub; None if it is none of them."""
    if name in FOUNDATIONS:
        return FOUNDATIONS[name]
    repo = name.partition(":")[2].lower()
    return next((model for model in FOUNDATIONS.values() if model.repo.lower() == repo), None)


def preset_of(config: Mapping[str, Any]) -> Preset:
    """Preset of a backbone of timm, from its pretrained configuration."""
    return Preset(
        patch_px=int(config["input_size"][-1]),
        mean=three(config["mean"]),
        std=three(config["std"]),
        interpolation=str(config.get("interpolation") or "bilinear"),
        fixed=bool(config.get("fixed_input_size")),
    )


def _of_0_1(name: str) -> Any:
    """Timm's MobileNet with TensorFlow's padding; its weights are in the model folder."""
    from timm.models import efficientnet

    version, width = _OF_0_1[name]
    make = efficientnet._gen_mobilenet_v1 if version == 1 else efficientnet._gen_mobilenet_v2
    return make(f"mobilenetv{version}_100", channel_multiplier=width, pad_type="same", num_classes=0)


def _from_hub(
    name: str, *, pretrained: bool, options: dict[str, Any]
) -> tuple[Any, Preset, str, dict[str, Any]]:
    """Any other model that keeps a configuration for timm."""
    import timm
    from timm.models import load_model_config_from_hf
    from timm.models._hub import load_model_config_from_path

    check_reachable(name, advice=_FOLDER, options=options, weights=pretrained)
    place = name.partition(":")[2]
    read = load_model_config_from_path if name.startswith("local-dir:") else load_model_config_from_hf
    config, architecture, arguments = read(place)
    arguments = {**(arguments or {}), **options}
    network = timm.create_model(name, pretrained=pretrained, num_classes=0, **_layers(options))
    return network, preset_of({**network.pretrained_cfg, **config}), architecture, arguments


def _layers(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of timm in which layers stand for their names."""
    from timm.layers import SwiGLUPacked

    layers = {"SwiGLUPacked": SwiGLUPacked, "SiLU": torch.nn.SiLU}
    return {
        key: layers.get(value, value) if isinstance(value, str) else value for key, value in arguments.items()
    }


def three(values: Any) -> Three:
    """Three floats, as a card or a configuration may list them."""
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _why(name: str, known: Foundation | None, error: Exception, *, pretrained: bool) -> str:
    """Error message: what failed, and what to do."""
    what = " ".join(str(error).split())[:300] or type(error).__name__
    if not pretrained and not name.startswith(_HUB[:2]):
        return f"backbone {name!r} cannot be made: {what}"
    repo = known.repo if known is not None else name.partition(":")[2] or name
    page = f"https://huggingface.co/{repo}" if "/" in repo else f"https://huggingface.co/timm/{repo}"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "GatedRepoError" in kinds or "401" in what or "403" in what:
        return (
            f"the weights of {name!r} are gated: accept the terms at {page}, then run 'hf auth login' or set "
            f"HF_TOKEN; or {_LOCAL} ({what})"
        )
    if "RepositoryNotFoundError" in kinds or "404" in what:
        return f"there is no model {repo!r} on the Hugging Face Hub, or it is private: see {page} ({what})"
    gate = " They are gated: accept the terms there first." if known is not None and known.gated else ""
    how = f"could not be downloaded from {page}; without internet access, {_LOCAL}"
    return f"the weights of {name!r} {how}.{gate} ({what})"
