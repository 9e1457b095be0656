"""Histoscope's folder format: ``images/``, ``labels/``, ``classes/``, ``index.csv``, ``dataset.yaml``."""

from collections.abc import Container, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from histoscope.data import origins
from histoscope.data.base import Datasheet, classes_of
from histoscope.data.checks import Problem, Progress, unnamed_classes
from histoscope.data.readers.index import (
    Row,
    composed,
    files_by_stem,
    first_column,
    images_by_stem,
    only_file,
    read_index,
    to_number,
)
from histoscope.data.readers.reader import Entry, Reader, Truth
from histoscope.data.readers.sheet import read_sheet
from histoscope.data.views import compact
from histoscope.errors import DataError, ShapeError
from histoscope.files import read_image, read_labels
from histoscope.images.finding import Skipped, find_images, lines_of
from histoscope.images.reading import check_labels_fit
from histoscope.images.resolution import check_mpp
from histoscope.labels import largest_small_id
from histoscope.types import Image, Labels, Record, Sample

UNFINISHED = "UNFINISHED"
"""Name of the file that marks a folder that is not completely written."""
_NAME_COLUMNS = ("image_id", "name", "file", "filename", "path")
_KNOWN_COLUMNS = {*_NAME_COLUMNS, "patient", "source", "split", "label", "mpp"}
_MAX_CLASS = 255
_ASKEW = 0.1
"""Share of nuclear pixels with a class other than their nucleus's from which `verify` warns."""


