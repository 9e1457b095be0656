"""Leakage audit: patients, sources and images that two parts share, and label maps that do not fit."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from histoscope.data.base import Dataset
from histoscope.data.checks import UNREADABLE, Problem, Progress, check_placement, reason
from histoscope.data.leaks.copies import find_copies
from histoscope.data.leaks.landmarks import SIDE_PX, Landmarks, find_landmarks
from histoscope.data.split import shared_groups, unseen_classes
from histoscope.errors import ConfigError
from histoscope.files import read_image
from histoscope.words import count

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Leak:
    """Leak: a patient, source, name or image that two parts share.

    `left_name` and `right_name` are a sample in each part, the first of several; `what` is the shared
    patient, source or name, or how the right image is rotated; `count` is the number of samples of the shared
    group in both parts, 2 for images and names; `similarity` is the correlation of aligned images, otherwise
    1.
    """

    kind: str
    left: str
    right: str
    left_name: str
    right_name: str
    what: str
    count: int = 2
    similarity: float = 1.0


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Result of a leakage audit; printing it gives a table."""

    leaks: tuple[Leak, ...]
    sizes: Mapping[str, int]
    unreadable: tuple[str, ...] = ()
    unseen_classes: tuple[str, ...] = ()
    """Classes missing from the part called train, if there is one."""
    labels: tuple[Problem, ...] = ()
    """Label maps that cannot be read or do not match the nuclei of their image, as ``part/name``."""

    @property
    def clean(self) -> bool:
        """Whether nothing is shared, and label maps match their images."""
        return not self.leaks and not self.labels

    def counts(self) -> dict[str, int]:
        """Leaks of each kind."""
        return dict(Counter(leak.kind for leak in self.leaks))

    def rows(self) -> list[dict[str, Any]]:
        """Leaks as plain dictionaries, for a table or JSON."""
        return [asdict(leak) for leak in self.leaks]

    def __repr__(self) -> str:
        return f"AuditReport({self._in_short()})"

    def _in_short(self) -> str:
        sizes = ", ".join(f"{name} {size}" for name, size in self.sizes.items())
        found = [count(number, f"shared {kind}") for kind, number in self.counts().items()]
        found += [count(len(self.labels), "wrong label map")] * bool(self.labels)
        return f"{sizes}: {', '.join(found) or 'clean'}"

    def __str__(self) -> str:
        lines = [f"audit of {self._in_short()}"]
        for kind in self.counts():
            leaks = [leak for leak in self.leaks if leak.kind == kind]
            lines += [
                f"  {kind:8} {leak.left}/{leak.left_name} = {leak.right}/{leak.right_name}  {leak.what}"
                + (f"  (r = {leak.similarity:.3f})" if kind == "image" else f"  ({leak.count} samples)")
                for leak in leaks[:_SHOWN]
            ]
            if len(leaks) > _SHOWN:
                lines.append(f"  {kind:8} ... and {len(leaks) - _SHOWN} more")
        lines += [f"  {'labels':8} {problem.name}: {problem.message}" for problem in self.labels[:_SHOWN]]
        if len(self.labels) > _SHOWN:
            lines.append(f"  {'labels':8} ... and {len(self.labels) - _SHOWN} more")
        if self.unseen_classes:
            lines.append(f"  never seen in training: class {', '.join(self.unseen_classes)}")
        if self.unreadable:
            lines.append(
                f"  {len(self.unreadable)} images could not be read and were not compared: "
                + ", ".join(self.unreadable[:3])
            )
        return "\n".join(lines)


