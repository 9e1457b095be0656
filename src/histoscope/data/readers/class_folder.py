"""Labelled patches: a folder per class, or an index of paths and classes."""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from histoscope.data.base import Datasheet
from histoscope.data.checks import Problem, Progress
from histoscope.data.readers.index import Row, composed, first_column, images_by_stem, read_index, sibling
from histoscope.data.readers.patch_files import groups_of_two_classes, warn, warn_empty
from histoscope.data.readers.reader import Entry, Reader, folders_below
from histoscope.data.readers.sheet import read_sheet
from histoscope.errors import DataError, DatasetNotFoundError, UnknownNameError
from histoscope.images.finding import find_images
from histoscope.types import Record

_PARTS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_NO_CLASS = frozenset(
    (
        *("image", "images", "img", "imgs", "mask", "masks", "label", "labels", "annotation", "annotations"),
        *("overlay", "overlays", "class", "classes", "gt", "ground_truth", "groundtruth", "split", "splits"),
    )
)
"""Names of folders with other content; give `classes` if one of them is a class."""
_NO_CLASS_WORDS = frozenset(
    (
        *("images", "imgs", "mask", "masks", "annotation", "annotations", "overlay", "overlays", "gt"),
        *("groundtruth", "segmentation", "segmentations", "instances", "instance"),
    )
)
"""Words in such names: ``binary_masks``, ``train_images``, ``tumour_mask``."""


class ClassFolder(Reader):
    """Patches with one class each, in folders or an index.

    Either ``CLASS/NAME.*`` (or ``train/CLASS/NAME.*``, ``test/CLASS/NAME.*``), or an ``index.csv`` with the
    columns ``path`` and ``class`` and, where known, ``group`` (or ``source``), ``patient``, ``split``; paths
    are relative to ``images/`` if there is such a folder and they are found there, otherwise to `root`.
    Labels number the class names in alphabetical order, from 0; an empty folder is not a class, and gives a
    warning; folders with names like ``masks`` or ``labels`` are refused. The name of a patch is its path with
    ``__`` for ``/`` and without the suffix.

    Parameters
    ----------
    root : str or Path
        The folder.
    mpp : float
        Micrometres per pixel, unless ``dataset.yaml`` gives it.
    classes : sequence of str, optional
        The class names in the order of their labels, if it must be the same in several folders.
    index : str or Path, optional
        An index other than ``index.csv``, such as the groups that ``histoscope data audit`` proposes;
        relative to the current folder, or else to `root`.
    licence, citation : str, optional
        For copies without them in ``dataset.yaml``.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder or no image in it, or no such index.
    DataError
        If `mpp` is missing or the index is wrong.
    UnknownNameError
        If a patch has a class that is not in `classes`.
    """

    sheet = Datasheet(name="class_folder", title="Patches in a folder per class")
    layout = "CLASS/NAME.png, or index.csv with the columns path, class (and group, patient, split)"
    images_are = "patches"
    ignore_alpha = False

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
        self._given = index, classes, licence, citation
        super().__init__(root, mpp=mpp)

    def find(self) -> Iterator[Entry]:
        """List the patches in the index, or else in the folders."""
        index, classes, licence, citation = self._given
        sheet = read_sheet(self.root, of_patches=True)
        path = Path(index) if index is not None else self.root / "index.csv"
        path = path if path.is_file() or index is None else self.root / path
        if index is not None and not path.is_file():
            raise DatasetNotFoundError(
                f"no index at {path}; expected CSV with the columns path, class, group"
            )
        rows = _indexed(path) if path.is_file() else _found(self.root, classes or ())
        if not rows:
            return
        names = list(classes) if classes is not None else sorted({row["class"] for row in rows})
        self.sheet = replace(
            sheet,
            classes=dict(enumerate(names)),
            licence=licence or sheet.licence,
            citation=citation or sheet.citation,
        )
        base = _base(self.root, rows[0]["path"]) if path.is_file() else self.root
        for row in rows:
            yield Entry(_record(row, names), _inside(base, row["path"]))

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        skipped = find_images(self.root).skipped
        left_out = [Problem(one.path.stem, "warning", str(one)) for one in skipped]
        return (
            super().verify(progress=progress) + left_out + self._loose() + groups_of_two_classes(self.records)
        )

    def _loose(self) -> list[Problem]:
        """Images beside the class folders, which are not patches."""
        patches = {self.image_path(index) for index in range(len(self))}
        found = find_images(self.root, deep=False).images
        text = "is not in a class folder, and no index lists it: it is left out"
        return [Problem(path.stem, "warning", f"{path}: {text}") for path in found if path not in patches]


def images_folder(root: Path) -> Path:
    """Folder that the paths of an index start from."""
    return root / "images" if (root / "images").is_dir() else root


def _base(root: Path, relative: str) -> Path:
    """Folder that the paths of an index start from; some start from the root."""
    base = images_folder(root)
    from_root = not _inside(base, relative).is_file() and _inside(root, relative).is_file()
    return root if from_root else base