class Folder(Reader):
    """A folder of images with label maps in the format of Histoscope.

    - ``images/NAME.*``;
    - ``labels/NAME.png`` (16 bits: 0 background, one id per nucleus), if there are labels;
    - ``classes/NAME.png`` (8 bits), if nuclei have classes, with their names in ``dataset.yaml`` or
      ``classes.json``;
    - ``index.csv`` with a column ``image_id`` (or ``name``, ``file``) and, where known, ``split``,
      ``patient``, ``source`` (or ``group``), ``label``, ``mpp``; every further column becomes a tag;
    - ``dataset.yaml``, the datasheet; ``learned_from.csv``, the real images behind synthetic ones.

    Without an index, every image in ``images/`` is a sample.

    Parameters
    ----------
    root : str or Path
        The folder.
    mpp : float, optional
        Micrometres per pixel of every image; overrides a column ``mpp`` of the index, which overrides
        ``dataset.yaml``.
    licence, citation : str, optional
        Terms of use and the paper to cite, for a copy without ``dataset.yaml``; they override it.

    Raises
    ------
    DatasetNotFoundError
        If the folder or its ``images/`` is missing, or there are no images.
    DataError
        If the pixel size is unknown, or the index or datasheet is wrong.
    """

    sheet = Datasheet(name="folder", title="A folder in Histoscope's own format")
    layout = "images/NAME.png, labels/NAME.png (16-bit ids), index.csv, dataset.yaml"

    def __init__(
        self, root: str | Path, *, mpp: float | None = None, licence: str = "", citation: str = ""
    ) -> None:
        self._mpp, self._licence, self._citation = mpp, licence, citation
        super().__init__(root, mpp=mpp)

    def find(self) -> Iterator[Entry]:
        """List the rows of the index, or else the images."""
        if (self.root / UNFINISHED).exists():
            raise DataError(f"{self.root} was never finished; delete it and write it again")
        self._images = images_by_stem(self.root / "images")
        if not self._images:
            raise self.nothing_found("".join(f"; {line}" for line in lines_of(self._left_out())))
        rows, records = self._read_records()
        mpps = [to_number(row.get("mpp") or "0") if self._mpp is None else 0.0 for row in rows]
        for record, value in zip(records, mpps, strict=True):
            if value:
                check_mpp(value, f"mpp of {record.name!r} in {self.root / 'index.csv'}")
        self._labels = files_by_stem(self.root / "labels") if (self.root / "labels").is_dir() else None
        self._classes = files_by_stem(self.root / "classes") if (self.root / "classes").is_dir() else None
        of_patches = self._labels is None and any(record.label is not None for record in records)
        sheet = read_sheet(self.root, of_patches=of_patches)
        self.sheet = replace(
            sheet,
            licence=self._licence or sheet.licence,
            citation=self._citation or sheet.citation,
            mpp=float(np.median(mpps)) if all(mpps) else sheet.mpp,
            origins=origins.read(self.root),
        )
        for record, value in zip(records, mpps, strict=True):
            labels = Path() if self._labels is None else self.root / "labels" / record.name
            yield Entry(record, self.root / "images" / record.name, labels, mpp=value)

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        for text in unnamed_classes(sample, self._info.classes):
            raise DataError(f"{self.root / 'classes'}, {sample.name}: {text}")
        return sample

    def read_image(self, entry: Entry) -> Image:
        """Read one image."""
        return read_image(self._image(entry.record.name))

    def read_truth(self, entry: Entry, shape: tuple[int, int]) -> Truth:
        """Read one label map, and the class map beside it."""
        if self._labels is None:
            return None, None
        name = entry.record.name
        instances = self._instances(name)
        check_labels_fit(self._image(name), self._label_map(name))
        class_map = self._class_map(name, instances)
        return instances, None if class_map is None else classes_of(instances, class_map)

    def _instances(self, name: str) -> Labels:
        """Label map of an image; ids too large for lookup tables are renumbered 1..N."""
        labels = read_labels(self._label_map(name))
        return compact(labels)[0] if labels.max(initial=0) > largest_small_id(labels) else labels

    def _label_map(self, name: str) -> Path:
        return only_file(self._labels or {}, name, self.root / "labels", "label map")

    def _class_map(self, name: str, instances: Labels) -> Labels | None:
        if self._classes is None:
            return None
        path = only_file(self._classes, name, self.root / "classes", "class map")
        class_map = read_labels(path)
        if class_map.shape != instances.shape:
            raise ShapeError(f"{path}: class map is {class_map.shape}, its label map {instances.shape}")
        in_nuclei = class_map[instances > 0]
        if in_nuclei.max(initial=0) > _MAX_CLASS:
            raise DataError(f"{path}: classes run to {in_nuclei.max()}, expected 0 to {_MAX_CLASS}")
        return np.minimum(class_map, _MAX_CLASS)

    def notes(self, index: int) -> list[str]:
        """Warn about a class map that does not fit its label map."""
        if self._labels is None:
            return []
        instances = self._instances(self._records[index].name)
        class_map = self._class_map(self._records[index].name, instances)
        inside = instances > 0
        if class_map is None or not inside.any():
            return []
        of_nucleus = classes_of(instances, class_map)[instances[inside]]
        other = float(np.mean((of_nucleus != class_map[inside])[of_nucleus > 0])) if of_nucleus.any() else 0.0
        if other < _ASKEW:
            return []
        text = f"{other:.0%} of nuclear pixels have a different class in the class map from their nucleus"
        return [f"{text}, or none: is the class map shifted or turned relative to the label map?"]

    def image_path(self, index: int) -> Path | None:
        """File of the image."""
        paths = self._images.get(self._records[index].name, [])
        return paths[0] if len(paths) == 1 else None

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        problems = super().verify(progress=progress)
        names = {record.name for record in self._records}
        for stem in sorted(set(self._images) - names):
            problems.append(Problem(stem, "warning", "the image is not in index.csv and is left out"))
        problems += [Problem(one.path.stem, "warning", str(one)) for one in self._left_out()]
        for kind, found in (("label map", self._labels), ("class map", self._classes)):
            for stem in sorted(set(found or ()) - set(self._images)):
                problems.append(Problem(stem, "warning", f"the {kind} belongs to no image"))
        return problems

    def _left_out(self) -> list[Skipped]:
        """Slides and other files in ``images/`` that are not read."""
        folder = self.root / "images"
        return find_images(folder, deep=False).skipped if folder.is_dir() else []

    def _image(self, name: str) -> Path:
        return only_file(self._images, name, self.root / "images", "image")

    def _read_records(self) -> tuple[list[Row], tuple[Record, ...]]:
        path = self.root / "index.csv"
        if not path.is_file():
            return [{} for _ in self._images], tuple(Record(name) for name in self._images)
        rows = read_index(path)
        if not rows:
            raise DataError(f"{path} lists no images; expected a header and one row per image")
        column = first_column(rows, _NAME_COLUMNS, path)
        return rows, tuple(_record(row, _stem(row[column], self._images), path) for row in rows)


def _stem(text: str, images: Container[str]) -> str:
    """Return the name of an image from a cell that may hold folders and a suffix; names may hold dots."""
    name = composed(text.replace("\\", "/").rsplit("/", 1)[-1])
    stem = name.rpartition(".")[0]
    return stem if name not in images and stem in images else name


def _record(row: Row, name: str, path: Path) -> Record:
    if row.get("mpp"):
        _number(row, "mpp", name, path)
    return Record(
        name=name,
        patient=row.get("patient", ""),
        source=row.get("source") or row.get("group", ""),
        split=row.get("split", ""),
        label=int(_number(row, "label", name, path)) if row.get("label") else None,
        tags={key: value for key, value in row.items() if key not in _KNOWN_COLUMNS},
    )


def _number(row: Row, key: str, name: str, path: Path) -> float:
    try:
        number = to_number(row[key])
    except ValueError:
        number = np.nan
    if not 0 <= number < np.inf or (key == "label" and number % 1):
        wanted = "a number above 0" if key == "mpp" else "a whole number, 0 or above"
        raise DataError(f"{path}: {key} of {name!r} is {row[key]!r}, expected {wanted}")
    return number
