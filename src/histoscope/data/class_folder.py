"""Labelled patches: a folder per class, or an index that names path and class."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from histoscope.data.base import Datasheet, Problem, Progress, require_mpp
from histoscope.data.index import Row, expectation, files_by_stem, first_column, read_index, require_folder
from histoscope.data.patch_files import PatchFiles, groups_of_two_classes, warn_empty
from histoscope.data.sheet import read_sheet
from histoscope.errors import DataError, DatasetNotFoundError, UnknownNameError
from histoscope.types import Record

_PARTS = {"train", "training", "val", "valid", "validation", "test"}


class ClassFolder(PatchFiles):
    """Patches with one class each.

    Either ``CLASS/NAME.*`` (or ``train/CLASS/NAME.*``, ``test/CLASS/NAME.*``), or an ``index.csv`` with the
    columns ``path`` and ``class`` and, where known, ``group`` (or ``source``), ``patient``, ``split``; paths
    are relative to ``images/`` if there is such a folder, else to `root`. Labels are the places of the class
    names in alphabetical order, from 0; an empty folder is no class and is warned of. The name of a patch is
    its path with ``__`` for ``/``, suffix cut.

    Parameters
    ----------
    root : str or Path
        The folder.
    mpp : float
        Micrometres per pixel, unless ``dataset.yaml`` says it.
    classes : sequence of str, optional
        The class names in the order of their labels, where it must be the same in several folders.
    index : str or Path, optional
        Another index than ``index.csv``, such as the groups that ``histoscope data audit`` proposes.
    licence, citation : str, optional
        For copies whose ``dataset.yaml`` does not say.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder or no image in it, or no such index.
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
        self,
        root: str | Path,
        *,
        mpp: float | None = None,
        classes: Sequence[str] | None = None,
        index: str | Path | None = None,
        licence: str = "",
        citation: str = "",
    ) -> None:
        self.root = require_folder(root, name="class_folder", layout=self.layout, url="")
        sheet = read_sheet(self.root, of_patches=True)
        mpp = require_mpp(mpp if mpp is not None else sheet.mpp or None, sheet.name)
        path = Path(index) if index is not None else self.root / "index.csv"
        if index is not None and not path.is_file():
            raise DatasetNotFoundError(
                f"no index at {path}; expected CSV with the columns path, class, group"
            )
        rows = _indexed(path) if path.is_file() else _found(self.root)
        if not rows:
            what = expectation("class_folder", self.layout, "")
            raise DatasetNotFoundError(f"no patches in {self.root}; {what}")
        names = list(classes) if classes is not None else sorted({row["class"] for row in rows})
        base = images_folder(self.root) if path.is_file() else self.root
        files = [(_inside(base, row["path"]), _record(row, names)) for row in rows]
        sheet = replace(sheet, licence=licence or sheet.licence, citation=citation or sheet.citation)
        super().__init__(replace(sheet, mpp=mpp), names, files)

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        return super().verify(progress=progress) + groups_of_two_classes(self.records)


def images_folder(root: Path) -> Path:
    """Folder that the paths of an index start from."""
    return root / "images" if (root / "images").is_dir() else root


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
    rows, empty = [], []
    for folder in folders:
        for kind in sorted(child for child in folder.iterdir() if child.is_dir()) if in_parts else [folder]:
            found = [path for paths in files_by_stem(kind).values() for path in paths]
            split = folder.name if in_parts else ""
            rows += [
                {"path": path.relative_to(root).as_posix(), "class": kind.name, "split": split}
                for path in found
            ]
            empty += [] if found else [kind.relative_to(root).as_posix()]
    if rows:
        warn_empty(empty, root)
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
