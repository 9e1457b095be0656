"""Digests of images and samples."""

import hashlib

import numpy as np

from histoscope.types import Image, Sample


def digest_of(image: Image) -> str:
    """Digest of decoded pixels and shape; the same for every lossless format.

    Examples
    --------
    >>> dark = np.zeros((4, 6, 3), np.uint8)
    >>> digest_of(dark) == digest_of(dark.copy()), digest_of(dark) == digest_of(dark.reshape(6, 4, 3))
    (True, False)
    """
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image, np.uint8).data)
    return digest.hexdigest()


def digest_of_sample(sample: Sample, about: str = "") -> str:
    """Digest a sample: pixels, labels, classes, resolution.

    Examples
    --------
    >>> dark, light = (Sample(np.full((4, 4, 3), grey, np.uint8), 0.5) for grey in (0, 255))
    >>> digest_of_sample(dark) == digest_of_sample(dark), digest_of_sample(dark) == digest_of_sample(light)
    (True, False)
    """
    arrays = [array for array in (sample.image, sample.instances, sample.classes) if array is not None]
    shapes = repr([(array.shape, str(array.dtype)) for array in arrays])
    return digest_of_parts(
        about, repr((sample.mpp, sample.label)), shapes, *(array.tobytes() for array in arrays)
    )


def digest_of_parts(*parts: str | bytes) -> str:
    """Digest texts and bytes, each with its length."""
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()
