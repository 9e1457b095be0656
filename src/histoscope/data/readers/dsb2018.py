"""Data Science Bowl 2018 as distributed: a folder per image, a mask per nucleus."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from histoscope.data.base import (
    Dataset,
    Datasheet,
    Problem,
    Progress,
    check_samples,
    count_records,
    require_mpp,
)
from histoscope.data.readers.index import expectation, files_by_stem, require_folder
from histoscope.errors import DatasetNotFoundError, ShapeError
from histoscope.files import read_image, read_labels
from histoscope.types import Labels, Record, Sample


class DSB2018(Dataset):
    """Data Science Bowl 2018, stage 1: nuclei of many kinds of microscopy, a few of them H&E.

    Reads ``stage1_train/ID/images/ID.png`` and ``stage1_train/ID/masks/*.png``; `root` is that folder or the
    one above it. Images without a ``masks`` folder (the test part) have no labels. The publisher names no
    patients; many images are neighbouring crops of one source, so a random split of them leaks.

    Parameters
    ----------
    root : str or Path
        The folder.
    mpp : float
        Micrometres per pixel; none is published, so it must be given.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder or no image in it.
    DataError
        If `mpp` is missing.

    References
    ----------
    Caicedo et al., "Nucleus segmentation across imaging experiments", Nature Methods 16 (2019),
    doi:10.1038/s41592-019-0612-7
    """

    sheet: ClassVar[Datasheet] = Datasheet(
        name="dsb2018",
        title="Data Science Bowl 2018, stage 1",
        url="https://bbbc.broadinstitute.org/BBBC038",
        licence="CC0 1.0",
        citation="Caicedo et al., Nature Methods 16 (2019), doi:10.1038/s41592-019-0612-7",
    )
    layout: ClassVar[str] = "stage1_train/ID/images/ID.png + stage1_train/ID/masks/*.png"

    def __init__(self, root: str | Path, *, mpp: float | None = None) -> None:
        self.root = require_folder(root, name="dsb2018", layout=self.layout, url=self.sheet.url)
        mpp = require_mpp(mpp, "dsb2018")
        inner = [folder for folder in sorted(self.root.glob("stage1_*/")) if folder.is_dir()]
        self._folders = [
            folder.parent for base in inner or [self.root] for folder in sorted(base.glob("*/images/"))
        ]
        if not self._folders:
            what = expectation("dsb2018", self.layout, self.sheet.url)
            raise DatasetNotFoundError(f"no ID/images folders in {self.root}; {what}")
        self._records = tuple(Record(folder.name, split=_part(folder)) for folder in self._folders)
        self._info = replace(self.sheet, mpp=mpp, counts=count_records(self._records))

    @property
    def info(self) -> Datasheet:
        """The datasheet."""
        return self._info

    @property
    def records(self) -> tuple[Record, ...]:
        """One for each image, sorted by id."""
        return self._records

    def __getitem__(self, index: int) -> Sample:
        folder = self._folders[index]
        path = self.image_path(index)
        if path is None:
            raise DatasetNotFoundError(
                f"not exactly one image in {folder / 'images'}; expected {folder.name}.png"
            )
        image = read_image(path)
        masks = folder / "masks"
        instances = join_masks(masks, image.shape[:2])[0] if masks.is_dir() else None
        return Sample(image=image, mpp=self._info.mpp, instances=instances, name=folder.name)

    def image_path(self, index: int) -> Path | None:
        """File of the image."""
        paths = [path for found in files_by_stem(self._folders[index] / "images").values() for path in found]
        return paths[0] if len(paths) == 1 else None

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        return check_samples(self, progress, notes=self._notes)

    def _notes(self, index: int) -> list[str]:
        path, masks = self.image_path(index), self._folders[index] / "masks"
        if path is None or not masks.is_dir():
            return []
        shared = join_masks(masks, read_image(path).shape[:2])[1]
        return [f"{shared} pixels lie in more than one mask"] if shared else []


def join_masks(folder: Path, shape: tuple[int, ...]) -> tuple[Labels, int]:
    """Join the masks of a folder, numbered in the order of their names; the first keeps shared pixels.

    Returns
    -------
    instances : (H, W) int32
        The instance map.
    shared : int
        Pixels that lie in more than one mask.

    Raises
    ------
    ShapeError
        If a mask has another size than `shape`.
    """
    instances, shared, number = np.zeros(shape, np.int32), 0, 0
    for paths in files_by_stem(folder, {".png"}).values():
        mask = read_labels(paths[0]) > 0
        if mask.shape != shape:
            raise ShapeError(
                f"{paths[0]}: mask is {mask.shape}, its image {shape}; they must have the same size"
            )
        free = mask & (instances == 0)
        shared += int(mask.sum() - free.sum())
        if free.any():
            number += 1
            instances[free] = number
    return instances, shared


def _part(folder: Path) -> str:
    return {"stage1_train": "train", "stage1_test": "test"}.get(folder.parent.name, "")
