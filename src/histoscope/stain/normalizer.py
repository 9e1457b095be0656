"""What the normalisers by stain vectors share: estimate, map, save."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import StainError
from histoscope.stain import pixelmap, reference
from histoscope.stain.deconvolution import (
    LEAST_AMOUNT,
    StainEstimate,
    check_stains,
    high_amounts,
    with_residual,
)
from histoscope.stain.density import check, optical_density, sample_tissue
from histoscope.types import Image

LEAST_SPREAD = 0.02
"""Standard deviation of density below which an image shows one colour only."""
TOO_LITTLE = (
    "too little tissue to estimate stains from: less than 1 % of the pixels are stained, or they show one "
    "colour only; give an image with clearly stained tissue"
)


@dataclass(frozen=True, eq=False)
class StainNormalizer(ABC):
    """Base of the methods that differ only in how they find the two stain vectors.

    An image's density is split into amounts of its own stains by least squares, the amounts are scaled so
    that their 99th percentiles agree with the target's, and put together again with the target's stains. All
    of it is one 3x3 matrix on optical density.

    Parameters
    ----------
    target : StainEstimate
        Stains to give to every image.
    keep_residual : bool
        The published methods project onto the plane of two stains and lose what lies outside it (pigment,
        ink, chromatic noise), which is the default. True keeps it as a third, unscaled stain.
    """

    target: StainEstimate
    keep_residual: bool = False

    name: ClassVar[str]

    @classmethod
    def fit(cls, reference_image: Image | Sequence[Image], *, keep_residual: bool | None = None) -> Self:
        """Take the stains of an image (or of several images of one slide) as the target.

        Raises
        ------
        StainError
            If it shows too little tissue.
        ShapeError
            If it is not (H, W, 3) uint8.
        """
        target = cls.estimate(reference_image)
        return cls(target) if keep_residual is None else cls(target, keep_residual)

    @classmethod
    def default(cls) -> Self:
        """Normaliser to the reference that ships with Histoscope."""
        return cls._from_values(reference.bundled(cls.name))

    @classmethod
    def estimate(cls, image: Image | Sequence[Image]) -> StainEstimate:
        """Find the stains of an image, or of several images together, to pass as ``source=`` later.

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

    def __call__(self, image: Image, *, source: StainEstimate | None = None) -> Image:
        """Give `image` the target's stains.

        Parameters
        ----------
        image : (H, W, 3) uint8
        source : StainEstimate, optional
            Stains of the slide that the image comes from; without it, they are estimated from the image.

        Returns
        -------
        (H, W, 3) uint8
            A copy of `image` if `source` is not given and there is too little tissue to estimate it.

        Raises
        ------
        ShapeError
            If `image` is not (H, W, 3) uint8.
        """
        image = check(image)
        source = self._estimate(image) if source is None else source
        return image.copy() if source is None else pixelmap.of_density(self.matrix(source))(image)

    def matrix(self, source: StainEstimate) -> NDArray[np.float64]:
        """(3, 3) matrix from optical density (R, G, B) of a slide with stains `source` to the target's."""
        gain = self.target.amounts / source.amounts
        target, stains = self.target.stains, source.stains
        if self.keep_residual:
            target, stains, gain = with_residual(target), with_residual(stains), np.append(gain, 1.0)
        return np.asarray(target.T @ np.diag(gain) @ np.linalg.pinv(stains.T))

    def save(self, path: str | Path) -> None:
        """Write the target as JSON, to share; `histoscope.stain.load` reads it."""
        reference.write(path, self.name, self._values())

    @classmethod
    def _estimate(cls, images: Image | Sequence[Image]) -> StainEstimate | None:
        pixels = sample_tissue(images)
        if pixels is None:
            return None
        density = optical_density(np.ascontiguousarray(pixels.T))
        stains = cls._stains(density) if density.std(axis=1).max() > LEAST_SPREAD else None
        if stains is None:
            return None
        amounts = high_amounts(density, stains)
        return None if amounts.min() < LEAST_AMOUNT else StainEstimate(stains, amounts)

    @classmethod
    @abstractmethod
    def _stains(cls, density: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Find the (2, 3) stains in the (3, N) density of tissue pixels, or None."""

    def _values(self) -> dict[str, Any]:
        return {
            "stains": self.target.stains.tolist(),
            "amounts": self.target.amounts.tolist(),
            "keep_residual": self.keep_residual,
        }

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> Self:
        stains = check_stains(reference.numbers(values, "stains", (2, 3)))
        amounts = reference.numbers(values, "amounts", (2,))
        target = StainEstimate(stains, amounts)
        return cls(target, bool(values["keep_residual"])) if "keep_residual" in values else cls(target)
