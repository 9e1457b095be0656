"""Survey of a data set before training: images, labels, classes, patients, pixel size."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from histoscope import stain
from histoscope.data import Dataset
from histoscope.data.base import Progress
from histoscope.data.checks import UNREADABLE, Problem, check_sample, classes_of_nuclei, reason
from histoscope.data.recognise import Recognised, recognise
from histoscope.data.split import PART_NAMES
from histoscope.errors import ConfigError, DataError
from histoscope.images.resolution import mpp_of
from histoscope.types import Record, Sample
from histoscope.words import count, listed

Task = Literal["nuclei", "patches"]

TASKS: tuple[Task, ...] = ("nuclei", "patches")
MOST_MAPS, MOST_PATCHES, MOST_STAINS = 120, 48, 24
"""Images that are read at most: with label maps, of patches, and for their stain."""
USUAL_UM = (4.0, 20.0)
"""Median diameters of nuclei, beyond which the pixel size is doubted."""
PATIENTS = ("patient", "patient_id", "donor", "subject", "subject_id", "case", "case_id", "participant")
SOURCES = ("source", "slide", "slide_id", "wsi", "block", "look_group", "fold")
"""Columns of an index that name whom, and where, an image is from."""
_SAME_MPP = 0.01


@dataclass(frozen=True, slots=True)
class Seen:
    """Properties of a data set that decide how to train on it.

    Parameters
    ----------
    root : Path
    reader : str
        A key of ``data.DATASETS``.
    dataset : Dataset
    task : {"nuclei", "patches"}
        What its labels teach.
    mpp : float
        Micrometres per pixel; of images that differ, the median.
    mpp_from : {"given", "data", "files"}
        Who says so: the caller, the data set or its reader, the headers of the image files.
    looked : int
        Images that were read.
    sides_um : (N, 2) float
        Height and width of each of these, in micrometres.
    nuclei : int
        In these.
    diameter_um : float
        Of a disk with the median area of a nucleus; 0 without nuclei.
    classes : dict of str to int
        Nuclei of each class in the images that were read, or patches of each class in all.
    without_class : int
        Nuclei without a class, where others have one.
    groups : dict of str to int
        What may part the images -> how many of them; whom they are from stands before where.
    stain_spread : float
        Median distance of the images' tissue colours from their median, in CIELAB.
    faults : list of Problem
        Of the images that were read.
    """

    root: Path
    reader: str
    dataset: Dataset
    task: Task
    mpp: float
    mpp_from: Literal["given", "data", "files"]
    looked: int
    sides_um: "np.ndarray[Any, np.dtype[np.float64]]"
    nuclei: int = 0
    diameter_um: float = 0.0
    classes: dict[str, int] = field(default_factory=dict)
    without_class: int = 0
    groups: dict[str, int] = field(default_factory=dict)
    stain_spread: float = 0.0
    faults: list[Problem] = field(default_factory=list)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Headings, and the text under each."""
        sides = np.rint(self.sides_um / self.mpp).astype(int)
        low, high = sides.min(axis=0), sides.max(axis=0)
        size = f"{low[1]} x {low[0]} px" + (f" to {high[1]} x {high[0]}" if (low != high).any() else "")
        told = {"given": "as given", "data": "as the data set says", "files": "as the image files say"}
        read = "" if self.looked == len(self.dataset) else f" ({self.looked} were read)"
        yield "layout", f"{self.reader}: {type(self.dataset).layout}"  # type: ignore[attr-defined]
        what = "image" if self.task == "nuclei" else "patch"
        yield "images", f"{count(len(self.dataset), what)}{read}, {size}"
        yield "pixel size", f"{self.mpp:g} um, {told[self.mpp_from]}"
        if self.task == "nuclei":
            each = f"{self.nuclei / self.looked:,.0f} an image, {self.diameter_um:.1f} um across (median)"
            yield "labels", f"{count(self.nuclei, 'nucleus')}, {each}"
        shares = [f"{name} {n:,}" for name, n in self.classes.items()]
        shares += [f"without a class {self.without_class:,}"] if self.without_class else []
        yield "classes", ", ".join(shares) or "none: nuclei are found, but not classified"
        named = (record.split for record in self.dataset.records)
        parts = Counter(part for part in named if part.lower() in PART_NAMES)
        groups = [f"{n} by {key!r}" for key, n in self.groups.items()] or ["not known"]
        yield "patients", listed(groups) + (f"; published parts: {_counted(parts)}" if parts else "")
        yield "stain", f"tissue colours differ by {self.stain_spread:.0f} in CIELAB (median)"
        if self.faults:
            rest = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
            yield "faults", f"{self.faults[0].name}: {self.faults[0].message}{rest}"


