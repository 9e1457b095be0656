"""Our own folder format: ``images/``, ``labels/``, ``classes/``, ``index.csv``, ``dataset.yaml``."""

import json
from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from histoscope.data.base import (
    Dataset,
    Datasheet,
    Problem,
    Progress,
    check_samples,
    classes_of,
    count_records,
    require_mpp,
)
from histoscope.data.index import (
    Row,
    expectation,
    files_by_stem,
    first_column,
    only_file,
    read_index,
    require_folder,
)
from histoscope.errors import (
    CorruptDataError,
    DataError,
    DatasetNotFoundError,
    FormatVersionError,
    ShapeError,
)
from histoscope.files import read_image, read_labels
from histoscope.types import Record, Sample

FORMAT = 1
UNFINISHED = "UNFINISHED"
"""A file that stands in a folder until its writing has ended."""
_NAME_COLUMNS = ("image_id", "name", "file", "path")
_KNOWN_COLUMNS = {*_NAME_COLUMNS, "patient", "source", "split", "label", "mpp"}
_SHEET_KEYS = {"format", "name", "title", "url", "licence", "citation", "mpp", "classes", "counts"}


class Folder(Dataset):
    """A folder of images with label maps in our own format.

    - ``images/NAME.*``;
    - ``labels/NAME.png`` (16 bits: 0 background, one id a nucleus), if there are labels;
    - ``classes/NAME.png`` (8 bits), if nuclei have classes, with their names in ``dataset.yaml`` or
      ``classes.json``;
    - ``index.csv`` with a column ``image_id`` (or ``name``, ``file``) and, where known, ``split``,
      ``patient``, ``source`` (or ``group``), ``label``, ``mpp``; every further column becomes a tag;
    - ``dataset.yaml``, the datasheet.

    Without an index, every image in ``images/`` is a sample.

    Parameters
    ----------
    root : str or Path
        The folder.
    mpp : float, optional
        Micrometres per pixel of every image; wins over a column ``mpp`` of the index, which wins over
        ``dataset.yaml``.
    licence, citation : str, optional
        Terms of use and the paper to cite, for a copy without ``dataset.yaml``; they win over it.

    Raises
    ------
    DatasetNotFoundError
        If the folder or its ``images/`` is missing, or there are no images.
    DataError
        If the pixel size is not known, or the index or datasheet is wrong.
    """

    sheet: ClassVar[Datasheet] = Datasheet(name="folder", title="A folder in Histoscope's own format")
    layout: ClassVar[str] = "images/NAME.png, labels/NAME.png (16-bit ids), index.csv, dataset.yaml"

    def __init__(
        self, root: str | Path, *, mpp: float | None = None, licence: str = "", citation: str = ""
    ) -> None:
        self.root = require_folder(root, name="folder", layout=self.layout, url="")
        if (self.root / UNFINISHED).exists():
            raise DataError(f"{self.root} was never written to its end; delete it and write it again")
        self._images = files_by_stem(self.root / "images")
        if not self._images:
            raise DatasetNotFoundError(
                f"no images in {self.root / 'images'}; {expectation('folder', self.layout, '')}"
            )
        sheet = read_sheet(self.root)
        sheet = replace(sheet, licence=licence or sheet.licence, citation=citation or sheet.citation)
        rows, self._records = self._read_records()
        own = [float(row.get("mpp") or 0) for row in rows]
        if mpp is None and all(own):
            mpp = float(np.median(own))
        elif mpp is not None:
            own = [0.0] * len(own)
        self._labels = files_by_stem(self.root / "labels") if (self.root / "labels").is_dir() else None
        self._classes = files_by_stem(self.root / "classes") if (self.root / "classes").is_dir() else None
        mpp = require_mpp(mpp if mpp is not None else sheet.mpp or None, sheet.name)
        self._mpps = [value or mpp for value in own]
        self._info = replace(sheet, mpp=mpp, counts=count_records(self._records))

    @property
    def info(self) -> Datasheet:
        """The datasheet, from ``dataset.yaml``."""
        return self._info

    @property
    def records(self) -> tuple[Record, ...]:
        """One for each row of the index."""
        return self._records

    def __getitem__(self, index: int) -> Sample:
        record = self._records[index]
        instances = classes = None
        if self._labels is not None:
            instances = read_labels(only_file(self._labels, record.name, self.root / "labels", "label map"))
        if self._classes is not None and instances is not None:
            path = only_file(self._classes, record.name, self.root / "classes", "class map")
            class_map = read_labels(path)
            if class_map.shape != instances.shape:
                raise ShapeError(f"{path}: class map is {class_map.shape}, its label map {instances.shape}")
            if min(class_map.min(initial=0), instances.min(initial=0)) < 0 or class_map.max(initial=0) > 255:
                raise DataError(f"{path}: classes must be 0 to 255 and ids 0 or more")
            classes = classes_of(instances, class_map)
        return Sample(
            image=read_image(self._image(record.name)),
            mpp=self._mpps[index],
            instances=instances,
            classes=classes,
            label=record.label,
            name=record.name,
            source=record.source,
            patient=record.patient,
        )

    def image_path(self, index: int) -> Path | None:
        """File of the image."""
        paths = self._images.get(self._records[index].name, [])
        return paths[0] if len(paths) == 1 else None

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        problems = check_samples(self, progress)
        names = {record.name for record in self._records}
        for stem in sorted(set(self._images) - names):
            problems.append(Problem(stem, "warning", "the image is not in index.csv and is left out"))
        for kind, found in (("label map", self._labels), ("class map", self._classes)):
            for stem in sorted(set(found or ()) - set(self._images)):
                problems.append(Problem(stem, "warning", f"the {kind} belongs to no image"))
        return problems

    def _image(self, name: str) -> Path:
        return only_file(self._images, name, self.root / "images", "image")

    def _read_records(self) -> tuple[list[Row], tuple[Record, ...]]:
        path = self.root / "index.csv"
        if not path.is_file():
            return [{} for _ in self._images], tuple(Record(name) for name in self._images)
        rows = read_index(path)
        if not rows:
            raise DataError(f"{path} lists no images; expected a header and one row an image")
        column = first_column(rows, _NAME_COLUMNS, path)
        return rows, tuple(_record(row, _stem(row[column], self._images), path) for row in rows)


