"""Configuration of an augmentation, and the parameters that are sampled from it."""

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from histoscope.errors import ConfigError
from histoscope.seeds import RandomSource, generator

# Cubic B-spline grids whose control points move less than this share of their spacing cannot fold
# (Choi and Lee 2000, doi:10.1006/gmod.2000.0531), so a nucleus never turns inside out.
_NO_FOLD = 0.48


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Range and probability of each augmentation. The default does nothing.

    Lengths are in micrometres, so one setting means the same at every resolution.

    Parameters
    ----------
    dihedral_chance : float in [0, 1]
        Chance of one of the eight turns and flips, each equally likely.
    affine_chance : float in [0, 1]
        Chance of rotation and scale together.
    rotation_deg : float in [0, 180]
        Largest rotation to either side.
    scale : float in [0, 1]
        Largest zoom: 0.2 magnifies by 1/1.2 to 1.2, both equally likely.
    elastic_chance : float in [0, 1]
        Chance of an elastic deformation.
    elastic_um : float
        Largest shift of a control point along each axis; the typical shift of a pixel is a quarter of it.
    elastic_spacing_um : float
        Distance between control points: smaller bends within a nucleus, larger bends the tissue.
    color_chance : float in [0, 1]
        Chance of brightness, contrast, saturation and hue together.
    brightness, contrast, saturation : float in [0, 1]
        0.1 multiplies by 0.9 to 1.1: the light, the distance to the mean colour, the distance to grey.
    hue_deg : float in [0, 180]
        Largest turn of the colours around the grey axis.
    blur_chance : float in [0, 1]
        Chance of a Gaussian blur.
    blur_um : float
        Largest standard deviation of the blur.
    noise_chance : float in [0, 1]
        Chance of Gaussian noise, independent in each pixel and channel.
    noise_levels : float
        Largest standard deviation of the noise, in grey levels of 255.
    sliver_um2 : float
        Pieces of nuclei that a cut or a warp leaves smaller than this become background.

    Raises
    ------
    ConfigError
        If a value is out of its range, or `elastic_um` is so large that the image could fold over itself.
    """

    dihedral_chance: float = 0.0
    affine_chance: float = 0.0
    rotation_deg: float = 0.0
    scale: float = 0.0
    elastic_chance: float = 0.0
    elastic_um: float = 0.0
    elastic_spacing_um: float = 16.0
    color_chance: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue_deg: float = 0.0
    blur_chance: float = 0.0
    blur_um: float = 0.0
    noise_chance: float = 0.0
    noise_levels: float = 0.0
    sliver_um2: float = 1.0

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for field in fields(self):
            value, top = getattr(self, field.name), _upper(field.name)
            if not (0 <= value <= top and math.isfinite(value)):  # nan fails the first
                raise ConfigError(f"augment: {field.name} is {value}, expected a number from 0 to {top:g}")
        if self.elastic_um > _NO_FOLD * self.elastic_spacing_um:
            raise ConfigError(
                f"augment: elastic_um is {self.elastic_um}, which could fold the image; expected at most "
                f"{_NO_FOLD} of elastic_spacing_um ({_NO_FOLD * self.elastic_spacing_um:g})"
            )


def _upper(name: str) -> float:
    if name.endswith("_deg"):
        return 180.0
    if name.endswith("_levels"):
        return 255.0
    return math.inf if name.endswith(("_um", "_um2")) else 1.0


@dataclass(frozen=True, slots=True)
class AugmentParams:
    """Sampled parameters of an augmentation: all that `apply` needs to repeat it, as plain numbers.

    Parameters
    ----------
    turns : int in 0..3
        Quarter turns against the clock.
    flip : bool
        Left to right, after the turns.
    angle_deg : float
        Further rotation.
    zoom : float
        Magnification; 1 keeps the size.
    elastic_seed : int or None
        Seed of the control points; None for no elastic deformation.
    brightness, contrast, saturation : float
        Factors; 1 changes nothing.
    hue_deg : float
        Turn around the grey axis.
    blur_um : float
        Standard deviation of the blur; 0 for none.
    noise_levels : float
        Standard deviation of the noise; 0 for none.
    noise_seed : int
        Seed of the noise.
    """

    turns: int = 0
    flip: bool = False
    angle_deg: float = 0.0
    zoom: float = 1.0
    elastic_seed: int | None = None
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue_deg: float = 0.0
    blur_um: float = 0.0
    noise_levels: float = 0.0
    noise_seed: int = 0

    @property
    def warps(self) -> bool:
        """Whether pixels move to places between pixels."""
        return self.angle_deg != 0.0 or self.zoom != 1.0 or self.elastic_seed is not None

    @property
    def recolors(self) -> bool:
        """Whether brightness, contrast, saturation or hue change."""
        return (self.brightness, self.contrast, self.saturation, self.hue_deg) != (1.0, 1.0, 1.0, 0.0)


def sample_params(config: AugmentConfig, rng: RandomSource) -> AugmentParams:
    """Sample the parameters of an augmentation.

    The same number of random values is drawn whatever the configuration, so switching one augmentation off
    leaves the others as they were.

    Examples
    --------
    >>> sample_params(AugmentConfig(), 0) == AugmentParams()
    True
    """
    rng = generator(rng)
    chances = (
        config.dihedral_chance,
        config.affine_chance,
        config.elastic_chance,
        config.color_chance,
        config.blur_chance,
        config.noise_chance,
    )
    turned, affine, elastic, color, blur, noise = (rng.random(6) < chances).tolist()
    position = int(rng.integers(8))
    angle, zoom, brightness, contrast, saturation, hue = rng.uniform(-1.0, 1.0, 6).tolist()
    blur_share, noise_share = rng.random(2).tolist()
    elastic_seed, noise_seed = rng.integers(2**32, size=2).tolist()
    return AugmentParams(
        turns=position % 4 if turned else 0,
        flip=turned and position >= 4,
        angle_deg=affine * config.rotation_deg * angle,
        zoom=(1.0 + config.scale) ** (affine * zoom),
        elastic_seed=elastic_seed if elastic and config.elastic_um > 0 else None,
        brightness=1.0 + color * config.brightness * brightness,
        contrast=1.0 + color * config.contrast * contrast,
        saturation=1.0 + color * config.saturation * saturation,
        hue_deg=color * config.hue_deg * hue,
        blur_um=blur * config.blur_um * blur_share,
        noise_levels=noise * config.noise_levels * noise_share,
        noise_seed=noise_seed if noise else 0,
    )


def margin_px(config: AugmentConfig, size_px: int, mpp: float) -> int:
    """Context that a crop needs on each side so that no draw reaches beyond it.

    Parameters
    ----------
    config : AugmentConfig
        What may happen.
    size_px : int
        Side of the output square.
    mpp : float
        Micrometres per pixel.

    Returns
    -------
    int
        0 where nothing moves pixels to places between pixels.

    Examples
    --------
    >>> margin_px(AugmentConfig(), 128, 0.5)
    0
    >>> margin_px(AugmentConfig(affine_chance=1.0, rotation_deg=45.0), 128, 0.5)
    28
    """
    affine = config.affine_chance > 0 and (config.rotation_deg > 0 or config.scale > 0)
    elastic = config.elastic_chance > 0 and config.elastic_um > 0
    if not (affine or elastic):
        return 0
    reach = (size_px - 1) / 2
    if affine:
        angle = math.radians(min(config.rotation_deg, 45.0))  # the corners reach farthest at 45 degrees
        reach *= (math.cos(angle) + math.sin(angle)) * (1.0 + config.scale)
    if elastic:
        reach += config.elastic_um / mpp
    return math.ceil(reach - (size_px - 1) / 2) + 1  # and one for the interpolation
