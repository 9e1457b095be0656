"""Reinhard normalisation: mean and standard deviation of colour in CIE Lab, matched to a reference."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from histoscope.brief import brief
from histoscope.errors import StainError
from histoscope.stain import _kernels, reference
from histoscope.stain.deconvolution import NAMES, shown
from histoscope.stain.glass import WHITE
from histoscope.stain.normalizer import GAINS, BaseNormalizer
from histoscope.stain.pixelmap import map_tissue
from histoscope.stain.tissue import Tissue, too_little
from histoscope.types import Image

# sRGB primaries and D65 white (IEC 61966-2-1), rows scaled so that white is 1, 1, 1.
_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_XYZ /= _XYZ.sum(axis=1, keepdims=True)
_BACK = np.linalg.inv(_XYZ).astype(np.float32)
# With fx, fy, fz the roots of X, Y, Z: L = 116 fy - 16, a = 500 (fx - fy), b = 200 (fy - fz).
_SCALE, _OFFSET = np.array([116.0, 500.0, 200.0]), np.array([-16.0, 0.0, 0.0])

_LEVELS = np.arange(256) / 255.0
_LINEAR = np.where(_LEVELS > 0.04045, ((_LEVELS + 0.055) / 1.055) ** 2.4, _LEVELS / 12.92)
_STEPS = 1 << 14


def _root(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x > (6 / 29) ** 3, np.cbrt(x), x * (29 / 6) ** 2 / 3 + 4 / 29)


def _linear(levels: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.interp(levels, np.arange(256), _LINEAR))


def _shares(white: NDArray[np.floating]) -> NDArray[np.uint64]:
    """Shares of X, Y and Z of each level of R, G and B, packed; light is counted from the white point."""
    light = np.minimum(_LINEAR / _linear(white)[:, None], 1.0)
    steps = np.rint((_STEPS - 4) * _XYZ[:, :, None] * light).astype(np.uint64)
    return np.asarray(steps[0] + (steps[1] << np.uint64(21)) + (steps[2] << np.uint64(42)))


def _gamma() -> NDArray[np.uint8]:
    x = np.arange(_STEPS) / (_STEPS - 1)
    curve = np.where(x > 0.0031308, 1.055 * x ** (1 / 2.4) - 0.055, 12.92 * x)
    return np.rint(255.0 * curve).astype(np.uint8)


_GAMMA = _gamma()
_ROOT = _root(np.arange(_STEPS) / (_STEPS - 4)).astype(np.float32)
# Roots as 16-bit numbers: half as large, the table stays in the nearest cache, and is as exact as its steps.
_SHORT = np.rint(65535.0 * _ROOT).astype(np.uint16)


@brief
@dataclass(frozen=True, eq=False, slots=True)
class ColourEstimate:
    """Colour of the tissue of an image or slide, in CIE Lab (D65).

    Parameters
    ----------
    mean, std : (3,) float64
        Mean and standard deviation of L (0..100), a and b, of colours balanced to the white point.
    white : (3,) float64
        Levels of bare glass.
    notes : tuple of str
        What the estimate lacks, in words.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    white: NDArray[np.float64] = field(default_factory=WHITE.copy)
    notes: tuple[str, ...] = ()


def lab(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIE Lab (D65) of sRGB pixels.

    Parameters
    ----------
    pixels : (..., 3) uint8

    Returns
    -------
    (..., 3) float64
        L in 0..100, a and b about -100..100.

    Examples
    --------
    >>> lab(np.array([255, 255, 255], np.uint8)).round(3).tolist()
    [100.0, 0.0, 0.0]
    """
    fx, fy, fz = np.moveaxis(_root(_LINEAR[pixels] @ _XYZ.T), -1, 0)
    return np.asarray(np.stack([fy, fx - fy, fy - fz], axis=-1) * _SCALE + _OFFSET)


@brief
@dataclass(frozen=True, eq=False)
class Reinhard(BaseNormalizer[ColourEstimate]):
    """Mean and standard deviation of CIE Lab, channel by channel.

    Parameters
    ----------
    target : ColourEstimate
        Colours that images are normalised to.
    white, origin, pixels
        As in `BaseNormalizer`.

    Notes
    -----
    Reinhard et al. used whole photographs. Here the moments are those of the tissue alone, in light balanced
    to the white point, so that they depend neither on how much glass a tile shows nor on the lamp. Spreads
    are scaled by a factor within `GAINS`; greens and yellows (a below 0, b above 0.8 a) are cut off. The
    change fades out towards the white point; glass stays as it is.

    References
    ----------
    .. [1] Reinhard et al., IEEE Computer Graphics and Applications 21(5), 2001, doi:10.1109/38.946629

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = rng.integers(90, 200, (32, 32, 3), dtype=np.uint8)
    >>> Reinhard.default()(image).dtype
    dtype('uint8')
    """

    name: ClassVar[str] = "reinhard"

    @classmethod
    def _of(cls, tissue: Tissue) -> ColourEstimate:
        sums = _shares(tissue.white)
        first, second = _kernels.root_moments(tissue.pixels, sums, _ROOT) / len(tissue.pixels)
        mean, std = _SCALE * first + _OFFSET, _SCALE * np.sqrt(np.maximum(second - first**2, 0.0))
        if std.min() < 0.2:
            raise StainError(too_little("one colour only"))
        present = shown(tissue.density())
        lacks = [f"no {name} to measure" for name, there in zip(NAMES, present, strict=True) if not there]
        return ColourEstimate(mean, std, tissue.white, (*tissue.notes, *lacks))

    def _apply(self, image: Image, source: ColourEstimate) -> Image:
        gain, offset = self._affine(source)
        back = (_BACK * _linear(self.target.white)[:, None]).astype(np.float32)
        scaled = gain / np.float32(65535.0)
        tables = _kernels.COLD, _shares(source.white), _SHORT, scaled, offset, back, _GAMMA
        return map_tissue(_kernels.map_lab, image, source.white, *tables)

    def _affine(self, source: ColourEstimate) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        gain = np.clip(self.target.std / source.std, *GAINS)
        shift = (self.target.mean - gain * source.mean + (gain - 1.0) * _OFFSET) / _SCALE
        signs = np.array([1.0, 1.0, -1.0])  # the kernel has fz - fy
        return gain.astype(np.float32), (shift * signs).astype(np.float32)

    def _values(self) -> dict[str, Any]:
        target = self.target
        return {"mean": target.mean.tolist(), "std": target.std.tolist(), "white": target.white.tolist()}

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> Self:
        mean, std = (reference.numbers(values, key, (3,)) for key in ("mean", "std"))
        return cls(ColourEstimate(mean, std, reference.white(values)), white=values.get("images_white"))
