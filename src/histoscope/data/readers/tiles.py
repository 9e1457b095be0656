"""What readers of image files with a label file each have in common."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from histoscope.data.base import (
    Dataset,
    Datasheet,
    Problem,
    Progress,
    check_samples,
    count_records,
    require_mpp,
)
from histoscope.data.readers.index import expectation, require_folder
from histoscope.data.views import compact
from histoscope.errors import DataError, DatasetNotFoundError, ShapeError
from histoscope.files import read_image
from histoscope.types import Labels, Record, Sample

Truth: TypeAlias = tuple[Labels, NDArray[np.uint8] | None]
"""(H, W) int32 instance map and the class of each id, if nuclei have classes."""


@dataclass(frozen=True, slots=True)
class Tile:
    """An image file, its label file, and what is known of both."""

    image: Path
    labels: Path
    record: Record


class Tiles(Dataset):
    """A published set of image files with one label file each.

    A reader says how to find its tiles and how to read one label file; ids are numbered 1..N without gaps.
    """

    sheet: ClassVar[Datasheet]
    layout: ClassVar[str]

    def __init__(self, root: str | Path, *, mpp: float | None = None) -> None:
        name = self.sheet.name
        self.root = require_folder(root, name=name, layout=self.layout, url=self.sheet.url)
        self._tiles = tuple(self.find_tiles())
        if not self._tiles:
            what = expectation(name, self.layout, self.sheet.url)
            raise DatasetNotFoundError(f"no images of {name} in {self.root}; {what}")
        self._info = replace(self.sheet, mpp=require_mpp(mpp, name), counts=count_records(self.records))

    @abstractmethod
    def find_tiles(self) -> Iterable[Tile]:
        """List the tiles below `root`."""

    @abstractmethod
    def read_truth(self, tile: Tile) -> Truth:
        """Read one label file."""

    @property
    def info(self) -> Datasheet:
        """The datasheet."""
        return self._info

    @property
    def records(self) -> tuple[Record, ...]:
        """One for each image."""
        return tuple(tile.record for tile in self._tiles)

    def __getitem__(self, index: int) -> Sample:
        tile = self._tiles[index]
        image = read_image(tile.image, ignore_alpha=True)
        instances, classes = self.read_truth(tile)
        if instances.shape != image.shape[:2]:
            raise ShapeError(
                f"{tile.labels}: label map is {instances.shape}, its image {image.shape[:2]}; "
                "they must have the same height and width"
            )
        instances, classes = compact(instances, classes)
        return Sample(
            image=image,
            mpp=self._info.mpp,
            instances=instances,
            classes=classes,
            name=tile.record.name,
            source=tile.record.source,
            patient=tile.record.patient,
        )

    def image_path(self, index: int) -> Path | None:
        """File of the image."""
        return self._tiles[index].image

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        problems = check_samples(self, progress)
        used = {tile.labels for tile in self._tiles}
        for folder, suffix in sorted({(path.parent, path.suffix.lower()) for path in used}):
            problems += [
                Problem(path.stem, "warning", "the label file belongs to no image")
                for path in files_in(folder, suffix)
                if path not in used
            ]
        return problems


def files_in(folder: Path, *suffixes: str) -> list[Path]:
    """Files of a folder with one of the suffixes, sorted; hidden files are left out."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")
    )


def folders_below(root: Path, depth: int = 3) -> Iterator[Path]:
    """Give `root` and the folders to `depth` levels below it, without what macOS leaves in archives."""
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
