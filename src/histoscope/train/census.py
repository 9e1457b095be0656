"""Images, patients, nuclei and classes of each part, reported before training."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from histoscope.balance import class_counts
from histoscope.data import Split
from histoscope.errors import DataError
from histoscope.models.base import Model
from histoscope.types import Record, Sample
from histoscope.words import count, listed

NO_CLASS = "without a class"
PARTS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class Count:
    """Contents of one part.

    Parameters
    ----------
    part : str
        ``train``, ``val`` or ``test``.
    images : int
    groups : dict of str to int
        ``patients`` or ``sources`` -> how many; empty where they are not known.
    nuclei : int or None
        None for whole patches.
    classes : dict of str to int
        Nuclei or patches of each class that occurs.
    """

    part: str
    images: int
    groups: dict[str, int] = field(default_factory=dict)
    nuclei: int | None = None
    classes: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        what = "image" if self.nuclei is not None else "patch"
        words = [f"{PARTS[self.part]}: {count(self.images, what)}"]
        words += [f"of {count(n, kind.removesuffix('s'))}" for kind, n in self.groups.items()]
        inside = ", ".join(f"{name}: {n:,}" for name, n in self.classes.items())
        if self.nuclei is None:
            return " ".join(words) + (f" ({inside})" if inside else "")
        return " ".join(words) + f", {count(self.nuclei, 'nucleus')}" + (f" ({inside})" if inside else "")


def count_nuclei(
    part: str, records: Sequence[Record], samples: Iterable[Sample], names: Mapping[int, str]
) -> Count:
    """Count images, patients and nuclei; each sample is read once.

    Raises
    ------
    DataError
        If a sample has no instance map, or a class that the data set does not name.
    """
    counts = class_counts(map(_with_truth, samples), n_classes=max(names, default=0) or None)
    classes = {
        names.get(number, f"class {number}"): int(n) for number, n in enumerate(counts) if number and n
    }
    if classes and counts[0]:
        classes[NO_CLASS] = int(counts[0])
    return Count(part, len(records), _groups(records), int(counts.sum()), classes)


def count_patches(part: str, records: Sequence[Record], names: Mapping[int, str]) -> Count:
    """Count patches, their groups and classes; no pixel is read."""
    labels = Counter(record.label for record in records if record.label is not None)
    classes = {names.get(label, f"class {label}"): labels[label] for label in sorted(labels)}
    return Count(part, len(records), _groups(records), None, classes)


def lines(
    parts: Split, train: list[Sample], val: list[Sample], model: Model, arguments: Mapping[str, Any]
) -> Iterator[str]:
    """Lines on the contents of each part, and on classes without training nuclei.

    Parameters
    ----------
    parts : Split
        Of the data set; the test part is read once.
    train, val : list of Sample
        What is in memory of the other two.
    model : Model
    arguments : mapping
        That the model was given.

    Raises
    ------
    DataError
        If a sample has no instance map, or a class that the data set does not name.
    """
    names = parts.train.info.classes
    read: dict[str, Iterable[Sample]] = {"train": train, "val": val, "test": parts.test}
    counts = [count_nuclei(name, part.records, read[name], names) for name, part in parts if len(part)]
    yield from map(str, counts)
    yield from warnings_of(counts, names, model, arguments)


def warnings_of(counts: Sequence[Count], names: Mapping[int, str], model: Model, arguments: Any) -> list[str]:
    """Warnings before a network of nuclei is trained: classes that it cannot learn."""
    learned = counts[0].classes.keys() - {NO_CLASS}
    if not names and learned and "classes" not in arguments and _could_tell(model):
        told = "are not learned. Name them in its dataset.yaml, such as 'classes: {1: tumour, 2: lymphocyte}'"
        return [f"warning: label maps hold {listed(sorted(learned))}, but no class has a name: they {told}"]
    said = []
    wanted = [name for each in counts[1:] for name in each.classes if name != NO_CLASS]
    for name in dict.fromkeys([*model.spec.classes, *wanted]):
        if name not in learned:
            elsewhere = [
                f"{PARTS[c.part]} part ({c.classes[name]:,})" for c in counts[1:] if name in c.classes
            ]
            where = f"it occurs in the {listed(elsewhere)} alone" if elsewhere else "it occurs in no part"
            said.append(f"warning: no training nucleus is of class {name!r}, so it is not learned: {where}")
    return said


def _could_tell(model: Model) -> bool:
    from inspect import signature

    return "classes" in signature(type(model)).parameters


def _with_truth(sample: Sample) -> Sample:
    if sample.instances is None:
        raise DataError(f"sample {sample.name!r} has no instance map; train and test on labelled images")
    return sample


def _groups(records: Sequence[Record]) -> dict[str, int]:
    """Number of patients, or else of sources, if every record has one."""
    for key in ("patient", "source"):
        values = [record.group(key) for record in records]
        if values and all(values):
            return {f"{key}s": len(set(values))}
    return {}