def audit(
    parts: Mapping[str, Dataset],
    *,
    min_similarity: float = 0.8,
    labels: bool = True,
    progress: Progress | None = None,
) -> AuditReport:
    """Leakage audit: compare every part with every other, and label maps with their images.

    Patients, sources and names are compared as written. Images are compared by
    `data.leaks.copies.find_copies`, which finds those that were flipped, rotated by any angle, zoomed,
    skewed, saved again, rescaled, made brighter or paler, and those that partly overlap. Label maps are
    checked by `histoscope.data.alignment.misplaced`, as `Dataset.verify` does.

    Parameters
    ----------
    parts : mapping of str to Dataset
        Such as ``split.parts()``, or the data sets of a training and a test cohort.
    min_similarity : float
        Minimum correlation of two aligned images in their overlap to count as the same, in (0, 1].
    labels : bool
        Whether to read and check label maps; it takes about as long as the images.
    progress : callable, optional
        Called with (images read, all images).

    Returns
    -------
    AuditReport

    Raises
    ------
    ConfigError
        If there are fewer than two parts or `min_similarity` is out of range.
    """
    if len(parts) < 2:
        raise ConfigError(
            f"an audit compares parts, got {len(parts)}, expected at least two, such as train and test"
        )
    if not 0 < min_similarity <= 1:
        raise ConfigError(f"min_similarity is {min_similarity}, expected a correlation above 0 and up to 1")
    problems: list[Problem] = []
    images, unreadable = landmarks_of(parts, progress, problems if labels else None)
    leaks = [
        Leak(kind, left, right, a[0], b[0], group, len(a) + len(b))
        for kind in ("patient", "source", "name")
        for left, right in combinations(parts, 2)
        for group, (a, b) in shared_groups({left: parts[left], right: parts[right]}, kind)
    ]
    places = [(name, record.name) for name, part in parts.items() for record in part.records]
    number = np.repeat(np.arange(len(parts)), [len(part) for part in parts.values()])
    for copy in find_copies(images, number, min_similarity):
        (left, left_name), (right, right_name) = places[copy.left], places[copy.right]
        similarity = round(copy.similarity, 4)
        leaks.append(Leak("image", left, right, left_name, right_name, str(copy.turn), similarity=similarity))
    unseen = unseen_classes(parts["train"], *parts.values()) if "train" in parts else []
    sizes = {name: len(part) for name, part in parts.items()}
    return AuditReport(tuple(leaks), sizes, unreadable, tuple(unseen), tuple(problems))


def landmarks_of(
    parts: Mapping[str, Dataset],
    progress: Progress | None = None,
    problems: list[Problem] | None = None,
) -> tuple[list[Landmarks], tuple[str, ...]]:
    """Landmarks of every image of every part, and the names of those that could not be read.

    Unreadable images have no landmarks, so they match nothing. If `problems` is given, label maps are
    checked, and their problems are appended.
    """
    total = sum(map(len, parts.values()))
    images: list[Landmarks] = []
    unreadable: list[str] = []
    for name, part in parts.items():
        seen = _read(part, labels=problems is not None)
        for record, (found, wrong) in zip(part.records, seen, strict=True):
            if found is None:
                unreadable.append(f"{name}/{record.name}")
            elif problems is not None:
                problems += [replace(problem, name=f"{name}/{record.name}") for problem in wrong]
            images.append(found if found is not None else find_landmarks(np.zeros((2, 2), np.uint8)))
            if progress is not None:
                progress(len(images), total)
    return images, tuple(unreadable)


def _read(dataset: Dataset, *, labels: bool) -> Iterator[tuple[Landmarks | None, list[Problem]]]:
    """Landmarks of each image, None if it cannot be read, and problems of its label map."""

    def read(index: int) -> tuple[Landmarks | None, list[Problem]]:
        record = dataset.records[index]
        try:
            path = dataset.image_path(index)
            found = find_landmarks(
                dataset[index].image if path is None else read_image(path, least_px=SIDE_PX)
            )
        except UNREADABLE:
            return None, []
        try:
            has_map = labels and record.label is None  # a whole patch has none
            return found, check_placement(dataset[index]) if has_map else []
        except UNREADABLE as error:
            return found, [Problem(record.name, "error", reason(error))]

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders release the interpreter
        yield from pool.map(read, range(len(dataset)))