def _indexed(path: Path) -> list[Row]:
    rows = read_index(path)
    column = first_column(rows, ("path", "file", "image_id"), path)
    kind = first_column(rows, ("class", "label"), path)
    for row in rows:
        row["path"], row["class"] = row[column], row[kind]
        if not row["path"] or not row["class"]:
            raise DataError(f"{path}: a row has no {column if not row['path'] else kind}: {row}")
    return rows


def _found(root: Path, allowed: Collection[str]) -> list[Row]:
    """Patches of ``CLASS/NAME.*`` or ``PART/CLASS/NAME.*``; other folders are refused."""
    folders = _folders_in(root)
    parts = [folder for folder in folders if folder.name.lower() in _PARTS and folder.name not in allowed]
    kinds = [folder for folder in folders if folder not in parts]
    _refuse_others(root, parts, [kind for kind in kinds if kind.name not in allowed], mixed=bool(kinds))
    rows, empty = [], []
    places = list[tuple[Path, str]]()
    for part in parts:
        inner = _classes_in(part)
        _refuse_others(part, [], [kind for kind in inner if kind.name not in allowed], mixed=False)
        places += [(kind, part.name) for kind in inner]
    for kind, split in [*places, *((kind, "") for kind in kinds)]:
        found = find_images(kind, deep=False).images
        _check_inner(kind, has_patches=bool(found))
        rows += [
            {"path": path.relative_to(root).as_posix(), "class": composed(kind.name), "split": split}
            for path in found
        ]
        empty += [] if found else [kind.relative_to(root).as_posix()]
    if rows:
        warn_empty(empty, root)
    return rows


def _refuse_others(root: Path, parts: list[Path], kinds: list[Path], *, mixed: bool) -> None:
    """Refuse folders of label maps as classes, and classes beside folders of parts."""
    strange = next((folder for folder in kinds if _is_no_class(folder.name)), None)
    if strange is None and not (parts and mixed):
        return
    what = (
        f"{strange.name}/ is not a class"
        if strange
        else (f"{parts[0].name}/ is a part, but not all folders are")
    )
    raise DataError(
        f"{root} holds {', '.join(f'{one.name}/' for one in _folders_in(root))}: {what}. class_folder "
        "expects CLASS/NAME.png, or train/CLASS/NAME.png and test/CLASS/NAME.png; for images with label "
        "maps, use the reader folder; otherwise list the patches in index.csv (path,class,split), or "
        "give classes="
    )


def _is_no_class(name: str) -> bool:
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return name.lower() in _NO_CLASS or not _NO_CLASS_WORDS.isdisjoint(map(str.lower, words))


def _check_inner(kind: Path, *, has_patches: bool) -> None:
    """Refuse, or warn about, patches one folder too deep."""
    inner = [folder.name for folder in _folders_in(kind) if images_by_stem(folder)]
    if not inner:
        return
    some = ", ".join(inner[:3])
    if has_patches:
        warn(f"patches in folders below {kind} are left out ({some}); list them in index.csv to include them")
        return
    raise DataError(
        f"{kind} has no patches itself, only folders with patches ({some}); expected "
        f"{kind.name}/NAME.png. If {kind.name} is a part, call it train, val or test; if it holds the "
        "classes, open it instead. If the folders are patients, list the patches in index.csv, with the "
        "columns path,class,patient"
    )


def _folders_in(folder: Path) -> list[Path]:
    return list(folders_below(folder, 1))[1:]


def _classes_in(part: Path) -> list[Path]:
    """Class folders in the folder of a part."""
    if loose := images_by_stem(part):
        raise DataError(
            f"{part} is the folder of a part, but holds images without a class, such as "
            f"{next(iter(loose))!r}; expected {part.name}/CLASS/NAME.png, or an index.csv with path,class"
        )
    return _folders_in(part)


def _inside(base: Path, relative: str) -> Path:
    """File that a row names; on disk its accents may be decomposed and its suffix in capitals."""
    path = Path(os.path.normpath(base / relative.replace("\\", "/")))
    base = Path(os.path.normpath(base))
    if not path.is_relative_to(base):
        raise DataError(f"the index names {relative!r}, which is outside {base}; paths must stay inside")
    if path.is_file():
        return path
    folder = base
    for name in path.relative_to(base).parts[:-1]:
        inner = _folders_in(folder) if folder.is_dir() else []
        folder = next((one for one in inner if composed(one.name) == composed(name)), folder / name)
    return sibling(folder, path.stem, path.suffix.lower()) if path.suffix else path


def _record(row: Row, names: list[str]) -> Record:
    if row["class"] not in names:
        raise UnknownNameError("class", row["class"], names)
    known = {"path", "class", "group", "source", "patient", "split", "label"}
    return Record(
        name=Path(row["path"].replace("\\", "/")).with_suffix("").as_posix().replace("/", "__"),
        patient=row.get("patient", ""),
        source=row.get("source") or row.get("group", ""),
        split=row.get("split", ""),
        label=names.index(row["class"]),
        tags={key: value for key, value in row.items() if key not in known} | {"class": row["class"]},
    )
