"""Checks of samples and label maps, for `Dataset.verify`."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from histoscope.class_names import names_in_order
from histoscope.data.alignment import misplaced
from histoscope.errors import HistoscopeError
from histoscope.types import Labels, Record, Sample
from histoscope.words import count

if TYPE_CHECKING:
    from histoscope.data.base import Dataset

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (samples done, all samples)."""

UNREADABLE = (HistoscopeError, OSError, ValueError, MemoryError)
"""Errors on reading one sample: only that sample is left out."""

_MANY_PIECES = 5
"""A nucleus in this many pieces is not a nucleus; annotators leave up to four."""
_MASK_PIECES, _SPECK_PX = 3, 5
_BACKGROUND, _LEAST_SIDE_PX = 0.5, 32
"""No nucleus that touches all four edges covers this share of an image of at least so many pixels."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that `Dataset.verify` found wrong with the sample (or file) called `name`."""

    name: str
    severity: Literal["error", "warning"]
    message: str


def reason(error: BaseException) -> str:
    """One line on why a sample could not be read."""
    if isinstance(error, MemoryError):
        return f"not enough memory to read it ({str(error) or 'out of memory'})"
    return str(error) or type(error).__name__


def check_samples(
    dataset: "Dataset",
    progress: Progress | None = None,
    *,
    notes: Callable[[int], Iterable[str]] = lambda index: (),
) -> list[Problem]:
    """Problems of names, of every sample of a data set (each is read once), and of its classes.

    `notes` gives further warnings for the sample at an index, about problems that cannot be seen after
    reading.
    """
    problems = _doubled_names(dataset.records)
    used: Counter[int] = Counter()
    for index, record in enumerate(dataset.records):
        if progress is not None:
            progress(index + 1, len(dataset.records))
        try:
            sample = dataset[index]
            found = check_sample(sample, dataset.info.classes)
            found += [Problem(record.name, "warning", text) for text in notes(index)]
        except UNREADABLE as error:
            problems.append(Problem(record.name, "error", reason(error)))
            continue
        problems += found
        if sample.instances is not None and sample.classes is not None:
            used.update(classes_of_nuclei(sample).tolist())
    return problems + _check_use(dataset.info, used)


def classes_of_nuclei(sample: Sample) -> NDArray[np.uint8]:
    """Class of each nucleus of a sample, (N,), 0 where it has none."""
    ids = np.setdiff1d(sample.instances, [0]) if sample.instances is not None else np.zeros(0, np.intp)
    return np.zeros(len(ids), np.uint8) if sample.classes is None else sample.classes[ids]


def count_nuclei(
    dataset: "Dataset", progress: Progress | None = None
) -> tuple[dict[str, int], list[Problem]]:
    """Nuclei of a data set, and the samples that could not be read and are not counted.

    Counts are for ``all`` and for each class by name; there are none if no sample has a label map. Whole
    patches are not read, since they have no nuclei.
    """
    if all(record.label is not None for record in dataset.records):
        return {}, []
    names, used, labelled = dataset.info.classes, Counter[int](), False
    failed = []
    for index, record in enumerate(dataset.records):
        try:
            sample = dataset[index]
        except UNREADABLE as error:
            failed.append(Problem(record.name, "error", reason(error)))
        else:
            labelled |= sample.instances is not None
            used.update(classes_of_nuclei(sample).tolist())
        if progress is not None:
            progress(index + 1, len(dataset.records))
    if not labelled:
        return {}, failed
    classes = sorted({*names, *used} - {0}) if names or set(used) - {0} else []
    counts = {"all": used.total()} | {names.get(kind, f"class {kind}"): used[kind] for kind in classes}
    return counts | ({"no class": used[0]} if classes and used[0] else {}), failed


def check_sample(sample: Sample, classes: Mapping[int, str] | None = None) -> list[Problem]:
    """Problems of one sample that could be read; `classes` are the names in its datasheet, if it has any."""
    problems = []
    if sample.image.size and sample.image.min() == sample.image.max():
        problems.append(
            Problem(sample.name, "warning", f"every pixel of the image is {sample.image.flat[0]}")
        )
    if sample.instances is None:
        return problems
    problems += _check_ids(sample.name, sample.instances)
    problems += _check_classes(sample, classes or {})
    return problems + check_placement(sample)


def check_placement(sample: Sample) -> list[Problem]:
    """Check whether a label map is rotated, flipped or shifted relative to its image, or from another one."""
    found = None if sample.instances is None else misplaced(sample.image, sample.instances)
    return [] if found is None else [Problem(sample.name, "error" if found.sure else "warning", str(found))]


