"""Augmentations of stain, brightness and hue.

Each has fixed strengths, ``sample(rng) -> params`` and ``apply(image, params) -> image``; params are plain
numbers, so that an augmentation can be recorded and repeated.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from histoscope.seeds import RandomSource, generator
from histoscope.stain import pixelmap
from histoscope.stain.deconvolution import RUIFROK, unit_rows, with_residual
from histoscope.types import Image

Triple = tuple[float, float, float]


class HedParams(NamedTuple):
    """Factor on, and shift of, the amounts of haematoxylin, eosin and residual."""

    factor: Triple
    shift: Triple


@dataclass(frozen=True, slots=True)
class HedJitter:
    """HED jitter: haematoxylin, eosin and DAB channels scaled and shifted independently.

    Parameters
    ----------
    factor : float
        Factors are drawn from 1 - factor to 1 + factor.
    shift : float
        Shifts are drawn from -shift to shift, in units of optical density (natural logarithm).

    Notes
    -----
    Tellez et al. call 0.05 light and 0.2 strong, for both.

    References
    ----------
    .. [1] Tellez et al., IEEE TMI 37(9), 2018, doi:10.1109/TMI.2018.2820199

    Examples
    --------
    >>> jitter = HedJitter(0.2, 0.2)
    >>> image = np.full((8, 8, 3), (180, 90, 160), np.uint8)
    >>> params = jitter.sample(0)
    >>> bool((jitter.apply(image, params) == jitter.apply(image, params)).all())
    True
    """

    factor: float = 0.05
    shift: float = 0.05

    def sample(self, rng: RandomSource) -> HedParams:
        """Random parameters; the same for the same seed."""
        rng = generator(rng)
        return HedParams(_triple(rng, 1.0, self.factor), _triple(rng, 0.0, self.shift))

    def apply(self, image: Image, params: HedParams) -> Image:
        """Augmented (H, W, 3) uint8 image."""
        stains = unit_rows(RUIFROK).T
        matrix = stains @ np.diag(params.factor) @ np.linalg.inv(stains)
        return pixelmap.of_density(matrix, stains @ np.array(params.shift))(image)

    def __call__(self, image: Image, rng: RandomSource) -> Image:
        """Augment an image with random parameters; the same for the same seed."""
        return self.apply(image, self.sample(rng))


class StainParams(NamedTuple):
    """Factors on the amounts of haematoxylin and eosin, and on each entry of their two vectors."""

    amount: tuple[float, float]
    vector: tuple[Triple, Triple]


@dataclass(frozen=True, slots=True)
class StainJitter:
    """Jitter of stain amounts and stain vectors.

    Parameters
    ----------
    amount : float
        Factors on the amounts are drawn from 1 - amount to 1 + amount.
    vector : float
        Factors on the entries of the stain vectors are drawn from 1 - vector to 1 + vector.

    Notes
    -----
    With 0.4 and 0.15 as in StarDist's entry to the CoNIC challenge. The residual of the two stains and white
    do not change.

    References
    ----------
    .. [1] Weigert and Schmidt, ISBI challenges 2022, arXiv:2203.02284

    Examples
    --------
    >>> jitter = StainJitter()
    >>> white = np.full((8, 8, 3), 255, np.uint8)
    >>> bool((jitter(white, 0) == 255).all())
    True
    """

    amount: float = 0.4
    vector: float = 0.15

    def sample(self, rng: RandomSource) -> StainParams:
        """Random parameters; the same for the same seed."""
        rng = generator(rng)
        haematoxylin, eosin, _ = _triple(rng, 1.0, self.amount)
        return StainParams(
            (haematoxylin, eosin), (_triple(rng, 1.0, self.vector), _triple(rng, 1.0, self.vector))
        )

    def apply(self, image: Image, params: StainParams) -> Image:
        """Augmented (H, W, 3) uint8 image."""
        source = unit_rows(RUIFROK[:2])
        residual = with_residual(source)[2:]
        target = np.vstack([source * np.array(params.vector) * np.array(params.amount)[:, None], residual])
        return pixelmap.of_density(target.T @ np.linalg.inv(np.vstack([source, residual]).T))(image)

    def __call__(self, image: Image, rng: RandomSource) -> Image:
        """Augment an image with random parameters; the same for the same seed."""
        return self.apply(image, self.sample(rng))


class ColourParams(NamedTuple):
    """Shift of brightness as a share of full scale, and of hue as a share of the circle."""

    brightness: float
    hue: float


@dataclass(frozen=True, slots=True)
class BrightnessHue:
    """Jitter of brightness and hue, as between lamps, cameras and scanners.

    Parameters
    ----------
    brightness : float
        Shifts are drawn from -brightness to brightness, as a share of full scale.
    hue : float
        Rotations are drawn from -hue to hue, as a share of the circle; greys do not change.

    Examples
    --------
    >>> grey = np.full((8, 8, 3), 128, np.uint8)
    >>> BrightnessHue().apply(grey, ColourParams(brightness=0.1, hue=0.02))[0, 0].tolist()
    [154, 154, 154]
    """

    brightness: float = 0.1
    hue: float = 0.02

    def sample(self, rng: RandomSource) -> ColourParams:
        """Random parameters; the same for the same seed."""
        rng = generator(rng)
        brightness, hue, _ = _triple(rng, 0.0, 1.0)
        return ColourParams(self.brightness * brightness, self.hue * hue)

    def apply(self, image: Image, params: ColourParams) -> Image:
        """Augmented (H, W, 3) uint8 image."""
        # Rotation about the grey axis (Rodrigues' formula) keeps greys and the mean of the three channels.
        angle = 2.0 * np.pi * params.hue
        axis = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / np.sqrt(3.0)
        grey = np.full((3, 3), 1.0 / 3.0)
        turn = np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * axis + grey
        return pixelmap.of_levels(turn, np.full(3, 255.0 * params.brightness))(image)

    def __call__(self, image: Image, rng: RandomSource) -> Image:
        """Augment an image with random parameters; the same for the same seed."""
        return self.apply(image, self.sample(rng))


def _triple(rng: np.random.Generator, centre: float, spread: float) -> Triple:
    a, b, c = rng.uniform(centre - spread, centre + spread, 3).tolist()
    return (a, b, c)
