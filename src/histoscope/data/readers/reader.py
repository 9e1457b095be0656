"""Base class of readers: a reader defines its layout, finds its files, and reads labels."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from histoscope.data.base import Dataset, Datasheet, count_records, require_mpp
from histoscope.data.checks import Problem, Progress, check_samples
from histoscope.data.readers.index import files_by_stem
from histoscope.errors import DataError, DatasetNotFoundError, ShapeError
from histoscope.files import read_image
from histoscope.types import Image, Labels, Record, Sample

Truth: TypeAlias = tuple[Labels | None, NDArray[np.uint8] | None]
"""(H, W) int32 instance map, and the class of each id; None if there are none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a data set: what is known about it, and its files.

    Parameters
    ----------
    record : Record
    image : Path
        Image file, or the file with an array of images.
    labels : Path, optional
        File (or folder) with its labels, or with an array of labels; empty if it has none.
    row : int, optional
        Index in the arrays.
    mpp : float
        Micrometres per pixel, if images of one data set differ.
    """

    record: Record
    image: Path
    labels: Path = Path()
    row: int | None = None
    mpp: float = 0.0


class Reader(Dataset):
    """A data set in files: the base of all readers.

    A reader has a `sheet` and a `layout`, finds its images (`find`), and reads label files (`read_truth`).
    It stores its own options before calling this ``__init__``.

    Parameters
    ----------
    root : str or Path
        The folder, or one above it.
    mpp : float, optional
        Micrometres per pixel, for a copy that was resampled; by default the published value.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder or no image in it; the message says what was expected.
    DataError
        If `mpp` is missing and not published.
    """

    sheet: Datasheet
    layout: str
    images_are: str = "images"
    """Name of the images in messages."""
    ignore_alpha: ClassVar[bool] = True
    """Whether to ignore a fourth channel; otherwise transparent parts are white."""

    def __init__(self, root: str | Path, *, mpp: float | None = None) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            what = "is a file" if self.root.exists() else "does not exist"
            raise DatasetNotFoundError(f"{root} {what}; {self.expected()}")
        self._entries = tuple(self.find())
        if not self._entries:
            raise self.nothing_found()
        self._records = tuple(entry.record for entry in self._entries)
        counts = count_records(self._records)
        if self._records[0].label is not None and not self._entries[0].labels.name:
            labels = [record.label for record in self._records]
            counts |= {f"class {name}": labels.count(place) for place, name in self.sheet.classes.items()}
        mpp = require_mpp(mpp if mpp is not None else self.sheet.mpp or None, self.sheet.name)
        self._info = replace(self.sheet, mpp=mpp, counts=counts)

    @abstractmethod
    def find(self) -> Iterable[Entry]:
        """List the images below `root`, without reading pixels; it may complete `sheet`."""

    def read_image(self, entry: Entry) -> Image:
        """Read one image."""
        return read_image(entry.image, ignore_alpha=self.ignore_alpha)

    def read_truth(self, entry: Entry, shape: tuple[int, int]) -> Truth:
        """Read the label map, and the class of each id, of an image of `shape`."""
        return None, None

    def notes(self, index: int) -> list[str]:
        """Warnings of `verify` for one sample, about problems that cannot be seen after reading."""
        return []

    def expected(self) -> str:
        """Describe the expected folder and where to get its files."""
        url = self.sheet.url
        where = f" Histoscope downloads nothing by itself: get the files from {url}." if url else ""
        return f"data set {self.sheet.name!r} expects {self.layout}.{where}"

    def nothing_found(self, hint: str = "") -> DatasetNotFoundError:
        """Error for a folder without images of this data set."""
        return DatasetNotFoundError(f"no {self.images_are} in {self.root}; {self.expected()}{hint}")

    @property
    def info(self) -> Datasheet:
        """The datasheet."""
        return self._info

    @property
    def records(self) -> tuple[Record, ...]:
        """One for each image, in the order of `find`."""
        return self._records

    def __getitem__(self, index: int) -> Sample:
        entry = self._entries[index]
        image = self.read_image(entry)
        instances, classes = self.read_truth(entry, image.shape[:2])
        if instances is not None and instances.shape != image.shape[:2]:
            raise ShapeError(
                f"{entry.labels}: label map is {instances.shape}, its image "
                f"{image.shape[:2]}; they must have the same height and width"
            )
        return Sample(
            image=image,
            mpp=entry.mpp or self._info.mpp,
            instances=instances,
            classes=classes,
            label=entry.record.label,
            name=entry.record.name,
            source=entry.record.source,
            patient=entry.record.patient,
        )

    def image_path(self, index: int) -> Path | None:
        """File of the image; None if it is part of an array, or missing."""
        entry = self._entries[index]
        return entry.image if entry.row is None and entry.image.is_file() else None

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        problems = check_samples(self, progress, notes=self.notes)
        used = {entry.labels for entry in self._entries if entry.labels.suffix and entry.row is None}
        for folder, suffix in sorted({(path.parent, path.suffix.lower()) for path in used}):
            problems += [
                Problem(path.stem, "warning", "the label file belongs to no image")
                for path in files_in(folder, suffix)
                if path not in used
            ]
        return problems + [
            Problem(f"class {name}", "warning", "the class has no patches")
            for name in self._info.classes.values()
            if self._info.counts.get(f"class {name}") == 0
        ]


def files_in(folder: Path, *suffixes: str) -> list[Path]:
    """Files of a folder with one of the suffixes, in any letter case, sorted; hidden files are left out."""
    return sorted(path for paths in files_by_stem(folder, suffixes).values() for path in paths)


def folders_below(root: Path, depth: int = 3) -> Iterator[Path]:
    """`root` and the folders up to `depth` levels below it, without those that macOS adds to archives."""
    yield root
    if depth:
        for folder in sorted(root.iterdir()):
            if folder.is_dir() and folder.name != "__MACOSX" and not folder.name.startswith("."):
                yield from folders_below(folder, depth - 1)


def check_classes(values: NDArray[np.integer], names: Iterable[int], what: str) -> NDArray[np.uint8]:
    """Return class ids as uint8.

    Raises
    ------
    DataError
        If one of them is neither 0 nor in `names`.
    """
    known = {0, *names}
    strange = sorted(set(np.unique(values).tolist()) - known)
    if strange:
        raise DataError(f"{what} holds class {strange[0]}, expected {min(known)} to {max(known)}")
    return values.astype(np.uint8)