def read_sheet(root: Path) -> Datasheet:
    """Read ``dataset.yaml`` and, for class names, ``classes.json``; defaults where there is none.

    Raises
    ------
    FormatVersionError
        If a newer Histoscope wrote it.
    CorruptDataError, DataError
        If it cannot be read or holds something else.
    """
    values = _read_yaml(root / "dataset.yaml")
    version = values.pop("format", FORMAT)
    if version != FORMAT:
        raise FormatVersionError(
            f"{root / 'dataset.yaml'} has format {version}, this Histoscope reads {FORMAT}; update it"
        )
    names: Any = values.get("classes") or _read_json(root / "classes.json")
    try:
        return Datasheet(
            name=str(values.get("name") or root.resolve().name),
            title=str(values.get("title") or ""),
            url=str(values.get("url") or ""),
            licence=str(values.get("licence") or ""),
            citation=str(values.get("citation") or ""),
            classes={int(key): str(name) for key, name in dict(names).items()},
            mpp=float(values.get("mpp") or 0),
        )
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{root / 'dataset.yaml'}: {error}; expected mpp as a number and classes as 1: name"
        ) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CorruptDataError(f"{path} is not readable YAML: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} holds {type(values).__name__}, expected keys and values")
    unknown = set(values) - _SHEET_KEYS
    if unknown:
        raise DataError(
            f"{path}: unknown key {sorted(map(str, unknown))[0]!r}; known: {', '.join(sorted(_SHEET_KEYS))}"
        )
    return values


def _read_json(path: Path) -> Mapping[str, str]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptDataError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f'{path} holds {type(values).__name__}, expected {{"1": "name of class 1", ...}}')
    return values


def _stem(text: str, images: Container[str]) -> str:
    """Return the name of an image from a cell that may hold folders and a suffix; names may hold dots."""
    name = text.replace("\\", "/").rsplit("/", 1)[-1]
    stem = name.rpartition(".")[0]
    return stem if name not in images and stem in images else name


def _record(row: Row, name: str, path: Path) -> Record:
    label = row.get("label", "")
    for key in ("label", "mpp"):
        try:
            if row.get(key) and not float(row[key]) >= 0:
                raise ValueError
        except ValueError:
            raise DataError(f"{path}: {key} of {name!r} is {row[key]!r}, expected a number") from None
    return Record(
        name=name,
        patient=row.get("patient", ""),
        source=row.get("source") or row.get("group", ""),
        split=row.get("split", ""),
        label=int(float(label)) if label else None,
        tags={key: value for key, value in row.items() if key not in _KNOWN_COLUMNS},
    )
