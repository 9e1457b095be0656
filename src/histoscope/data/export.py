"""Writing samples in the array layouts that other tools train on: CoNIC and PanNuke."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.data.base import Dataset, Datasheet
from histoscope.data.checks import UNREADABLE, Problem, Progress, reason
from histoscope.data.readers.lizard import CLASSES as CONIC_CLASSES
from histoscope.data.readers.pannuke import CLASSES as PANNUKE_CLASSES
from histoscope.data.split import part_of
from histoscope.data.views import compact, resample
from histoscope.data.write import require_new, write_folder
from histoscope.errors import DataError, UnknownNameError
from histoscope.files import whole
from histoscope.tables import write_table
from histoscope.types import Labels, Record, Sample

SIDE_PX = 256
_FOLD_OF_SPLIT = {"train": "fold1", "val": "fold2", "test": "fold3"}


def write_conic(
    out: str | Path, samples: Iterable[Sample], info: Datasheet, *, records: Iterable[Record] = ()
) -> Path:
    """Write ``images.npy``, ``labels.npy``, ``patch_info.csv`` and ``counts.csv`` as CoNIC does.

    Images are cut into patches of 256 px that cover them; if a side is not a multiple of 256, the patches
    overlap. A patch is named ``SOURCE-0000`` with any ``-`` of the source replaced by a dot, because readers
    take the part before the ``-`` as the source. ``counts.csv`` counts the nuclei of the central 224 px, as
    the challenge does. Samples are read one at a time, so a generator of any length works. The layout cannot
    store the parts and tags of `records`.

    Raises
    ------
    DataError
        If `out` is not empty, a class is not one of CoNIC's, a sample is smaller than 256 px or has no
        classes, or there are no samples.
    """
    import pandas as pd

    class_map = _class_map(info, CONIC_CLASSES, "CoNIC")
    names: list[str] = []
    counts: list[list[int]] = []
    numbers = Counter[str]()
    with _stacks(Path(out)) as add:
        for sample in samples:
            source = (sample.source or sample.name).replace("-", ".")
            for image, ids, types in patches_of(sample, class_map):
                names.append(f"{source}-{numbers[source]:04d}")
                numbers[source] += 1
                centre = np.unique(ids[16:-16, 16:-16])
                counts.append(np.bincount(types[centre[centre > 0]], minlength=7)[1:].tolist())
                add("images.npy", image, np.uint8)
                add("labels.npy", np.stack([ids, types[ids]], axis=2), np.uint16)
    write_table(Path(out) / "patch_info.csv", pd.DataFrame({"patch_info": names}))
    write_table(Path(out) / "counts.csv", pd.DataFrame(counts, columns=list(CONIC_CLASSES.values())))
    return Path(out)


def write_pannuke(
    out: str | Path, samples: Iterable[Sample], info: Datasheet, *, records: Iterable[Record] = ()
) -> Path:
    """Write ``fold1/images/fold1/{images,types}.npy`` and ``fold1/masks/fold1/masks.npy`` as PanNuke does.

    Images are cut, or refused, as in `write_conic`. The fold is the tag ``fold`` of a record (found by name)
    if it is fold1 to fold3; otherwise the training part is fold 1, validation fold 2 and test fold 3, and
    samples without a part go to fold 1. The tissue is the tag ``tissue`` or ``organ``. Pixels and ids are
    float64, as published: 4.7 MB per patch.
    """
    class_map = _class_map(info, PANNUKE_CLASSES, "PanNuke")
    known = {record.name: record for record in (*getattr(samples, "records", ()), *records)}
    tissues: dict[str, list[str]] = defaultdict(list)
    with _stacks(Path(out)) as add:
        for sample in samples:
            record = known.get(sample.name, Record(sample.name))
            fold = record.group("fold")
            fold = fold if fold in _FOLD_OF_SPLIT.values() else _FOLD_OF_SPLIT.get(part_of(record), "fold1")
            for image, ids, types in patches_of(sample, class_map):
                masks = [np.where(types[ids] == k, ids, 0) for k in PANNUKE_CLASSES]
                add(f"{fold}/images/{fold}/images.npy", image, np.float64)
                add(f"{fold}/masks/{fold}/masks.npy", np.stack([*masks, ids == 0], axis=2), np.float64)
                tissues[fold].append(record.group("tissue") or record.group("organ") or "unknown")
    for fold, names in tissues.items():
        with whole(Path(out) / fold / "images" / fold / "types.npy") as temporary:
            np.save(temporary, np.array(names))
    return Path(out)


EXPORTS: dict[str, tuple[Callable[..., Path], float]] = {
    "conic": (write_conic, 0.5),
    "pannuke": (write_pannuke, 0.25),
}
"""Layouts other than our own folder, and the pixel size that their readers assume."""


def convert(
    dataset: Dataset,
    out: str | Path,
    *,
    to: str = "folder",
    mpp: float | None = None,
    on_skip: Callable[[Problem], None],
    progress: Progress | None = None,
) -> Path:
    """Write a data set in another layout, with classes, parts and tags.

    Parameters
    ----------
    dataset : Dataset
    out : str or Path
        A new or empty folder.
    to : str
        ``folder``, or a key of `EXPORTS`.
    mpp : float, optional
        Pixel size to resample to; by default unchanged, or that of the arrays.
    on_skip : callable
        Called for each sample that is left out because it cannot be read or does not fit the layout.
    progress : callable, optional
        Called with (samples done, all samples).

    Raises
    ------
    UnknownNameError
        If there is no such layout.
    """
    if to not in {"folder", *EXPORTS}:
        raise UnknownNameError("layout", to, ["folder", *EXPORTS])
    write, assumed_mpp = EXPORTS.get(to, (write_folder, None))
    wanted_mpp = mpp or assumed_mpp

    def samples() -> Iterator[Sample]:
        for index, record in enumerate(dataset.records):
            try:
                sample = dataset[index]
                sample = sample if wanted_mpp is None else resample(sample, wanted_mpp)
                if to in EXPORTS:
                    require_patchable(sample)
            except UNREADABLE as error:
                on_skip(Problem(record.name, "error", reason(error)))
            else:
                yield sample
            if progress is not None:
                progress(index + 1, len(dataset))

    return write(out, samples(), dataset.info, records=dataset.records)


def patches_of(
    sample: Sample, class_map: Mapping[int, int]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.uint8]]]:
    """Cut a sample into patches of 256 px that cover it: image, ids 1..N, and the class of each id.

    Raises
    ------
    DataError
        As `require_patchable`, or if it has a class that the datasheet does not name.
    """
    lookup = np.zeros(256, np.uint8)
    lookup[list(class_map)] = list(class_map.values())
    instances, given = require_patchable(sample)
    classes = lookup[given]
    unnamed = np.flatnonzero((given > 0) & (classes == 0))
    if unnamed.size:
        raise DataError(f"{sample.name}: class {given[unnamed[0]]} is not one of {sorted(class_map)}")
    height, width = instances.shape
    for top in _starts(height):
        for left in _starts(width):
            place = np.s_[top : top + SIDE_PX, left : left + SIDE_PX]
            ids = compact(instances[place])[0]
            yield sample.image[place], ids, classes[np.union1d([0], instances[place])]


def require_patchable(sample: Sample) -> tuple[Labels, NDArray[np.uint8]]:
    """Return the ids and classes of a sample that an array layout can store.

    Raises
    ------
    DataError
        If the sample is smaller than 256 px, or nuclei have no class.
    """
    height, width = sample.image.shape[:2]
    if min(height, width) < SIDE_PX:
        raise DataError(f"{sample.name}: {height} x {width} px, expected at least {SIDE_PX} px per side")
    if sample.instances is None or sample.classes is None:
        raise DataError(f"{sample.name}: the nuclei have no classes; the array layouts need them")
    ids = np.unique(sample.instances)
    missing = int((sample.classes[ids[ids > 0]] == 0).sum())
    if missing:
        raise DataError(f"{sample.name}: {missing} nuclei have no class; the array layouts cannot store them")
    return sample.instances, sample.classes


def _starts(side: int) -> list[int]:
    count = -(-side // SIDE_PX)
    return [int(start) for start in np.rint(np.linspace(0, side - SIDE_PX, count))]


def _class_map(info: Datasheet, wanted: Mapping[int, str], layout: str) -> dict[int, int]:
    """Number in the layout for each class of a data set."""
    ids = {name: number for number, name in wanted.items()}
    strange = [name for name in info.classes.values() if name not in ids]
    if strange or not info.classes:
        have = f"the class {strange[0]!r}" if strange else "no classes"
        raise DataError(f"{info.name!r} has {have}; the layout of {layout} knows only {', '.join(ids)}")
    return {number: ids[name] for number, name in info.classes.items()}


@contextmanager
def _stacks(out: Path) -> Iterator[Callable[[str, NDArray[Any], type[np.generic]], None]]:
    """Return a function that adds an entry to an array file in `out`, of any number of entries.

    Entries wait in a temporary folder until their number is known.
    """
    require_new(out)
    out.mkdir(parents=True, exist_ok=True)
    entries: dict[str, list[Path]] = defaultdict(list)
    with TemporaryDirectory(dir=out) as waiting:

        def add(name: str, entry: NDArray[Any], dtype: type[np.generic]) -> None:
            path = Path(waiting) / f"{sum(map(len, entries.values()))}.npy"
            np.save(path, entry.astype(dtype))
            entries[name].append(path)

        yield add
        if not entries:
            raise DataError(f"no samples to write to {out}")
        for name, paths in entries.items():
            first = np.load(paths[0])
            with whole(out / name) as temporary:
                array = np.lib.format.open_memmap(temporary, "w+", first.dtype, (len(paths), *first.shape))
                for row, path in enumerate(paths):
                    array[row] = np.load(path)
                    path.unlink()
                del array  # not every system can rename a mapped file
