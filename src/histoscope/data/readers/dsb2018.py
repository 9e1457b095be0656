"""Data Science Bowl 2018 as distributed: a folder per image, a mask per nucleus."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from histoscope.data.base import Datasheet
from histoscope.data.readers.reader import Entry, Reader, Truth, files_in
from histoscope.errors import DatasetNotFoundError, ShapeError
from histoscope.files import IMAGE_SUFFIXES, read_image, read_labels
from histoscope.types import Image, Labels, Record

_PARTS = {"stage1_train": "train", "stage1_test": "test"}


class DSB2018(Reader):
    """Data Science Bowl 2018, stage 1: nuclei in many kinds of microscopy images, a few of them H&E.

    Reads ``stage1_train/ID/images/ID.png`` and ``stage1_train/ID/masks/*.png``; `root` is that folder or the
    one above it. Images without a ``masks`` folder (the test part) have no labels. The publisher names no
    patients; many images are neighbouring crops of one source, so a random split of them leaks. No
    pixel size is published: `mpp` must be given.

    References
    ----------
    Caicedo et al., "Nucleus segmentation across imaging experiments", Nature Methods 16 (2019),
    doi:10.1038/s41592-019-0612-7
    """

    sheet = Datasheet(
        name="dsb2018",
        title="Data Science Bowl 2018, stage 1",
        url="https://bbbc.broadinstitute.org/BBBC038",
        licence="CC0 1.0",
        citation="Caicedo et al., Nature Methods 16 (2019), doi:10.1038/s41592-019-0612-7",
    )
    layout = "stage1_train/ID/images/ID.png + stage1_train/ID/masks/*.png"
    images_are = "ID/images folders"
    ignore_alpha = False

    def find(self) -> Iterator[Entry]:
        """List the images, sorted by id within each part."""
        inner = [folder for folder in sorted(self.root.glob("stage1_*/")) if folder.is_dir()]
        for base in inner or [self.root]:
            for images in sorted(base.glob("*/images/")):
                folder, masks = images.parent, images.parent / "masks"
                files = files_in(images, *IMAGE_SUFFIXES)
                image = files[0] if len(files) == 1 else images
                record = Record(folder.name, split=_PARTS.get(base.name, ""))
                yield Entry(record, image, masks if masks.is_dir() else Path())

    def read_image(self, entry: Entry) -> Image:
        """Read one image."""
        if entry.image.is_dir():
            raise DatasetNotFoundError(
                f"not exactly one image in {entry.image}; expected {entry.record.name}.png"
            )
        return super().read_image(entry)

    def read_truth(self, entry: Entry, shape: tuple[int, int]) -> Truth:
        """Read the masks of one image."""
        return join_masks(entry.labels, shape)[0] if entry.labels.name else None, None

    def notes(self, index: int) -> list[str]:
        """Report how many pixels masks share."""
        entry = self._entries[index]
        shared = join_masks(entry.labels, read_image(entry.image).shape[:2])[1] if entry.labels.name else 0
        return [f"{shared} pixels lie in more than one mask"] * bool(shared)


def join_masks(folder: Path, shape: tuple[int, ...]) -> tuple[Labels, int]:
    """Merge the masks of a folder into one instance map, and count the pixels in more than one mask.

    Masks are numbered in the order of their names; the first keeps shared pixels.
    """
    instances, shared, number = np.zeros(shape, np.int32), 0, 0
    for path in files_in(folder, ".png"):
        mask = read_labels(path) > 0
        if mask.shape != shape:
            raise ShapeError(f"{path}: mask is {mask.shape}, its image {shape}; they must have the same size")
        free = mask & (instances == 0)
        shared += int(mask.sum() - free.sum())
        if free.any():
            number += 1
            instances[free] = number
    return instances, shared
