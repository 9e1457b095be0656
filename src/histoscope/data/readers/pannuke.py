"""PanNuke as distributed: three folds of NumPy arrays, one channel of instance ids for each class."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

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
from histoscope.data.readers.containers import open_npy, whole_numbers
from histoscope.data.readers.index import expectation, require_folder
from histoscope.data.readers.tiles import folders_below
from histoscope.data.views import compact
from histoscope.errors import ConfigError, CorruptDataError, DataError, DatasetNotFoundError, ShapeError
from histoscope.types import Image, Labels, Record, Sample

CLASSES = {1: "neoplastic", 2: "inflammatory", 3: "connective", 4: "dead", 5: "epithelial"}
_ROLES = {
    1: {1: "train", 2: "val", 3: "test"},
    2: {2: "train", 1: "val", 3: "test"},
    3: {3: "train", 2: "val", 1: "test"},
}
_FOLD = re.compile(r"fold[ _-]?([1-3])", re.IGNORECASE)


class PanNuke(Dataset):
    """PanNuke: 7,901 H&E patches of 19 tissues, 256 x 256 pixels at 40x, 189,744 nuclei in five classes.

    Reads ``Fold 1/images/fold1/images.npy`` (N, 256, 256, 3) float64 from 0 to 255, ``types.npy`` (N,) tissue
    names beside it, and ``Fold 1/masks/fold1/masks.npy`` (N, 256, 256, 6) float64; other nestings of the same
    files do, as long as a folder names the fold. Arrays are mapped into memory and read one patch at a time.

    Channels 0 to 4 of the masks hold instance ids, one channel a class; the last is background
    and is ignored. An id may stand in several channels for nuclei that have nothing to do with each other, so
    a nucleus is an id in a channel; where channels overlap the later one counts, and ids are
    numbered 1..N without gaps. Class k of ours is channel k - 1 of theirs: the epithelial class is the
    last, not the first, and is the one that is not neoplastic.

    The published evaluation takes turns with the folds; `split` names the turn. The slides that patches come
    from are not published. The tags are ``fold`` and ``tissue``.

    Parameters
    ----------
    root : str or Path
        The folder that holds the folds (all three, or some).
    mpp : float
        Micrometres per pixel.
    split : int
        1: train on fold 1, validate on 2, test on 3. 2: train on 2, validate on 1, test on 3.
        3: train on 3, validate on 2, test on 1.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder, no fold in it, or an array of a fold is missing.
    ConfigError
        If there is no such split.
    CorruptDataError, ShapeError
        If an array is cut off, or arrays do not fit together.

    References
    ----------
    Gamper et al., "PanNuke: an open pan-cancer histology dataset for nuclei instance segmentation and
    classification", ECDP 2019, doi:10.1007/978-3-030-23937-4_2; Gamper et al., "PanNuke Dataset Extension,
    Insights and Baselines", doi:10.48550/arXiv.2003.10778
    """

    sheet: ClassVar[Datasheet] = Datasheet(
        name="pannuke",
        title="PanNuke, nuclei of 19 tissues",
        url="https://warwick.ac.uk/fac/cross_fac/tia/data/pannuke",
        licence="CC BY-NC-SA 4.0",
        citation="Gamper et al. 2019, doi:10.1007/978-3-030-23937-4_2; 2020, doi:10.48550/arXiv.2003.10778",
        classes=CLASSES,
        mpp=0.25,
    )
    layout: ClassVar[str] = "Fold 1/images/fold1/{images,types}.npy + Fold 1/masks/fold1/masks.npy, and so on"

    def __init__(self, root: str | Path, *, mpp: float = 0.25, split: int = 1) -> None:
        if split not in _ROLES:
            raise ConfigError(f"split is {split}, expected 1, 2 or 3")
        self.root = require_folder(root, name="pannuke", layout=self.layout, url=self.sheet.url)
        folds = _find_folds(self.root)
        if not folds:
            what = expectation("pannuke", self.layout, self.sheet.url)
            raise DatasetNotFoundError(f"no fold of PanNuke in {self.root}; {what}")
        self._places = [(fold, row) for fold in folds for row in range(_check_fold(fold))]
        self._records = tuple(record for fold in folds for record in _fold_records(fold, _ROLES[split]))
        self._info = replace(self.sheet, mpp=require_mpp(mpp, "pannuke"), counts=count_records(self._records))

    @property
    def info(self) -> Datasheet:
        """The datasheet."""
        return self._info

    @property
    def records(self) -> tuple[Record, ...]:
        """One for each patch, fold after fold."""
        return self._records

    def __getitem__(self, index: int) -> Sample:
        fold, row = self._places[index]
        # Opened anew each time: a mapped array would travel to data loading processes as gigabytes.
        image = _as_image(open_npy(fold.images, -1, -1, -1, 3)[row], f"{fold.images}, patch {row}")
        masks = open_npy(fold.masks, -1, -1, -1, 6)[row]
        instances, classes, _ = join_channels(masks[..., :5], f"{fold.masks}, patch {row}")
        return Sample(
            image=image,
            mpp=self._info.mpp,
            instances=instances,
            classes=classes,
            name=self._records[index].name,
        )

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        return check_samples(self, progress, notes=self._notes)

    def _notes(self, index: int) -> list[str]:
        fold, row = self._places[index]
        masks = open_npy(fold.masks, -1, -1, -1, 6)[row]
        hidden = join_channels(masks[..., :5], self._records[index].name)[2]
        return [f"{hidden} nuclei are wholly covered by nuclei of other channels and left out"] * bool(hidden)


def join_channels(masks: NDArray[np.number], what: str = "masks") -> tuple[Labels, NDArray[np.uint8], int]:
    """Join channels of instance ids, one channel a class, into one map.

    Parameters
    ----------
    masks : (H, W, C) numbers
        Ids, 0 elsewhere; an id means nothing outside its channel.
    what : str
        What they are, for the message.

    Returns
    -------
    instances : (H, W) int32
        Ids 1..N without gaps; where channels overlap, the later one.
    classes : (N + 1,) uint8
        Channel of each nucleus, from 1.
    hidden : int
        Nuclei of which no pixel was left.

    Examples
    --------
    >>> join_channels(np.array([[[7, 0], [7, 7], [0, 7]]]))
    (array([[1, 2, 2]], dtype=int32), array([0, 1, 2], dtype=uint8), 0)
    """
    instances = np.zeros(masks.shape[:2], np.int32)
    classes = [0]
    for channel in range(masks.shape[2]):
        ids = whole_numbers(masks[..., channel], f"{what}, channel {channel}")
        found, numbers = np.unique(ids[ids > 0], return_inverse=True)
        instances[ids > 0] = numbers + len(classes)
        classes += [channel + 1] * len(found)
    kept = np.array(classes, np.uint8)[np.union1d([0], instances)]
    return compact(instances)[0], kept, len(classes) - len(kept)


def _as_image(pixels: NDArray[np.number], what: str) -> Image:
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 255):
        raise CorruptDataError(f"{what}: pixels run from {low} to {high}, expected 0 to 255")
    if pixels.dtype.kind == "f" and 0 < high <= 1:
        raise DataError(f"{what}: pixels run from {low} to {high}, expected 0 to 255; this copy was rescaled")
    image: Image = np.rint(pixels).astype(np.uint8)
    return image


@dataclass(frozen=True, slots=True)
class _Fold:
    number: int
    images: Path
    types: Path
    masks: Path


def _find_folds(root: Path) -> list[_Fold]:
    found: dict[str, dict[int, Path]] = {"images.npy": {}, "masks.npy": {}}
    for folder in folders_below(root, 4):
        for name, places in found.items():
            named = _FOLD.findall(str(folder.relative_to(root.parent)))
            if not (folder / name).is_file() or not named:
                continue
            number = int(named[-1])
            if number in places:
                raise DataError(f"fold {number} stands twice: {places[number]} and {folder / name}; keep one")
            places[number] = folder / name
    images, masks = found["images.npy"], found["masks.npy"]
    for number in sorted(set(images) ^ set(masks)):
        have = images.get(number) or masks[number]
        lacks = "masks.npy" if number in images else "images.npy"
        raise DatasetNotFoundError(f"fold {number} has {have} but no {lacks}; unpack the archive again")
    return [_Fold(n, images[n], images[n].with_name("types.npy"), masks[n]) for n in sorted(images)]


def _check_fold(fold: _Fold) -> int:
    images, masks = open_npy(fold.images, -1, -1, -1, 3), open_npy(fold.masks, -1, -1, -1, 6)
    if images.shape[:3] != masks.shape[:3]:
        raise ShapeError(
            f"fold {fold.number}: {fold.images} is {images.shape}, {fold.masks} {masks.shape}; "
            "the number of patches, height and width must agree"
        )
    return len(images)


def _fold_records(fold: _Fold, roles: dict[int, str]) -> list[Record]:
    n_patches = _check_fold(fold)
    tissues = [""] * n_patches
    if fold.types.is_file():
        types = open_npy(fold.types, -1)
        if len(types) != n_patches:
            raise ShapeError(f"{fold.types} names {len(types)} tissues for {n_patches} patches")
        tissues = [str(tissue) for tissue in types]
    return [
        Record(
            f"fold{fold.number}_{row:05d}",
            split=roles[fold.number],
            tags={"fold": f"fold{fold.number}"} | ({"tissue": tissue} if tissue else {}),
        )
        for row, tissue in enumerate(tissues)
    ]
