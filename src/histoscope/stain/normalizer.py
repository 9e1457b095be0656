"""Base classes of the normalisers: fit, estimate, apply, save; and the transform by stain vectors."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import StainError
from histoscope.images.digest import digest_of
from histoscope.stain import pixelmap, reference
from histoscope.stain.deconvolution import (
    LEAST_AMOUNT,
    NAMES,
    TYPICAL,
    StainEstimate,
    apart,
    check_stains,
    high_amounts,
    shown,
    unit_rows,
    with_residual,
)
from histoscope.stain.density import check
from histoscope.stain.glass import check_white
from histoscope.stain.tissue import Tissue, tissue_of, too_little
from histoscope.types import Image

GAINS = 0.25, 3.0
"""Bounds of the factor on the amount of a stain: one that is nearly absent is mostly noise."""

Estimate = TypeVar("Estimate")


@dataclass(frozen=True, eq=False)
class BaseNormalizer(ABC, Generic[Estimate]):
    """Base of all methods.

    Tissue is given the target's stains, below the target's white point. Glass and marks of pens stay as they
    are, and so does an image with too little tissue to estimate stains from.

    Parameters
    ----------
    target : StainEstimate or ColourEstimate
        Stains or colours that images are normalised to.
    white : (3,) array, optional
        White point of the images to normalise, levels from 1 to 255; by default it is detected in each.
    origin : str
        Where the target comes from, such as the name of a file; metadata only.
    pixels : tuple of str
        Digests of the reference images, to recognise whether an image is one of them.
    """

    target: Estimate
    white: ArrayLike | None = field(default=None, kw_only=True)
    origin: str = field(default="", kw_only=True)
    pixels: tuple[str, ...] = field(default=(), kw_only=True, repr=False)

    name: ClassVar[str]

    def __post_init__(self) -> None:
        if self.white is not None:
            object.__setattr__(self, "white", check_white(self.white))

    @classmethod
    def fit(
        cls, reference_image: Image | Sequence[Image], *, white: ArrayLike | None = None, origin: str = ""
    ) -> Self:
        """Fit to the stains of a reference image, or of several images of one slide.

        Parameters
        ----------
        reference_image : (H, W, 3) uint8, or several
        white : (3,) array, optional
            White point of the reference; detected by default.
        origin : str
            Where the reference comes from, saved with it.

        Raises
        ------
        StainError
            If it shows too little tissue.
        ShapeError
            If it is not (H, W, 3) uint8.
        """
        images = [reference_image] if isinstance(reference_image, np.ndarray) else reference_image
        target = cls(cls.estimate(reference_image, white=white))
        return replace(target, origin=origin, pixels=tuple(map(digest_of, images)))

    @classmethod
    def default(cls) -> Self:
        """Normaliser fitted to the reference that ships with Histoscope."""
        values, origin = reference.bundled(cls.name)
        return replace(cls._from_values(values), origin=origin)

    @classmethod
    def estimate(cls, image: Image | Sequence[Image], *, white: ArrayLike | None = None) -> Estimate:
        """Estimate the stains of an image, or of several together, to pass as ``source=`` later.

        Parameters
        ----------
        image : (H, W, 3) uint8, or several
        white : (3,) array, optional
            Levels of bare glass; detected by default.

        Raises
        ------
        StainError
            If there is too little tissue.
        ShapeError
            If an image is not (H, W, 3) uint8.
        """
        return cls._of(tissue_of(image, white))

    def __call__(self, image: Image, *, source: Estimate | None = None) -> Image:
        """Normalise an image to the target's stains.

        Parameters
        ----------
        image : (H, W, 3) uint8
        source : StainEstimate or ColourEstimate, optional
            Estimate of the slide that the image comes from; by default the image's own.

        Returns
        -------
        (H, W, 3) uint8
            A copy of `image` if `source` is not given and there is too little tissue for an estimate.

        Raises
        ------
        ShapeError
            If `image` is not (H, W, 3) uint8.
        """
        image = check(image)
        try:
            return self._apply(image, self.measure(image) if source is None else source)
        except StainError:
            return image.copy()

    def measure(self, image: Image | Sequence[Image]) -> Estimate:
        """`estimate` with this normaliser's own white point, if it has one."""
        return self.estimate(image, white=self.white)

    def values(self) -> dict[str, Any]:
        """Everything that determines its output, as plain numbers."""
        white = {} if self.white is None else {"images_white": np.asarray(self.white).tolist()}
        return self._values() | white

    def save(self, path: str | Path) -> None:
        """Write the target as JSON, to share; `histoscope.stain.load` reads it."""
        reference.write(path, self.name, self.values(), origin=self.origin, pixels=self.pixels)

    @classmethod
    @abstractmethod
    def _of(cls, tissue: Tissue) -> Estimate:
        """Estimate from tissue pixels."""

    @abstractmethod
    def _apply(self, image: Image, source: Estimate) -> Image:
        """Normalise a checked image."""

    @abstractmethod
    def _values(self) -> dict[str, Any]:
        """The target as plain numbers."""

    @classmethod
    @abstractmethod
    def _from_values(cls, values: dict[str, Any]) -> Self:
        """A normaliser from what `_values` returned."""


