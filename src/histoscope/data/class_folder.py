"""Labelled patches: a folder per class, or an index that names path and class."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from histoscope.data.base import Dataset, Datasheet, count_records, require_mpp
from histoscope.data.folder import read_sheet
from histoscope.data.index import Row, expectation, files_by_stem, first_column, read_index, require_folder
from histoscope.errors import DataError, DatasetNotFoundError, UnknownNameError
from histoscope.files import read_image
from histoscope.types import Record, Sample

_PARTS = {"train", "training", "val", "valid", "validation", "test"}


class ClassFolder(Dataset):
    """Patches with one class each.

    Either ``CLASS/NAME.*`` (or ``train/CLASS/NAME.*``, ``test/CLASS/NAME.*``), or an ``index.csv`` with the
    columns ``path`` and ``class`` and, where known, ``group`` (or ``source``), ``patient``, ``split``; paths
    are relative to ``images/`` if there is such a folder, else to `root`. Labels are the places of the class
    names in alphabetical order, from 0. The name of a patch is its path with ``__`` for ``/``, suffix cut.

    Parameters
    ----------
    root : str or Path
        The folder.
    mpp : float
        Micrometres per pixel, unless ``dataset.yaml`` says it.
    classes : sequence of str, optional
        The class names in the order of their labels, where it must be the same in several folders.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder or no image in it.
    DataError
        If `mpp` is missing or the index is wrong.
    UnknownNameError
        If a patch has a class that is not in `classes`.
    """

    sheet: ClassVar[Datasheet] = Datasheet(name="class_folder", title="Patches in a folder per class")
    layout: ClassVar[str] = (
        "CLASS/NAME.png, or index.csv with the columns path, class (and group, patient, split)"
    )

    def __init__(
        self, root: str | Path, *, mpp: float | None = None, classes: Sequence[str] | None = None
    ) -> None:
        self.root = require_folder(root, name="class_folder", layout=self.layout, url="")
        sheet = read_sheet(self.root)
        mpp = require_mpp(mpp if mpp is not None else sheet.mpp or None, sheet.name)
        index = self.root / "index.csv"
        rows = _indexed(index) if index.is_file() else _found(self.root)
        if not rows:
            what = expectation("class_folder", self.layout, "")
            raise DatasetNotFoundError(f"no patches in {self.root}; {what}")
        names = list(classes) if classes is not None else sorted({row["class"] for row in rows})
        base = self.root / "images" if index.is_file() and (self.root / "images").is_dir() else self.root
        self._paths = [_inside(base, row["path"]) for row in rows]
        self._records = tuple(_record(row, names) for row in rows)
        self._info = replace(
            sheet, mpp=mpp, classes=dict(enumerate(names)), counts=_counts(self._records, names)
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
            mpp=self._info.mpp,
            label=record.label,
            name=record.name,
            source=record.source,
            patient=record.patient,
        )

    def image_path(self, index: int) -> Path | None:
        """File of the patch."""
        return self._paths[index]


def _indexed(path: Path) -> list[Row]:
    rows = read_index(path)
    column = first_column(rows, ("path", "file", "image_id"), path)
    kind = first_column(rows, ("class", "label"), path)
    for row in rows:
        row["path"], row["class"] = row[column], row[kind]
        if not row["path"] or not row["class"]:
            raise DataError(f"{path}: a row has no {column if not row['path'] else kind}: {row}")
    return rows


def _found(root: Path) -> list[Row]:
    folders = [
        folder for folder in sorted(root.iterdir()) if folder.is_dir() and not folder.name.startswith(".")
    ]
    in_parts = bool(folders) and all(folder.name.lower() in _PARTS for folder in folders)
    rows = []
    for folder in folders:
        for kind in sorted(child for child in folder.iterdir() if child.is_dir()) if in_parts else [folder]:
            for path in (path for paths in files_by_stem(kind).values() for path in paths):
                split = folder.name if in_parts else ""
                rows.append({"path": path.relative_to(root).as_posix(), "class": kind.name, "split": split})
    return rows


def _inside(base: Path, relative: str) -> Path:
    path = base / relative
    if not path.resolve().is_relative_to(base.resolve()):
        raise DataError(f"index.csv names {relative!r}, which lies outside {base}; paths must stay inside")
    return path


def _record(row: Row, names: list[str]) -> Record:
    if row["class"] not in names:
        raise UnknownNameError("class", row["class"], names)
    known = {"path", "class", "group", "source", "patient", "split", "label"}
    return Record(
        name=Path(row["path"]).with_suffix("").as_posix().replace("/", "__"),
        patient=row.get("patient", ""),
        source=row.get("source") or row.get("group", ""),
        split=row.get("split", ""),
        label=names.index(row["class"]),
        tags={key: value for key, value in row.items() if key not in known} | {"class": row["class"]},
    )


def _counts(records: Sequence[Record], names: list[str]) -> dict[str, int]:
    labels = [record.label for record in records]
    return count_records(records) | {f"class {name}": labels.count(place) for place, name in enumerate(names)}
