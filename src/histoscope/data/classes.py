"""Class names matched between data sets and models, and classes numbered accordingly."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from histoscope.data.base import Dataset, Datasheet
from histoscope.errors import DataError
from histoscope.types import Record, Sample, class_key

HOW = (
    "classes are matched by their names (capitals and spaces do not count): rename them in dataset.yaml, "
    "classes.json or the index"
)


@dataclass(frozen=True, slots=True)
class ClassMatch:
    """Match of the classes of a data set with those of a model (or of another data set).

    Parameters
    ----------
    number : mapping of int to int
        Class number in the data set -> wanted number, for classes that both have.
    foreign : mapping of int to str
        Classes that only the data set has.
    lacking : mapping of int to str
        Classes that the data set lacks.
    """

    number: Mapping[int, int]
    foreign: Mapping[int, str]
    lacking: Mapping[int, str]


def match_classes(theirs: Mapping[int, str], wanted: Mapping[int, str]) -> ClassMatch:
    """Match the classes of a data set with a model's by name; capitals and spaces do not matter.

    Parameters
    ----------
    theirs, wanted : mapping of int to str
        Number and name of each class. Wanted classes that start at 1 are of nuclei: a 0 in the data set is
        then the background, whatever its name, and not a class.

    Raises
    ------
    DataError
        If a name matches two wanted classes and is spelt like neither.

    Examples
    --------
    >>> match_classes({1: "stroma", 2: "Tumour", 3: "debris"}, {1: "tumour", 2: "stroma", 3: "immune"})
    ClassMatch(number={1: 2, 2: 1}, foreign={3: 'debris'}, lacking={3: 'immune'})
    """
    theirs = {place: name for place, name in theirs.items() if place or 0 in wanted}
    number = {place: found for place, name in theirs.items() if (found := _find(name, wanted)) is not None}
    return ClassMatch(
        number,
        {place: name for place, name in theirs.items() if place not in number},
        {place: name for place, name in wanted.items() if place not in number.values()},
    )


def renumbered(dataset: Dataset, wanted: Mapping[int, str], *, whose: str = "the model") -> Dataset:
    """A training data set with its classes numbered as a model's.

    Parameters
    ----------
    dataset : Dataset
        Without class names it may have no classes at all: it then teaches where nuclei are, but no class.
    wanted : mapping of int to str
        Classes of nuclei (from 1) or of patches (from 0); all that the data set has must be among them.
    whose : str
        What the wanted classes belong to, for the message.

    Raises
    ------
    DataError
        If the data set has a class that is not wanted, or classes without names (for nuclei, this shows only
        when a sample is read).
    """
    match = match_classes(dataset.info.classes, wanted)
    if match.foreign:
        raise DataError(
            f"data set {dataset.info.name!r} has the classes {listed(dataset.info.classes)}, {whose} has "
            f"{listed(wanted)}; only the data set has {listed(match.foreign)}; {HOW}"
        )
    labelled = next((record for record in dataset.records if record.label is not None), None)
    if labelled is not None and not match.number:
        raise _unnamed(dataset, f"patch {labelled.name!r} is of class {labelled.label}")
    return numbered(dataset, match.number, wanted)


def numbered(dataset: Dataset, number: Mapping[int, int], classes: Mapping[int, str]) -> Dataset:
    """A data set with new numbers (old to new) for its classes; the same one if nothing changes.

    `classes` names the new numbers. A sample of a class without a number is an error when it is read.
    """
    theirs = dataset.info.classes
    same = theirs and all(old == new and theirs[old] == classes[new] for old, new in number.items())
    return dataset if same and len(theirs) == len(number) else _Numbered(dataset, number, classes)


def renamed(dataset: Dataset, names: Mapping[str, str]) -> Dataset:
    """A data set with new names for its classes; numbers stay the same.

    Parameters
    ----------
    dataset : Dataset
    names : mapping of str to str
        Class name in the data set -> new name.

    Raises
    ------
    DataError
        If the data set has no class with such a name.
    """
    theirs = dict(dataset.info.classes)
    for old, new in names.items():
        number = _find(old, dataset.info.classes)
        if number is None:
            raise DataError(
                f"data set {dataset.info.name!r} has no class {old!r}; it has {listed(dataset.info.classes)}"
            )
        theirs[number] = new
    return _Numbered(dataset, {number: number for number in theirs}, theirs) if names else dataset


def listed(classes: Mapping[int, str]) -> str:
    """Names of classes in the order of their numbers, for messages."""
    return ", ".join(classes[number] for number in sorted(classes)) or "(none)"


class _Numbered(Dataset):
    def __init__(self, dataset: Dataset, number: Mapping[int, int], classes: Mapping[int, str]) -> None:
        self._dataset, self._number = dataset, {0: 0, **number} if 0 not in classes else dict(number)
        self._classes = classes if number else {}

    @property
    def info(self) -> Datasheet:
        return replace(self._dataset.info, classes=self._classes)

    @cached_property
    def records(self) -> tuple[Record, ...]:
        return tuple(
            replace(record, label=self._new(record.label, record.name)) for record in self._dataset.records
        )

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        classes = sample.classes
        if classes is not None:
            olds, place = np.unique(classes, return_inverse=True)
            classes = np.array([self._new(old, sample.name) for old in olds.tolist()], np.uint8)[place]
        return replace(sample, label=self._new(sample.label, sample.name), classes=classes)

    def image_path(self, index: int) -> Path | None:
        return self._dataset.image_path(index)

    def data_name(self, index: int) -> str:
        return self._dataset.data_name(index)

    def _new(self, old: int | None, name: str) -> int | None:
        if old is None:
            return None
        if old not in self._number:
            raise _unnamed(self._dataset, f"{name!r} has class {old}")
        return self._number[old]


def _unnamed(dataset: Dataset, what: str) -> DataError:
    return DataError(
        f"{what}, but data set {dataset.info.name!r} names the classes {listed(dataset.info.classes)}; "
        "name every class in dataset.yaml or classes.json, or remove the class maps"
    )


def _find(name: str, wanted: Mapping[int, str]) -> int | None:
    """Number of the class of that name: spelt the same, otherwise ignoring capitals and spaces."""
    exact = [number for number, other in wanted.items() if other == name]
    alike = exact or [number for number, other in wanted.items() if class_key(other) == class_key(name)]
    if len(alike) > 1:
        raise DataError(
            f"class {name!r} matches {' and '.join(repr(wanted[number]) for number in alike)}; spell it "
            "like one of them"
        )
    return alike[0] if alike else None
