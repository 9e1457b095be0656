"""Whole patches in files, one class each: what the readers of patch data sets share."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from histoscope.data.base import Dataset, Datasheet, Problem, Progress, check_samples, count_records
from histoscope.data.readers.index import composed, expectation, files_by_stem, read_index
from histoscope.errors import DataError, DatasetNotFoundError
from histoscope.files import read_image
from histoscope.types import Record, Sample


class PatchFiles(Dataset):
    """A data set of image files with a record each; the readers find them, this reads them.

    Parameters
    ----------
    sheet : Datasheet
        With its ``mpp``.
    classes : sequence of str
        Names in the order of the labels, from 0.
    files : sequence of (Path, Record)
        The patches; the order is kept.
    mpps : sequence of float, optional
        Pixel size of each, where they differ.
    """

    def __init__(
        self,
        sheet: Datasheet,
        classes: Sequence[str],
        files: Sequence[tuple[Path, Record]],
        mpps: Sequence[float] | None = None,
    ) -> None:
        self._paths = [path for path, _ in files]
        self._records = tuple(record for _, record in files)
        self._mpps = mpps
        labels = [record.label for record in self._records]
        counts = {f"class {name}": labels.count(place) for place, name in enumerate(classes)}
        self._info = replace(
            sheet, classes=dict(enumerate(classes)), counts=count_records(self._records) | counts
        )

    @property
    def info(self) -> Datasheet:
        """The datasheet; its classes start from 0."""
        return self._info

    @property
    def records(self) -> tuple[Record, ...]:
        """One for each patch."""
        return self._records

    def __getitem__(self, index: int) -> Sample:
        record = self._records[index]
        return Sample(
            image=read_image(self._paths[index]),
            mpp=self._info.mpp if self._mpps is None else self._mpps[index],
            label=record.label,
            name=record.name,
            source=record.source,
            patient=record.patient,
        )

    def image_path(self, index: int) -> Path | None:
        """File of the patch."""
        return self._paths[index]

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        names = [f"class {name}" for name in self._info.classes.values()]
        empty = [
            Problem(name, "warning", "the class has no patches")
            for name in names
            if not self._info.counts[name]
        ]
        return check_samples(self, progress) + empty


def patches_in(
    root: Path, classes: Sequence[str], *, suffixes: Sequence[str], name: str, layout: str, url: str
) -> list[tuple[Path, int]]:
    """Find the files of folders that are called like classes, anywhere up to three levels below `root`.

    Parameters
    ----------
    root : Path
        The folder, or one above it.
    classes : sequence of str
        Names of the folders, in the order of the labels. Absent and empty ones are warned of.
    suffixes : sequence of str
        Of the files.
    name, layout, url : str
        Of the data set, for the message.

    Returns
    -------
    list of (Path, int)
        Files and labels, by class and name.

    Raises
    ------
    DatasetNotFoundError
        If there is no patch at all.
    """
    folders: dict[str, list[Path]] = defaultdict(list)
    for pattern in ("*", "*/*", "*/*/*"):
        for folder in sorted(root.glob(pattern)):
            if folder.name in classes and folder.is_dir():
                folders[folder.name].append(folder)
    found = [
        (path, label)
        for label, kind in enumerate(classes)
        for folder in folders[kind]
        for paths in files_by_stem(folder, suffixes).values()
        for path in paths
    ]
    if not found:
        raise DatasetNotFoundError(f"no patches in {root}; {expectation(name, layout, url)}")
    held = {label for _, label in found}
    warn_empty([kind for label, kind in enumerate(classes) if label not in held], root)
    return found


def warn_empty(classes: Sequence[str], root: Path) -> None:
    """Say which classes have no patches; the others can be used."""
    if classes:
        warn(f"no patches of class {', '.join(classes)} in {root}; going on with the other classes")


def warn(text: str) -> None:
    """Warn of what is left out."""
    warnings.warn(text, UserWarning, stacklevel=3)


def read_groups(path: str | Path | None) -> Mapping[str, str]:
    """Group of each patch from a CSV file with the columns ``path`` (or ``file``, ``name``) and ``group``.

    Patches are known by their file name without folders and suffix, so that a list made for the originals
    serves a resized copy.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    DataError
        If a column is missing, or a patch stands in two groups.
    """
    if path is None:
        return {}
    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(f"no list of groups at {path}; expected CSV with the columns path, group")
    groups: dict[str, str] = {}
    for row in read_index(path):
        file = row.get("path") or row.get("file") or row.get("name")
        group = row.get("group") or row.get("source")
        if not file or not group:
            raise DataError(f"{path}: a row has no path or no group: {row}; expected the columns path, group")
        stem = composed(Path(file.replace("\\", "/")).stem)
        if groups.setdefault(stem, group) != group:
            raise DataError(f"{path}: {stem!r} stands in the groups {groups[stem]!r} and {group!r}; keep one")
    return groups


def groups_of_two_classes(records: Sequence[Record]) -> list[Problem]:
    """Warn of each source whose patches have more than one class: one of the labels may be wrong."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        if record.source and record.label is not None:
            labels[record.source][record.tags.get("class", str(record.label))] += 1
    return [
        Problem(group, "warning", f"one group with {len(found)} classes: {_listed(found)}")
        for group, found in sorted(labels.items())
        if len(found) > 1
    ]


def _listed(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in found.items())
