"""PatchCamelyon: 327,680 patches of lymph nodes in HDF5 files."""

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from histoscope.data.base import Dataset, Datasheet, count_records
from histoscope.data.readers.index import expectation, read_index, require_folder
from histoscope.errors import (
    ConfigError,
    CorruptDataError,
    DataError,
    DatasetNotFoundError,
    MissingDependencyError,
    ShapeError,
)
from histoscope.types import Record, Sample

_PARTS = {"train": "train", "valid": "val", "test": "test"}
_CLASSES = ("normal", "tumour")
_SIDE_PX = 96


class PCam(Dataset):
    """PatchCamelyon: does the central 32 x 32 px of a 96 px patch hold tumour? At 10x, 0.972 um/px.

    Reads ``camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5`` (unpack the ``.gz``) and, where it is
    there, ``..._meta.csv``, which names the slide. Without it patches have no source, and only the published
    parts keep slides apart. Needs h5py: ``pip install 'histoscope[hdf5]'``.

    Parameters
    ----------
    root : str or Path
        The folder of the files.
    part : {"all", "train", "valid", "test"}
        Which to open; ``all`` takes those that are there.

    Raises
    ------
    DatasetNotFoundError
        If the files are missing.
    MissingDependencyError
        If h5py is not installed.
    CorruptDataError, ShapeError
        If a file is no whole HDF5 file, or of another shape.

    References
    ----------
    Veeling et al., "Rotation equivariant CNNs for digital pathology", MICCAI 2018,
    doi:10.1007/978-3-030-00934-2_24
    """

    sheet: ClassVar[Datasheet] = Datasheet(
        name="pcam",
        title="PatchCamelyon",
        url="https://github.com/basveeling/pcam",
        licence="CC0 1.0",
        citation="Veeling et al., MICCAI 2018, doi:10.1007/978-3-030-00934-2_24",
        classes=dict(enumerate(_CLASSES)),
        mpp=0.972,
    )
    layout: ClassVar[str] = "camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5 and _meta.csv"

    def __init__(self, root: str | Path, *, part: str = "all") -> None:
        self.root = require_folder(root, name="pcam", layout=self.layout, url=self.sheet.url)
        if part not in {"all", *_PARTS}:
            raise ConfigError(f"part is {part!r}, expected 'all', 'train', 'valid' or 'test'")
        wanted = [name for name in _PARTS if part in {"all", name}]
        there = [name for name in wanted if (self.root / _file(name, "x.h5")).is_file()]
        if not there:
            what = expectation("pcam", self.layout, self.sheet.url)
            packed = " The files are still packed: run gunzip." if any(self.root.glob("*.h5.gz")) else ""
            raise DatasetNotFoundError(f"no {_file(wanted[0], 'x.h5')} in {self.root}; {what}{packed}")
        records: list[Record] = []
        self._places: list[tuple[Path, int]] = []
        for name in there:
            found = self._read_part(name)
            records += found
            self._places += [(self.root / _file(name, "x.h5"), row) for row in range(len(found))]
        self._records = tuple(records)
        labels = [record.label for record in records]
        counts = {f"class {kind}": labels.count(place) for place, kind in enumerate(_CLASSES)}
        self._info = replace(self.sheet, counts=count_records(records) | counts)

    @property
    def info(self) -> Datasheet:
        """The datasheet."""
        return self._info

    @property
    def records(self) -> tuple[Record, ...]:
        """One for each patch, in the order of the files."""
        return self._records

    def __getitem__(self, index: int) -> Sample:
        path, row = self._places[index]
        record = self._records[index]
        try:
            image = np.asarray(_array(path, "x")[row])
        except OSError as error:
            raise CorruptDataError(f"{path}, row {row} cannot be read ({error}); get it again") from error
        return Sample(
            image=image, mpp=self._info.mpp, label=record.label, name=record.name, source=record.source
        )

    def _read_part(self, name: str) -> list[Record]:
        images = _array(self.root / _file(name, "x.h5"), "x")
        labels = np.asarray(_array(self.root / _file(name, "y.h5"), "y")).ravel()
        if images.shape[1:] != (_SIDE_PX, _SIDE_PX, 3) or images.dtype != np.uint8:
            raise ShapeError(
                f"{_file(name, 'x.h5')} holds {images.shape} {images.dtype}, expected (N, 96, 96, 3) uint8"
            )
        meta = self.root / _file(name, "meta.csv")
        rows = read_index(meta) if meta.is_file() else [{} for _ in labels]
        if not len(images) == len(labels) == len(rows):
            raise ShapeError(
                f"part {name!r} has {len(images)} patches, {len(labels)} labels, {len(rows)} rows of meta; "
                "the three must agree: get the files again"
            )
        if not set(np.unique(labels)) <= {0, 1}:
            raise DataError(f"{_file(name, 'y.h5')} holds the labels {np.unique(labels)}, expected 0 and 1")
        return [
            Record(
                f"{name}_{number:06d}",
                source=row.get("wsi", ""),
                split=_PARTS[name],
                label=int(label),
                tags={"class": _CLASSES[int(label)]},
            )
            for number, (label, row) in enumerate(zip(labels, rows, strict=True))
        ]


def _file(part: str, kind: str) -> str:
    return f"camelyonpatch_level_2_split_{part}_{kind}"


def _array(path: Path, key: str) -> Any:
    # One handle a process: HDF5 files must not be shared with forked loader workers.
    return _opened(path, key, os.getpid())


@lru_cache(maxsize=16)
def _opened(path: Path, key: str, _process: int) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError(
            "reading PCam needs h5py: pip install 'histoscope[hdf5]' (or pip install h5py)"
        ) from error
    if not path.is_file():
        raise DatasetNotFoundError(f"no {path.name} in {path.parent}; each part needs _x.h5 and _y.h5")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise CorruptDataError(f"{path} is no whole HDF5 file ({error}); get it again") from error
    if key not in file:
        raise DataError(f"{path} holds {', '.join(file) or 'nothing'}, expected {key!r}; get it again")
    return file[key]
