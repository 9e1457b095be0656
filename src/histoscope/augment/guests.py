"""Custom augmentations: their protocol, and an adapter for albumentations pipelines."""

import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from histoscope.augment.warp import renumber
from histoscope.errors import ConfigError
from histoscope.seeds import RandomSource, generator
from histoscope.types import Sample


class Augmenter(Protocol):
    """Protocol of a custom augmentation: any function ``(sample, rng) -> sample``.

    All random numbers must come from `rng`, which is seeded by the run's seed and the number of the patch: so
    a patch is the same whenever and wherever it is made. The input sample is never changed in place. The
    returned sample has the same size and resolution, and its image, instances and classes fit together.

    Examples
    --------
    >>> def flipped(sample, rng):
    ...     if rng.random() < 0.5:
    ...         return sample
    ...     image, instances = sample.image[:, ::-1], sample.instances[:, ::-1]
    ...     return replace(sample, image=np.ascontiguousarray(image), instances=instances)
    """

    def __call__(self, sample: Sample, rng: np.random.Generator, /) -> Sample:
        """Augment a copy of the sample."""
        ...


def augmented(sample: Sample, augmenter: Augmenter, rng: RandomSource) -> Sample:
    """Apply an augmenter to a patch and check its output.

    Raises
    ------
    ConfigError
        If the result is not a sample, has another size or resolution, or has lost its instance map.
    """
    changed = augmenter(sample, generator(rng))
    name = getattr(augmenter, "__qualname__", type(augmenter).__name__)
    if not isinstance(changed, Sample):
        raise ConfigError(f"augmentation {name} gives a {type(changed).__name__}, expected a Sample")
    if changed.image.shape != sample.image.shape or changed.mpp != sample.mpp:
        raise ConfigError(
            f"augmentation {name} gives {changed.image.shape} at {changed.mpp:g} um per pixel, expected "
            f"{sample.image.shape} at {sample.mpp:g}, like the patch; pad or crop inside it to the same size"
        )
    if (changed.instances is None) != (sample.instances is None):
        raise ConfigError(f"augmentation {name} drops the instance map; transform it together with the image")
    return changed


@dataclass(frozen=True, slots=True, eq=False)
class FromAlbumentations:
    """A pipeline of albumentations as an `Augmenter`; see `from_albumentations`."""

    pipeline: Any
    least_um2: float

    def __call__(self, sample: Sample, rng: RandomSource) -> Sample:
        """Change image, instances and classes together; what is drawn follows from `rng` alone."""
        pipeline = copy.deepcopy(self.pipeline)  # its state is of this patch alone: loaders work in threads
        pipeline.set_random_seed(int(generator(rng).integers(2**31)))
        image = np.ascontiguousarray(sample.image)
        if sample.instances is None:
            return replace(sample, image=_image(pipeline(image=image)["image"]))
        # Masks of floats are warped by OpenCV, those of whole numbers of 32 bits are not. Up to 2^24 ids are
        # exact in them, hence ids without gaps first.
        ids, labels = np.unique(sample.instances, return_inverse=True)
        labels = labels.reshape(sample.instances.shape) + (ids[0] > 0)
        ids = ids if ids[0] == 0 else np.append(0, ids)
        done = pipeline(image=image, masks=[labels.astype(np.float32)])
        moved = ids[np.rint(np.asarray(done["masks"][0])).astype(np.intp)].astype(np.int32)
        least_px = max(1, round(self.least_um2 / sample.mpp**2))
        instances, classes = renumber(moved, sample.classes, least_px)
        return replace(sample, image=_image(done["image"]), instances=instances, classes=classes)


def from_albumentations(pipeline: Any, *, least_um2: float = 1.0) -> FromAlbumentations:
    """Use an albumentations pipeline as an augmentation.

    Image and instance map go through it together; nuclei keep their classes, one in several pieces becomes
    several. Each patch seeds the pipeline from the run's seed and its own number, so a stopped run continues
    with the same patches, whatever the number of workers.

    Parameters
    ----------
    pipeline : albumentations.Compose
        Of 1.4.19 or later. Patches must come out as large as they went in.
    least_um2 : float
        Pieces of nuclei that are smaller become background.

    Raises
    ------
    ConfigError
        If it is not such a pipeline.

    Examples
    --------
    >>> import albumentations as A  # doctest: +SKIP
    >>> augment = from_albumentations(A.Compose([A.RandomRotate90()]))  # doctest: +SKIP
    """
    if not callable(pipeline) or not hasattr(pipeline, "set_random_seed"):
        raise ConfigError(
            f"from_albumentations got a {type(pipeline).__name__}, expected an albumentations.Compose that "
            "can be seeded (set_random_seed, albumentations 1.4.19 or later)"
        )
    return FromAlbumentations(pipeline, least_um2)


def _image(image: Any) -> Any:
    """Image as uint8 RGB; pipelines that end in floats or tensors are refused."""
    if getattr(image, "dtype", None) != np.uint8:
        raise ConfigError(
            "the albumentations pipeline returns an image of "
            f"{getattr(image, 'dtype', type(image).__name__)}, "
            "expected uint8; leave out Normalize and ToTensorV2: the model does that itself"
        )
    return np.ascontiguousarray(image)
