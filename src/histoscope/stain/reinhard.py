"""Reinhard's method: give the tissue the mean and spread of colour of a reference, in CIE Lab."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import StainError
from histoscope.stain import _kernels, reference
from histoscope.stain.density import check, sample_tissue
from histoscope.stain.normalizer import TOO_LITTLE
from histoscope.threads import SMALLEST_BAND, over
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


def _shares() -> NDArray[np.uint64]:
    steps = np.rint((_STEPS - 4) * _XYZ[:, :, None] * _LINEAR).astype(np.uint64)
    return np.asarray(steps[0] + (steps[1] << np.uint64(21)) + (steps[2] << np.uint64(42)))


def _gamma() -> NDArray[np.uint8]:
    x = np.arange(_STEPS) / (_STEPS - 1)
    curve = np.where(x > 0.0031308, 1.055 * x ** (1 / 2.4) - 0.055, 12.92 * x)
    return np.rint(255.0 * curve).astype(np.uint8)


_SUMS, _GAMMA = _shares(), _gamma()
_ROOT = _root(np.arange(_STEPS) / (_STEPS - 4)).astype(np.float32)
# Roots as 16-bit numbers: half as large, the table stays in the nearest cache, and is as exact as its steps.
_SHORT = np.rint(65535.0 * _ROOT).astype(np.uint16)
# Full change up to the lightness of the palest tissue, none at the white of glass.
_FADE = np.rint(256.0 * np.clip((116.0 - 116.0 * _ROOT) / 7.0, 0.0, 1.0)).astype(np.int32)
_PALEST = np.uint64(np.argmax(_FADE < 256))


@dataclass(frozen=True, eq=False, slots=True)
class ColourEstimate:
    """Colour of the tissue of an image or slide, in CIE Lab (D65).

    Parameters
    ----------
    mean, std : (3,) float64
        Mean and standard deviation of L (0..100), a and b.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


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


@dataclass(frozen=True, eq=False)
class Reinhard:
    """Mean and standard deviation of CIE Lab, channel by channel.

    Parameters
    ----------
    target : ColourEstimate
        Colour to give to every image.

    Notes
    -----
    Reinhard et al. used whole photographs. Here the moments are those of the tissue alone, so that they do
    not depend on how much glass a tile shows, and the change fades out towards the white of glass, which
    stays white.

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

    target: ColourEstimate

    name: ClassVar[str] = "reinhard"

    @classmethod
    def fit(cls, reference_image: Image | Sequence[Image]) -> Self:
        """Take the colour of an image (or of several images of one slide) as the target.

        Raises
        ------
        StainError
            If it shows too little tissue.
        ShapeError
            If it is not (H, W, 3) uint8.
        """
        return cls(cls.estimate(reference_image))

    @classmethod
    def default(cls) -> Self:
        """Normaliser to the reference that ships with Histoscope."""
        return cls._from_values(reference.bundled(cls.name))

    @classmethod
    def estimate(cls, image: Image | Sequence[Image]) -> ColourEstimate:
        """Measure the colour of an image, or of several images together, to pass as ``source=`` later.

        Raises
        ------
        StainError
            If there is too little tissue.
        ShapeError
            If an image is not (H, W, 3) uint8.
        """
        found = cls._estimate(image)
        if found is None:
            raise StainError(TOO_LITTLE)
        return found

    def __call__(self, image: Image, *, source: ColourEstimate | None = None) -> Image:
        """Give `image` the target's colour.

        Parameters
        ----------
        image : (H, W, 3) uint8
        source : ColourEstimate, optional
            Colour of the slide that the image comes from; without it, it is measured on the image.

        Returns
        -------
        (H, W, 3) uint8
            A copy of `image` if `source` is not given and there is too little tissue to measure it.

        Raises
        ------
        ShapeError
            If `image` is not (H, W, 3) uint8.
        """
        image = check(image)
        source = self._estimate(image) if source is None else source
        if source is None:
            return image.copy()
        gain, offset = self._affine(source)
        out = np.empty_like(image)
        pixels, flat = image.reshape(-1, 3), out.reshape(-1, 3)
        tables = (_SUMS, _SHORT, _PALEST, _FADE[_PALEST:], gain / np.float32(65535.0), offset, _BACK, _GAMMA)
        over(_kernels.map_lab, len(pixels), SMALLEST_BAND, pixels, *tables, flat)
        return out

    def save(self, path: str | Path) -> None:
        """Write the target as JSON, to share; `histoscope.stain.load` reads it."""
        reference.write(path, self.name, self._values())

    def _affine(self, source: ColourEstimate) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        gain = self.target.std / source.std
        shift = (self.target.mean - gain * source.mean + (gain - 1.0) * _OFFSET) / _SCALE
        return gain.astype(np.float32), (shift * [1.0, 1.0, -1.0]).astype(
            np.float32
        )  # the kernel has fz - fy

    @classmethod
    def _estimate(cls, images: Image | Sequence[Image]) -> ColourEstimate | None:
        pixels = sample_tissue(images)
        if pixels is None:
            return None
        first, second = _kernels.root_moments(pixels, _SUMS, _ROOT) / len(pixels)
        mean, std = _SCALE * first + _OFFSET, _SCALE * np.sqrt(np.maximum(second - first**2, 0.0))
        return None if std.min() < 0.2 else ColourEstimate(mean, std)

    def _values(self) -> dict[str, Any]:
        return {"mean": self.target.mean.tolist(), "std": self.target.std.tolist()}

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> Self:
        return cls(
            ColourEstimate(reference.numbers(values, "mean", (3,)), reference.numbers(values, "std", (3,)))
        )