def look(
    root: str | Path,
    *,
    task: str | None = None,
    given: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Seen:
    """Survey a data set; nothing is written.

    Parameters
    ----------
    root : str or Path
        The folder of a data set.
    task : {"nuclei", "patches"}, optional
        What is to be learned, where the labels allow both.
    given : mapping, optional
        What is known: ``name`` of the reader, ``mpp``, ``index``.
    progress : callable, optional
        Called with (images read, all images to be read).

    Raises
    ------
    ConfigError
        If there is no such task.
    DatasetNotFoundError
        If there is nothing to learn from.
    DataError
        If the labels are of another kind, or their files are wrong, or the pixel size is not known.
    """
    known = {key: value for key, value in (given or {}).items() if key in {"name", "mpp", "index"} and value}
    name = known.pop("name", "")
    found = recognise(root, name=name, **known)
    chosen = _task(found, task)
    mpp, files_say = _files_say(found) if not found.knows_mpp else (found.dataset.info.mpp, False)
    if files_say:
        found = recognise(root, name=found.name, **{**known, "mpp": mpp})
    samples, faults = _read(found, chosen, progress)
    if chosen == "nuclei":
        _check_maps(found, samples, faults)
    if not mpp:
        raise DataError(_ask_mpp(found, samples))
    own = float(np.median([sample.mpp for sample in samples]))
    areas = [area * sample.mpp**2 for sample in samples for area in _areas(sample)]
    classes, without = _classes(found.dataset, samples, chosen)
    return Seen(
        root=Path(root),
        reader=found.name,
        dataset=found.dataset,
        task=chosen,
        mpp=own,
        mpp_from="files" if files_say else "given" if "mpp" in known else "data",
        looked=len(samples),
        sides_um=np.array([sample.image.shape[:2] for sample in samples]) * [[s.mpp] for s in samples],
        nuclei=len(areas) if chosen == "nuclei" else 0,
        diameter_um=2 * float(np.sqrt(np.median(areas) / np.pi)) if areas and chosen == "nuclei" else 0.0,
        classes=classes,
        without_class=without,
        groups=groups_of(found.dataset.records),
        stain_spread=_spread(samples[:: -(-len(samples) // MOST_STAINS)]),
        faults=[fault for fault in faults if fault.severity == "error"],
    )


def groups_of(records: tuple[Record, ...]) -> dict[str, int]:
    """Columns that can split images by group, with the number of groups: patients first, then sources.

    Examples
    --------
    >>> groups_of(tuple(Record(name, patient=name, tags={"Slide": "1"}) for name in "ab"))
    {'patient': 2, 'Slide': 1}
    """
    tags = set.intersection(*(set(record.tags) for record in records)) if records else set()
    by_word = {key.lower(): key for key in sorted(tags)} | {key: key for key in ("patient", "source")}
    found = {}
    for word in (*PATIENTS, *SOURCES):
        key = by_word.get(word)
        values = [record.group(key) for record in records] if key else []
        if key and all(values):
            found[key] = len(set(values))
    return found


def _task(found: Recognised, wanted: str | None) -> Task:
    """Task that the labels are for."""
    if wanted is not None and wanted not in TASKS:
        raise ConfigError(f"--task is {wanted!r}, expected {listed(TASKS, 'or')}")
    has = {"nuclei": found.first.instances is not None, "patches": found.first.label is not None}
    chosen = next(task for task in TASKS if has[task]) if wanted is None else wanted
    if not has[chosen]:
        what = {"nuclei": "label maps of nuclei", "patches": "a class for each image"}
        other = next(task for task in TASKS if has[task])
        raise DataError(
            f"--task {chosen} needs {what[chosen]}, and {found.dataset.info.name!r} has {what[other]}: "
            "leave --task out"
        )
    return "nuclei" if chosen == "nuclei" else "patches"


def _files_say(found: Recognised) -> tuple[float, bool]:
    """Micrometres per pixel in the headers of the image files, if they agree; else 0."""
    indices = _evenly(len(found.dataset), MOST_PATCHES)
    paths = [found.dataset.image_path(index) for index in indices]
    told = {mpp_of(path) if path is not None and path.is_file() else None for path in paths}
    sizes = [value for value in told if value is not None]
    if len(sizes) < len(told) or not sizes or max(sizes) > (1 + _SAME_MPP) * min(sizes):
        return 0.0, False
    return sizes[0], True


def _read(found: Recognised, task: Task, progress: Progress | None) -> tuple[list[Sample], list[Problem]]:
    """Read samples, evenly over the data set, and list their faults."""
    indices = _evenly(len(found.dataset), MOST_MAPS if task == "nuclei" else MOST_PATCHES)
    samples, faults = [], list[Problem]()
    for place, index in enumerate(indices):
        if progress is not None:
            progress(place + 1, len(indices))
        try:
            sample = found.dataset[index]
            faults += check_sample(sample, found.dataset.info.classes)
        except UNREADABLE as error:
            faults.append(Problem(found.dataset.records[index].name, "error", reason(error)))
            continue
        samples.append(sample)
    return samples, faults


def _check_maps(found: Recognised, samples: list[Sample], faults: list[Problem]) -> None:
    """Refuse images without their labels, and label maps of which most are wrong: masks, maps of classes."""
    wrong = {fault.name: fault.message for fault in reversed(faults) if fault.severity == "error"}
    read = {sample.name for sample in samples}
    unread = {name: text for name, text in wrong.items() if name not in read}
    if unread or 2 * len(wrong) > len(samples):
        bad, what = (unread, "cannot be read with their labels") if unread else (wrong, "have wrong labels")
        first = next(reversed(bad))
        raise DataError(
            f"{len(bad)} of {count(len(samples) + len(unread), 'image')} {what}; {first}: {bad[first]}. Fix "
            f"or remove them; histoscope data verify {found.name} FOLDER lists them all"
        )
    if not any(len(_areas(sample)) for sample in samples):
        raise DataError(
            f"no label map of {found.dataset.info.name!r} contains a nucleus: there is nothing to learn"
        )


def _ask_mpp(found: Recognised, samples: list[Sample]) -> str:
    """Message that asks for the pixel size, with the size of nuclei as a hint."""
    areas = [area for sample in samples for area in _areas(sample)]
    hint = ""
    if areas:
        across = 2 * float(np.sqrt(np.median(areas) / np.pi))
        hint = (
            f". Nuclei here are {across:.0f} px across: {across * 0.25:.1f} um at 0.25, {across * 0.5:.1f} "
            "um at 0.5; most measure 4 to 8 um"
        )
    return (
        f"the pixel size of {found.dataset.info.name!r} is unknown and not in its files: give micrometres "
        "per pixel, --mpp 0.25 for a 40x scan or --mpp 0.5 for 20x (train --data: --set "
        f"data.mpp=0.25){hint}"
    )


def _areas(sample: Sample) -> list[int]:
    """Pixels of each nucleus."""
    if sample.instances is None:
        return []
    areas = np.bincount(sample.instances.ravel())[1:]
    found: list[int] = areas[areas > 0].tolist()
    return found


def _classes(dataset: Dataset, samples: list[Sample], task: Task) -> tuple[dict[str, int], int]:
    """How often each class occurs, and how many nuclei have no class where others have one."""
    names = dataset.info.classes
    if task == "patches":
        labels = Counter(record.label for record in dataset.records if record.label is not None)
        return {names.get(label, f"class {label}"): labels[label] for label in sorted(labels)}, 0
    kinds = Counter(kind for sample in samples for kind in classes_of_nuclei(sample).tolist())
    classes = {name: kinds[kind] for kind, name in sorted(names.items())}
    return classes, kinds[0] if any(classes.values()) else 0


def _spread(samples: list[Sample]) -> float:
    """Median distance of mean tissue colours from their median, in CIELAB."""
    from skimage.color import rgb2lab

    colours = []
    for sample in samples:
        tissue = stain.tissue_mask(sample.image)
        if tissue.any():
            colours.append(sample.image[tissue].mean(axis=0, dtype=np.float64) / 255)
    if not colours:
        return 0.0
    known = rgb2lab(np.array(colours)[None])[0]
    return float(np.median(np.linalg.norm(known - np.median(known, axis=0), axis=1)))


def _evenly(n: int, most: int) -> list[int]:
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist() if n else []


def _counted(parts: Mapping[str, int]) -> str:
    return ", ".join(f"{part} {n}" for part, n in sorted(parts.items()))
