"""Shared code of readers for patch data sets: files with whole patches, one class each."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from histoscope.data.checks import Problem
from histoscope.data.readers.index import composed, files_by_stem, read_index
from histoscope.errors import DataError, DatasetNotFoundError
from histoscope.types import Record


def patches_in(root: Path, classes: Sequence[str], *suffixes: str) -> list[tuple[Path, int]]:
    """Find files and their labels in folders named after classes, up to three levels below `root`.

    They are ordered by class and name. Classes without patches give a warning.
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
    held = {label for _, label in found}
    if found:
        warn_empty([kind for label, kind in enumerate(classes) if label not in held], root)
    return found


def warn_empty(classes: Sequence[str], root: Path) -> None:
    """Warn about classes without patches; the others can be used."""
    if classes:
        warn(f"no patches of class {', '.join(classes)} in {root}; continuing with the other classes")


def warn(text: str) -> None:
    """Warn about files that are left out."""
    warnings.warn(text, UserWarning, stacklevel=3)


def read_groups(path: str | Path | None) -> Mapping[str, str]:
    """Group of each patch from a CSV file with the columns ``path`` (or ``file``, ``name``) and ``group``.

    Patches are identified by their file name without folders and suffix, so that a list for the originals
    also works for a resized copy. A patch in two groups is an error.
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
            raise DataError(f"{path}: {stem!r} is in the groups {groups[stem]!r} and {group!r}; keep one")
    return groups


def groups_of_two_classes(records: Sequence[Record]) -> list[Problem]:
    """Warn about sources whose patches have more than one class: one of the labels may be wrong."""
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
