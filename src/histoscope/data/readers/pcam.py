"""PatchCamelyon: 327,680 patches of lymph nodes in HDF5 files."""

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from histoscope.data.base import Datasheet
from histoscope.data.readers.index import read_index
from histoscope.data.readers.reader import Entry, Reader
from histoscope.errors import (
    ConfigError,
    CorruptDataError,
    DataError,
    DatasetNotFoundError,
    MissingDependencyError,
    ShapeError,
)
from histoscope.types import Image, Record

_PARTS = {"train": "train", "valid": "val", "test": "test"}
_CLASSES = ("normal", "tumour")
_SIDE_PX = 96


class PCam(Reader):
    """PatchCamelyon: does the central 32 x 32 px of a 96 px patch hold tumour? At 10x, 0.972 um/px.

    Reads ``camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5`` (unpack the ``.gz``) and, if it exists,
    ``..._meta.csv``, which names the slide. Without it patches have no source, and only the published parts
    keep slides apart. Needs h5py: ``pip install 'histoscope[hdf5]'``.

    Parameters
    ----------
    root
        As for `Reader`.
    part : {"all", "train", "valid", "test"}
        Which to open; ``all`` opens those that exist.

    References
    ----------
    Veeling et al., "Rotation equivariant CNNs for digital pathology", MICCAI 2018,
    doi:10.1007/978-3-030-00934-2_24
    """

    sheet = Datasheet(
        name="pcam",
        title="PatchCamelyon",
        url="https://github.com/basveeling/pcam",
        licence="CC0 1.0",
        citation="Veeling et al., MICCAI 2018, doi:10.1007/978-3-030-00934-2_24",
        classes=dict(enumerate(_CLASSES)),
        mpp=0.972,
    )
    layout = "camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5 and _meta.csv"

    def __init__(self, root: str | Path, *, part: str = "all") -> None:
        if part not in {"all", *_PARTS}:
            raise ConfigError(f"part is {part!r}, expected 'all', 'train', 'valid' or 'test'")
        self._wanted = [name for name in _PARTS if part in {"all", name}]
        self.images_are = _file(self._wanted[0], "x.h5")
        super().__init__(root)

    def find(self) -> Iterator[Entry]:
        """List the patches, in the order of the files."""
        there = [name for name in self._wanted if (self.root / _file(name, "x.h5")).is_file()]
        if not there and any(self.root.glob("*.h5.gz")):
            raise self.nothing_found(" The files are still packed: run gunzip.")
        for name in there:
            for row, record in enumerate(self._read_part(name)):
                yield Entry(record, self.root / _file(name, "x.h5"), row=row)

    def read_image(self, entry: Entry) -> Image:
        """Read one patch."""
        try:
            return np.asarray(_array(entry.image, "x")[entry.row])
        except OSError as error:
            raise CorruptDataError(
                f"{entry.image}, row {entry.row} cannot be read ({error}); get it again"
            ) from error

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
    # One handle per process: HDF5 files must not be shared with forked loader workers.
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
        raise CorruptDataError(f"{path} is not a complete HDF5 file ({error}); get it again") from error
    if key not in file:
        raise DataError(f"{path} holds {', '.join(file) or 'nothing'}, expected {key!r}; get it again")
    return file[key]