def _check_ids(name: str, instances: Labels) -> list[Problem]:
    ids, areas = np.unique(instances, return_counts=True)
    ids, areas = ids[ids > 0], areas[ids > 0]
    if not ids.size:
        return [Problem(name, "warning", "the label map has no nuclei")]
    pieces, large = _pieces(instances, ids)
    if (background := _background(instances, ids, areas)) is not None:
        return [Problem(name, "error", background)]
    advice = "give each nucleus its own id (skimage.measure.label numbers connected regions)"
    if ids.size == 1 and pieces[0] > 1:
        text = f"one nucleus of {areas[0]} pixels in {pieces[0]} pieces (id {ids[0]})"
        if large[0] >= _MASK_PIECES or pieces[0] >= _MANY_PIECES:
            return [Problem(name, "error", f"this looks like a binary mask: {text}; {advice}")]
        return [Problem(name, "warning", f"{text}; if this is a binary mask, {advice}")]
    problems = []
    many = np.flatnonzero(pieces >= _MANY_PIECES)
    if many.size:
        worst = int(pieces.argmax())
        text = (
            f"{many.size} of {ids.size} nuclei are in {_MANY_PIECES} or more pieces "
            f"(id {ids[worst]}: {areas[worst]} pixels in {pieces[worst]} pieces)"
        )
        if 2 * many.size > ids.size:
            text = f"this looks like a map of classes or a damaged label map: {text}; {advice}"
        problems.append(Problem(name, "error" if 2 * many.size > ids.size else "warning", text))
    top = int(ids[-1])
    if ids.size < top:
        first = int(np.flatnonzero(np.append(ids, 0) != np.arange(1, ids.size + 2))[0]) + 1
        text = f"{top - ids.size} ids up to {top} do not occur (first: {first}); ids have gaps"
        problems.append(Problem(name, "warning", text))
    return problems


def _background(instances: Labels, ids: NDArray[np.int32], areas: NDArray[np.int64]) -> str | None:
    """Report an id that looks like the background, if any."""
    largest = int(areas.argmax())
    share, one = areas[largest] / instances.size, ids[largest]
    edges = instances[0], instances[-1], instances[:, 0], instances[:, -1]
    if (
        min(instances.shape) < _LEAST_SIDE_PX
        or share < _BACKGROUND
        or not all((edge == one).any() for edge in edges)
    ):
        return None
    return f"id {one} covers {share:.0%} of the image and touches all edges: it looks like the background (0)"


def _pieces(instances: Labels, ids: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Connected pieces of each id (N,), and those that are not specks; corners connect."""
    from skimage.measure import label

    regions = label(instances, background=0, connectivity=2)
    areas = np.bincount(regions.ravel())
    id_of = np.zeros(len(areas), np.int32)
    id_of[regions] = instances
    owner = np.searchsorted(ids, id_of[1:])
    every = np.bincount(owner, minlength=len(ids))
    return every, np.bincount(owner[areas[1:] >= _SPECK_PX], minlength=len(ids))


def unnamed_classes(sample: Sample, names: Mapping[int, str]) -> list[str]:
    """Report classes of a sample's nuclei that have no name; nothing if no class has one."""
    if not names or sample.classes is None:
        return []
    counts = Counter(classes_of_nuclei(sample).tolist())
    listed = ", ".join(f"{number}: {name}" for number, name in sorted(names.items()))
    return [
        f"{count(counts[kind], 'nucleus')} of class {kind}, which the datasheet does not name; it names "
        f"{listed}: add the class there, or write 0 for no class"
        for kind in sorted(set(counts) - {0, *names})
    ]


def _check_classes(sample: Sample, names: Mapping[int, str]) -> list[Problem]:
    problems = [Problem(sample.name, "error", text) for text in unnamed_classes(sample, names)]
    without = int((classes_of_nuclei(sample) == 0).sum()) if sample.classes is not None else 0
    if without:
        problems.append(Problem(sample.name, "warning", f"{without} nuclei have no class"))
    return problems


def _doubled_names(records: Sequence[Record]) -> list[Problem]:
    names = Counter(record.name for record in records)
    return [
        Problem(
            name,
            "error",
            f"the name occurs {times} times: in the index, or in files that differ only in their suffix "
            "(a.png, a.jpg); keep one",
        )
        for name, times in names.items()
        if times > 1
    ]


def _check_use(info: Any, used: Mapping[int, int]) -> list[Problem]:
    """Problems of the classes of a whole data set; `used` are the nuclei of each."""
    with_class = sorted(kind for kind, count in used.items() if kind and count)
    if not with_class:
        return []
    if not info.classes:
        text = (
            f"nuclei have the classes {', '.join(map(str, with_class))}, and no file names them: training "
            f"ignores them; add a line classes: {{{with_class[0]}: NAME, ...}} to dataset.yaml"
        )
        return [Problem(info.name, "warning", text)]
    names = names_in_order(info.classes)
    if not used.get(0) or len(names) in with_class or not set(range(1, len(names))) <= set(with_class):
        return []
    text = f"no nucleus has class {len(names)} ({names[-1]}), and {used[0]} have class 0, which is background"
    return [Problem(info.name, "warning", f"{text}: do the class maps count from 0?")]
