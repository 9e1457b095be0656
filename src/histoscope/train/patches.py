"""Cutting training patches out of samples."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ConfigError, DataError
from histoscope.labels import centroids, relabel
from histoscope.seeds import RandomSource, generator
from histoscope.types import Sample


def crop(sample: Sample, top: int, left: int, size_px: int) -> Sample:
    """Cut a square; where it reaches beyond the sample, image and instances are mirrored alike.

    Ids and classes stay as they are.

    Parameters
    ----------
    sample : Sample
        Never changed; the cut may share its memory.
    top, left : int
        Row and column of the first pixel; may be negative.
    size_px : int
        Side of the square.

    Returns
    -------
    Sample

    Examples
    --------
    >>> sample = Sample(np.zeros((2, 3, 3), np.uint8), 0.5, np.array([[1, 2, 3], [4, 5, 6]], np.int32))
    >>> crop(sample, 0, -1, 3).instances
    array([[2, 1, 2],
           [5, 4, 5],
           [2, 1, 2]], dtype=int32)
    """
    height, width = sample.image.shape[:2]
    if 0 <= top <= height - size_px and 0 <= left <= width - size_px:
        cut: tuple[slice, slice] | tuple[NDArray[np.intp], ...] = (
            slice(top, top + size_px),
            slice(left, left + size_px),
        )
    else:
        cut = np.ix_(_mirrored(top, size_px, height), _mirrored(left, size_px, width))
    instances = None if sample.instances is None else sample.instances[cut]
    return replace(sample, image=sample.image[cut], instances=instances)


class PatchSampler:
    """Draws patches from samples: a place at random, or around a random nucleus.

    What it takes is that of `histoscope.train.make_loader`. Patches around a nucleus take one of all samples,
    the others are uniform, first the sample and then the place in it; all are uniform where there is no
    nucleus.

    Examples
    --------
    >>> sample = Sample(np.zeros((64, 64, 3), np.uint8), 0.5, np.eye(64, dtype=np.int32))
    >>> PatchSampler([sample], 32, on_nuclei=1.0).draw(0).image.shape
    (32, 32, 3)
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        size_px: int,
        *,
        on_nuclei: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        if size_px <= 0:
            raise ConfigError(f"patch_px is {size_px}, expected the side of a patch in pixels, such as 256")
        if not 0 <= on_nuclei <= 1:
            raise ConfigError(f"on_nuclei is {on_nuclei}, expected a share from 0 to 1")
        self.samples = tuple(samples)
        self.mpp = _common_mpp(self.samples)
        self.size_px = size_px
        self.on_nuclei = on_nuclei
        self.class_weights = None if class_weights is None else _checked(class_weights)

    def draw(self, rng: RandomSource, *, margin_px: int = 0) -> Sample:
        """Cut one patch, with `margin_px` more on each side.

        A patch lies within its sample where that is large enough; only the margin reaches beyond it. A patch
        around a nucleus has it in the middle, or as near to it as the border of the sample allows. A seed
        draws the same patch each time.
        """
        rng = generator(rng)
        nuclei, shares = self._nuclei if rng.random() < self.on_nuclei else (None, None)
        if nuclei is not None and shares is not None and len(nuclei):
            k = min(int(np.searchsorted(shares, rng.random(), side="right")), len(nuclei) - 1)
            which, row, column = nuclei[k].tolist()
            sample = self.samples[which]
            free = self._free(sample)
            places = [
                min(max(at - self.size_px // 2, 0), n) for at, n in zip((row, column), free, strict=True)
            ]
        else:
            sample = self.samples[int(rng.integers(len(self.samples)))]
            free = self._free(sample)
            places = [int(rng.integers(max(n, 0) + 1)) for n in free]
        # a sample that is too small comes to lie in the middle of the patch
        top, left = (place if n >= 0 else n // 2 for place, n in zip(places, free, strict=True))
        return crop(sample, top - margin_px, left - margin_px, self.size_px + 2 * margin_px)

    def _free(self, sample: Sample) -> tuple[int, int]:
        height, width = sample.image.shape[:2]
        return height - self.size_px, width - self.size_px

    @cached_property
    def _nuclei(self) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Sample, row and column of each nucleus, (N, 3), and their cumulative shares, (N,)."""
        parts = [_centers(sample, which) for which, sample in enumerate(self.samples)]
        nuclei = np.concatenate([places for places, _ in parts])
        classes = np.concatenate([classes for _, classes in parts])
        weights = np.ones(len(classes)) if self.class_weights is None else self._weigh(classes)
        chosen = weights > 0
        total = np.cumsum(weights[chosen])
        return nuclei[chosen], total / total[-1:]

    def _weigh(self, classes: NDArray[np.uint8]) -> NDArray[np.float64]:
        weights = np.asarray(self.class_weights)
        if classes.max(initial=0) >= len(weights):
            raise ConfigError(
                f"class_weights has {len(weights)} entries, but there are nuclei of class {classes.max()}; "
                "expected one for each class and one, the first, for nuclei without a class"
            )
        return np.asarray(weights[classes], np.float64)


def _mirrored(start: int, size: int, length: int) -> NDArray[np.intp]:
    """Give indices start..start + size, mirrored at the ends of 0..length as OpenCV's REFLECT_101."""
    if length == 1:
        return np.zeros(size, np.intp)
    period = 2 * (length - 1)
    at = np.arange(start, start + size) % period
    return np.minimum(at, period - at)


def _common_mpp(samples: Sequence[Sample]) -> float:
    if not samples:
        raise DataError(
            "there are no samples to draw patches from; check the split and the filters before it"
        )
    for sample in samples:
        if min(sample.image.shape[:2]) == 0:
            raise DataError(f"sample {sample.name!r} has no pixels; remove it")
        if not np.isclose(sample.mpp, samples[0].mpp, rtol=0.01):
            raise DataError(
                f"sample {sample.name!r} has {sample.mpp:g} micrometres per pixel, {samples[0].name!r} has "
                f"{samples[0].mpp:g}; resample all to one pixel size first with "
                "histoscope.data.resample(sample, mpp)"
            )
    return samples[0].mpp


def _checked(class_weights: Sequence[float]) -> tuple[float, ...]:
    weights = tuple(float(weight) for weight in class_weights)
    if not weights or min(weights) < 0 or not np.isfinite(weights).all() or max(weights) == 0:
        raise ConfigError(
            f"class_weights are {weights}, expected numbers of at least 0, and one of them above 0"
        )
    return weights


def _centers(sample: Sample, which: int) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Sample, row and column of the middle of each nucleus, (N, 3), and its class, (N,)."""
    if sample.instances is None or not sample.instances.any():
        return np.zeros((0, 3), np.intp), np.zeros(0, np.uint8)
    instances, ids = relabel(sample.instances)
    column, row = np.rint(centroids(instances, len(ids))[1]).T
    places = np.column_stack((np.full(len(ids), which), row, column)).astype(np.intp)
    classes = np.zeros(len(ids), np.uint8) if sample.classes is None else sample.classes[ids]
    return places, classes
