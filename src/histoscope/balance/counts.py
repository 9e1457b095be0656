"""How often each class occurs in labelled samples."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import DataError
from histoscope.types import Sample


def class_counts(samples: Iterable[Sample], *, n_classes: int | None = None) -> NDArray[np.int64]:
    """Nuclei of each class in all samples.

    Parameters
    ----------
    samples : iterable of Sample
        Those without an instance map count nothing; nuclei without classes are of class 0.
    n_classes : int, optional
        Classes are 1 to `n_classes`; without, to the largest that occurs.

    Returns
    -------
    (n_classes + 1,) int64
        The first entry is of nuclei without a class.

    Raises
    ------
    DataError
        If a class is above `n_classes`.

    Examples
    --------
    >>> labels = np.array([[1, 1, 0, 2, 3]], np.int32)
    >>> sample = Sample(np.zeros((1, 5, 3), np.uint8), 0.5, labels, np.array([0, 2, 2, 0], np.uint8))
    >>> class_counts([sample], n_classes=3)
    array([1, 0, 2, 0])
    """
    total = np.zeros(1 if n_classes is None else n_classes + 1, np.int64)
    for sample in samples:
        if sample.instances is None:
            continue
        ids = np.flatnonzero(_pixels_of_ids(sample))
        counts = np.bincount(_classes(sample)[ids[ids > 0]], minlength=len(total))
        total = np.pad(total, (0, _room(sample, counts, n_classes) - len(total))) + counts
    return total


def class_pixels(samples: Iterable[Sample], *, n_classes: int | None = None) -> NDArray[np.int64]:
    """Pixels of each class in each sample.

    Parameters
    ----------
    samples, n_classes
        As of `class_counts`, and so are the errors; samples without an instance map are all background.

    Returns
    -------
    (N, n_classes + 1) int64
        The first column is of background and nuclei without a class.

    Examples
    --------
    >>> labels = np.array([[1, 1, 0, 2, 3]], np.int32)
    >>> sample = Sample(np.zeros((1, 5, 3), np.uint8), 0.5, labels, np.array([0, 2, 2, 0], np.uint8))
    >>> class_pixels([sample])
    array([[2, 0, 3]])
    """
    rows = []
    for sample in samples:
        pixels = _pixels_of_ids(sample)
        ids = np.flatnonzero(pixels)
        counts = np.bincount(_classes(sample)[ids], weights=pixels[ids], minlength=(n_classes or 0) + 1)
        _room(sample, counts, n_classes)
        rows.append(counts.astype(np.int64))
    width = max((len(row) for row in rows), default=(n_classes or 0) + 1)
    return np.array([np.pad(row, (0, width - len(row))) for row in rows], np.int64).reshape(-1, width)


def _pixels_of_ids(sample: Sample) -> NDArray[np.int64]:
    if sample.instances is None:
        return np.array([sample.image.shape[0] * sample.image.shape[1]], np.int64)
    return np.bincount(sample.instances.ravel(), minlength=1).astype(np.int64)


def _classes(sample: Sample) -> NDArray[np.uint8]:
    """Class of each id; the entry of background is 0 whatever the sample says there."""
    top = 0 if sample.instances is None else int(sample.instances.max(initial=0))
    classes = np.zeros(top + 1, np.uint8)
    if sample.classes is not None:
        classes[1:] = sample.classes[1 : top + 1]
    return classes


def _room(sample: Sample, counts: NDArray[np.generic], n_classes: int | None) -> int:
    if n_classes is not None and len(counts) > n_classes + 1:
        raise DataError(
            f"sample {sample.name!r} has nuclei of class {len(counts) - 1}; expected at most {n_classes}"
        )
    return len(counts)
