"""All augmentations of one sample: geometry, colour, blur, noise, in this order."""

from dataclasses import replace

import numpy as np

from histoscope.augment.color import add_noise, blur, recolor
from histoscope.augment.params import AugmentConfig, AugmentParams, sample_params
from histoscope.augment.warp import renumber, source_map, turn, warp_image, warp_labels
from histoscope.errors import ConfigError, ShapeError
from histoscope.seeds import RandomSource
from histoscope.types import Image, Sample


def augment(
    sample: Sample, config: AugmentConfig, rng: RandomSource, *, size_px: int | None = None
) -> Sample:
    """Augment a sample at random: sample the parameters and apply them.

    Parameters
    ----------
    sample : Sample
        With or without instances; never changed.
    config : AugmentConfig
        What may happen, such as ``AUGMENTATIONS["default"]``.
    rng : int or numpy.random.Generator
        Where the draw comes from; a seed draws the same each time.
    size_px : int, optional
        Give the square of this side in the middle. From a sample larger by `margin_px` on each side it comes
        without mirrored borders.

    Returns
    -------
    Sample

    Raises
    ------
    ShapeError
        If the sample is smaller than `size_px`.
    ConfigError
        If `config` is no AugmentConfig, as a name is not: `get` gives those.
    """
    if not isinstance(config, AugmentConfig):
        raise ConfigError(
            f"augmentation is {config!r}, expected AugmentConfig, such as histoscope.augment.get('default')"
        )
    return apply(sample, config, sample_params(config, rng), size_px=size_px)


def apply(
    sample: Sample, config: AugmentConfig, params: AugmentParams, *, size_px: int | None = None
) -> Sample:
    """Apply the sampled parameters of an augmentation to a sample.

    Image (linear), instances and classes (nearest) move by the same map; beyond the border all are mirrored.
    After a cut or a warp the nuclei are numbered from 1 without gaps: one in several pieces becomes several
    of its class, and pieces under ``config.sliver_um2`` become background. Turns and flips alone keep ids.

    Parameters
    ----------
    sample : Sample
        Never changed.
    config : AugmentConfig
        The amount and spacing of the elastic deformation, and the size of slivers.
    params : AugmentParams
        From `sample_params`.
    size_px : int, optional
        As in `augment`, and so are the errors.
    """
    moved = _move(sample, config, params, size_px)
    image = _repaint(moved.image, params, sample.mpp)
    return moved if image is moved.image else replace(moved, image=image)


def _move(sample: Sample, config: AugmentConfig, params: AugmentParams, size_px: int | None) -> Sample:
    shape = sample.image.shape[:2]
    out_shape = (shape[::-1] if params.turns % 2 else shape) if size_px is None else (size_px, size_px)
    if size_px is not None and size_px > min(shape):
        raise ShapeError(
            f"sample {sample.name!r} is {shape[0]} x {shape[1]} px, smaller than the {size_px} px of the "
            "output; cut it with histoscope.train.patches.crop, which mirrors images at their border"
        )
    instances, classes = sample.instances, sample.classes
    if params.warps:
        x, y = source_map((shape[0], shape[1]), (out_shape[0], out_shape[1]), config, params, sample.mpp)
        image = warp_image(sample.image, x, y)
        instances = None if instances is None else warp_labels(instances, x, y)
    elif params.turns or params.flip or out_shape != shape:
        middle = tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(shape, out_shape, strict=True))
        whole = size_px is None
        image = np.ascontiguousarray(turn(sample.image if whole else sample.image[middle], params))
        if instances is not None:
            instances = np.ascontiguousarray(turn(instances if whole else instances[middle], params))
    else:
        return sample
    if instances is not None and (params.warps or size_px is not None):
        min_px = max(1, round(config.sliver_um2 / sample.mpp**2))
        instances, classes = renumber(instances, classes, min_px)
    return replace(sample, image=image, instances=instances, classes=classes)


def _repaint(image: Image, params: AugmentParams, mpp: float) -> Image:
    if params.recolors:
        image = recolor(image, params)
    if params.blur_um > 0:
        image = blur(image, params.blur_um / mpp)
    if params.noise_levels > 0:
        image = add_noise(image, params.noise_levels, params.noise_seed)
    return image
