"""Data sets derived from data sets: subsets, changes, copies in memory, and a common pixel size."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from histoscope.data.base import Dataset, Datasheet, count_records
from histoscope.data.checks import UNREADABLE, Problem, Progress, reason
from histoscope.data.classes import HOW, listed, match_classes, renumbered
from histoscope.errors import DataError
from histoscope.labels import relabel
from histoscope.types import Labels, Record, Sample


class _Subset(Dataset):
    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self._dataset, self._indices = dataset, tuple(indices)

    @property
    def info(self) -> Datasheet:
        return replace(self._dataset.info, counts=count_records(self.records))

    @cached_property
    def records(self) -> tuple[Record, ...]:
        records = self._dataset.records
        return tuple(records[index] for index in self._indices)

    def __getitem__(self, index: int) -> Sample:
        return self._dataset[self._indices[index]]

    def image_path(self, index: int) -> Path | None:
        return self._dataset.image_path(self._indices[index])

    def data_name(self, index: int) -> str:
        return self._dataset.data_name(self._indices[index])


class _Mapped(Dataset):
    def __init__(self, dataset: Dataset, function: Callable[[Sample], Sample]) -> None:
        self._dataset, self._function = dataset, function

    @property
    def info(self) -> Datasheet:
        return self._dataset.info

    @property
    def records(self) -> tuple[Record, ...]:
        return self._dataset.records

    def __getitem__(self, index: int) -> Sample:
        return self._function(self._dataset[index])

    def data_name(self, index: int) -> str:
        return self._dataset.data_name(index)


class _Joined(Dataset):
    def __init__(self, datasets: Sequence[Dataset], classes: Mapping[int, str]) -> None:
        self._datasets, self._classes = tuple(datasets), classes
        self._places = [(part, index) for part in self._datasets for index in range(len(part))]

    @property
    def info(self) -> Datasheet:
        sheets = [part.info for part in self._datasets]
        text = {
            key: "; ".join(dict.fromkeys(value for sheet in sheets if (value := getattr(sheet, key))))
            for key in ("name", "title", "url", "licence", "citation")
        }
        origins = tuple(dict.fromkeys(row for sheet in sheets for row in sheet.origins))
        resolutions = {sheet.mpp for sheet in sheets}
        mpp = resolutions.pop() if len(resolutions) == 1 else 0.0
        counts = count_records(self.records)
        return Datasheet(**text, classes=self._classes, mpp=mpp, counts=counts, origins=origins)

    @cached_property
    def records(self) -> tuple[Record, ...]:
        return tuple(record for part in self._datasets for record in part.records)

    def __getitem__(self, index: int) -> Sample:
        part, place = self._places[index]
        return part[place]

    def image_path(self, index: int) -> Path | None:
        part, place = self._places[index]
        return part.image_path(place)

    def data_name(self, index: int) -> str:
        part, place = self._places[index]
        return part.data_name(place)


class InMemory(Dataset):
    """Samples in memory; also a way to make a data set from your own arrays.

    Examples
    --------
    >>> sample = Sample(image=np.zeros((8, 8, 3), np.uint8), mpp=0.5, name="a")
    >>> dataset = InMemory.of([sample], Datasheet("mine", mpp=0.5))
    >>> dataset, dataset[0]
    (InMemory('mine', 1 image, 0.5 um a pixel), Sample('a', 8 x 8 pixels of 0.5 um))
    """

    def __init__(self, info: Datasheet, records: Sequence[Record], samples: Sequence[Sample]) -> None:
        self._info, self._records, self.samples = info, tuple(records), tuple(samples)

    @property
    def info(self) -> Datasheet:
        """The datasheet."""
        return self._info

    @property
    def records(self) -> tuple[Record, ...]:
        """One for each sample."""
        return self._records

    @classmethod
    def of(cls, samples: Iterable[Sample], info: Datasheet) -> "InMemory":
        """Make a data set from samples; records are made from their names, patients, sources and labels."""
        samples = tuple(samples)
        records = tuple(Record(s.name, patient=s.patient, source=s.source, label=s.label) for s in samples)
        return cls(replace(info, counts=count_records(records)), records, samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def subset(dataset: Dataset, indices: Iterable[int]) -> Dataset:
    """Take the samples at `indices`, in that order; nothing is read.

    Raises
    ------
    DataError
        If an index is outside the data set.
    """
    chosen = [int(index) for index in indices]
    n = len(dataset)
    wrong = [index for index in chosen if not 0 <= index < n]
    if wrong:
        raise DataError(f"index {wrong[0]} is outside {dataset.info.name!r}, which has samples 0 to {n - 1}")
    return _Subset(dataset, chosen)


def readable(dataset: Dataset, *, progress: Progress | None = None) -> tuple[Dataset, list[Problem]]:
    """Read every sample once; returns the readable ones, and the problems of the others.

    Parameters
    ----------
    dataset : Dataset
        What to read.
    progress : callable, optional
        Called with (samples done, all samples).
    """
    kept, skipped = [], []
    for index, record in enumerate(dataset.records):
        try:
            dataset[index]
        except UNREADABLE as error:
            skipped.append(Problem(record.name, "error", reason(error)))
        else:
            kept.append(index)
        if progress is not None:
            progress(index + 1, len(dataset))
    return (subset(dataset, kept) if skipped else dataset), skipped


def mapped(dataset: Dataset, function: Callable[[Sample], Sample]) -> Dataset:
    """Give the same data set with `function` applied to each sample when it is read."""
    return _Mapped(dataset, function)


def joined(datasets: Sequence[Dataset]) -> Dataset:
    """Several data sets as one, in their order.

    Classes are those of the first data set that has any. The others must have the same, by name; if they are
    numbered differently, numbers are changed. Nuclei of data sets without classes stay without one: they
    teach a network where nuclei are, but no class.

    Parameters
    ----------
    datasets : sequence of Dataset
        At least one.

    Raises
    ------
    DataError
        If there is none, if two have images with the same name, or if two have different classes.
    """
    if not datasets:
        raise DataError("there are no data sets to join; give at least one data set")
    first = next((part.info for part in datasets if part.info.classes), None)
    if first is not None:
        datasets = [_in_classes_of(first, part) for part in datasets]
    classes = {} if first is None else first.classes
    names = Counter(record.name for part in datasets for record in part.records)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise DataError(f"{len(twice)} image name(s) are in two data sets, such as {twice[0]!r}; rename them")
    return datasets[0] if len(datasets) == 1 else _Joined(datasets, classes)


def _in_classes_of(first: Datasheet, part: Dataset) -> Dataset:
    """`part` with the numbers that `first` has for the same classes."""
    theirs = part.info.classes
    if theirs and match_classes(theirs, first.classes).lacking:
        raise DataError(
            f"data set {part.info.name!r} has the classes {listed(theirs)}, but {first.name!r} has "
            f"{listed(first.classes)}; {HOW}"
        )
    return renumbered(part, first.classes, whose=repr(first.name))


def in_memory(dataset: Dataset, *, progress: Progress | None = None) -> InMemory:
    """Read everything once.

    Parameters
    ----------
    dataset : Dataset
        What to read.
    progress : callable, optional
        Called with (samples read, all samples) after each.
    """
    samples = []
    for index in range(len(dataset)):
        samples.append(dataset[index])
        if progress is not None:
            progress(index + 1, len(dataset))
    return InMemory(dataset.info, tuple(dataset.records), tuple(samples))


def resample(sample: Sample, mpp: float) -> Sample:
    """Resample a sample to another pixel size.

    The image is averaged over areas when it shrinks and interpolated linearly when it grows; label maps take
    the nearest pixel. Nuclei that vanish are dropped, and the others are renumbered without gaps.

    Parameters
    ----------
    sample : Sample
        The sample to resample.
    mpp : float
        Wanted micrometres per pixel.

    Returns
    -------
    Sample
        Of shape (round(H * sample.mpp / mpp), round(W * sample.mpp / mpp)), at least 1 x 1; the same object
        if the pixel size differs by less than one in a thousand.

    Raises
    ------
    DataError
        If `mpp` is not above 0.

    Examples
    --------
    >>> sample = Sample(image=np.zeros((100, 80, 3), np.uint8), mpp=0.25)
    >>> resample(sample, 0.5).image.shape
    (50, 40, 3)
    """
    if not 0 < mpp < np.inf:
        raise DataError(f"cannot resample to mpp {mpp}; expected micrometres per pixel above 0, such as 0.5")
    if abs(sample.mpp / mpp - 1) < 1e-3:
        return sample
    import cv2

    height, width = (max(1, round(side * sample.mpp / mpp)) for side in sample.image.shape[:2])
    shrinks = mpp > sample.mpp
    image = cv2.resize(
        sample.image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    instances, classes = sample.instances, sample.classes
    if instances is not None:
        instances, classes = compact(_nearest(instances, height, width), classes)
    return replace(sample, image=np.asarray(image, np.uint8), mpp=mpp, instances=instances, classes=classes)


def compact(
    instances: Labels, classes: NDArray[np.uint8] | None = None
) -> tuple[Labels, NDArray[np.uint8] | None]:
    """Renumber instances 1..N without gaps, in the order of their ids, and their classes with them.

    Examples
    --------
    >>> compact(np.array([[0, 2, 5]], np.int32), np.array([0, 9, 1, 9, 9, 3], np.uint8))
    (array([[0, 1, 2]], dtype=int32), array([0, 1, 3], dtype=uint8))
    """
    numbered, ids = relabel(instances)
    return numbered, None if classes is None else classes[np.append(0, ids)]


def _nearest(labels: Labels, height: int, width: int) -> Labels:
    # The source pixel under the centre of each new pixel.
    rows = ((np.arange(height) + 0.5) * (labels.shape[0] / height)).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * (labels.shape[1] / width)).astype(np.intp)
    near: Labels = labels[
        np.minimum(rows, labels.shape[0] - 1)[:, None], np.minimum(columns, labels.shape[1] - 1)
    ]
    return near