@dataclass(frozen=True, eq=False)
class StainNormalizer(BaseNormalizer[StainEstimate]):
    """Base of the methods that differ only in how they find the two stain vectors.

    An image's density below its white point is split into amounts of its own stains by least squares, the
    amounts are scaled so that their 99th percentiles agree with the target's (by a factor within `GAINS`; a
    stain that the image does not show is not scaled), and put together again with the target's stains. All
    of it is one 3x3 matrix on optical density.

    Parameters
    ----------
    target, white, origin, pixels
        As in `BaseNormalizer`.
    keep_residual : bool
        The published methods project onto the plane of two stains and lose what lies outside it (pigment,
        ink, chromatic noise), which is the default. True keeps it as a third stain, scaled down with the two
        stains but never up.
    """

    keep_residual: bool = False

    @classmethod
    def fit(
        cls,
        reference_image: Image | Sequence[Image],
        *,
        white: ArrayLike | None = None,
        origin: str = "",
        keep_residual: bool | None = None,
    ) -> Self:
        """Fit to a reference as `BaseNormalizer.fit` does; `keep_residual` is that of the class."""
        fitted = super().fit(reference_image, white=white, origin=origin)
        return fitted if keep_residual is None else replace(fitted, keep_residual=keep_residual)

    def matrix(self, source: StainEstimate) -> NDArray[np.float64]:
        """(3, 3) matrix from optical density (R, G, B) of a slide with stains `source` to the target's."""
        gain = np.clip(self.target.amounts / source.amounts, *GAINS)
        gain[~(np.array(source.present) & self.target.present)] = 1.0
        target, stains = self.target.stains, source.stains
        if self.keep_residual:
            # The residual of a stain that is scaled down is scaled down too, or pink would turn to yellow.
            gain = np.append(gain, min(1.0, *gain))
            target, stains = with_residual(target), with_residual(stains)
        return np.asarray(target.T @ np.diag(gain) @ np.linalg.pinv(stains.T))

    @classmethod
    @abstractmethod
    def _stains(cls, density: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Find the (2, 3) stains in the (3, N) density of tissue pixels, or None."""

    @classmethod
    def _of(cls, tissue: Tissue) -> StainEstimate:
        density = tissue.density()
        present = np.array(shown(density))
        stains = cls._stains(density) if present.all() else cls._with_one(density, present)
        if stains is None or not present.any():
            raise StainError(too_little("one colour only"))
        stains = apart(stains)
        amounts = high_amounts(density, stains)
        present &= amounts >= LEAST_AMOUNT
        if not present.any():
            raise StainError(too_little("stained too faintly"))
        lacks = [f"no {name} to measure" for name, there in zip(NAMES, present, strict=True) if not there]
        amounts = np.maximum(amounts, LEAST_AMOUNT)
        return StainEstimate(stains, amounts, tissue.white, _pair(present), (*tissue.notes, *lacks))

    @classmethod
    def _with_one(
        cls, density: NDArray[np.float32], present: NDArray[np.bool_]
    ) -> NDArray[np.float64] | None:
        """Stains of tissue that shows one stain only: its mean colour, and a typical vector for the other."""
        both = TYPICAL.copy()
        both[int(present[1])] = density.mean(axis=1)
        return unit_rows(both)

    def _apply(self, image: Image, source: StainEstimate) -> Image:
        change = pixelmap.of_density(self.matrix(source), white=source.white, new_white=self.target.white)
        return change.on_tissue(image, source.white)

    def _values(self) -> dict[str, Any]:
        return {
            "stains": self.target.stains.tolist(),
            "amounts": self.target.amounts.tolist(),
            "white": self.target.white.tolist(),
            "present": list(self.target.present),
            "keep_residual": self.keep_residual,
        }

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> Self:
        stains = check_stains(reference.numbers(values, "stains", (2, 3)))
        amounts = reference.numbers(values, "amounts", (2,))
        present = reference.numbers({"present": [1, 1], **values}, "present", (2,)) > 0
        target = StainEstimate(stains, amounts, reference.white(values), _pair(present))
        made = cls(target, white=values.get("images_white"))
        kept = values.get("keep_residual")
        return made if kept is None else replace(made, keep_residual=bool(kept))


def _pair(flags: NDArray[np.bool_]) -> tuple[bool, bool]:
    return bool(flags[0]), bool(flags[1])
