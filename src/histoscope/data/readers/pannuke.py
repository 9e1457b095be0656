"""PanNuke as distributed: three folds of NumPy arrays, one channel of instance ids for each class."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from histoscope.data.base import Datasheet
from histoscope.data.readers.containers import open_npy, open_pair, whole_numbers
from histoscope.data.readers.reader import Entry, Reader, Truth, folders_below
from histoscope.data.views import compact
from histoscope.errors import ConfigError, CorruptDataError, DataError, DatasetNotFoundError, ShapeError
from histoscope.types import Image, Labels, Record

CLASSES = {1: "neoplastic", 2: "inflammatory", 3: "connective", 4: "dead", 5: "epithelial"}
_ROLES = {
    1: {1: "train", 2: "val", 3: "test"},
    2: {2: "train", 1: "val", 3: "test"},
    3: {3: "train", 2: "val", 1: "test"},
}
_FOLD = re.compile(r"fold[ _-]?([1-3])", re.IGNORECASE)


class PanNuke(Reader):
    """PanNuke: 7,901 H&E patches of 19 tissues, 256 x 256 pixels at 40x, 189,744 nuclei in five classes.

    Reads ``Fold 1/images/fold1/images.npy`` (N, 256, 256, 3) float64 from 0 to 255, ``types.npy`` (N,) tissue
    names, beside it, and ``Fold 1/masks/fold1/masks.npy`` (N, 256, 256, 6) float64; other nestings of the
    same files work, if a folder names the fold. Arrays are mapped into memory and read one patch at a time.

    Channels 0 to 4 of the masks hold instance ids, one channel per class; the last is background and is
    ignored. An id may occur in several channels for unrelated nuclei, so a nucleus is an id in a channel;
    where channels overlap, the later one counts, and ids are numbered 1..N without gaps. Our class k is
    channel k - 1: the epithelial class is the last, not the first, and is the one that is not neoplastic.

    The published evaluation rotates the folds; `split` is the rotation. The slides of the patches are not
    published. The tags are ``fold`` and ``tissue``.

    Parameters
    ----------
    root, mpp
        As for `Reader`.
    split : int
        1: train on fold 1, validate on 2, test on 3. 2: train on 2, validate on 1, test on 3.
        3: train on 3, validate on 2, test on 1.

    References
    ----------
    Gamper et al., "PanNuke: an open pan-cancer histology dataset for nuclei instance segmentation and
    classification", ECDP 2019, doi:10.1007/978-3-030-23937-4_2; Gamper et al., "PanNuke Dataset Extension,
    Insights and Baselines", doi:10.48550/arXiv.2003.10778
    """

    sheet = Datasheet(
        name="pannuke",
        title="PanNuke, nuclei of 19 tissues",
        url="https://warwick.ac.uk/fac/cross_fac/tia/data/pannuke",
        licence="CC BY-NC-SA 4.0",
        citation="Gamper et al. 2019, doi:10.1007/978-3-030-23937-4_2; 2020, doi:10.48550/arXiv.2003.10778",
        classes=CLASSES,
        mpp=0.25,
    )
    layout = "Fold 1/images/fold1/{images,types}.npy + Fold 1/masks/fold1/masks.npy, and so on"
    images_are = "fold of PanNuke"

    def __init__(self, root: str | Path, *, mpp: float | None = None, split: int = 1) -> None:
        if split not in _ROLES:
            raise ConfigError(f"split is {split}, expected 1, 2 or 3")
        self._roles = _ROLES[split]
        super().__init__(root, mpp=mpp)

    def find(self) -> Iterator[Entry]:
        """List the patches, fold after fold."""
        images, masks = _find_folds(self.root, "images.npy"), _find_folds(self.root, "masks.npy")
        for fold in sorted({*images, *masks}):
            if fold not in images or fold not in masks:
                have = images.get(fold) or masks[fold]
                lacks = "masks.npy" if fold in images else "images.npy"
                raise DatasetNotFoundError(f"fold {fold} has {have} but no {lacks}; unpack the archive again")
            n_patches = len(open_pair(images[fold], masks[fold], 6)[0])
            for row, tissue in enumerate(_tissues(images[fold].with_name("types.npy"), n_patches)):
                tags = {"fold": f"fold{fold}"} | ({"tissue": tissue} if tissue else {})
                record = Record(f"fold{fold}_{row:05d}", split=self._roles[fold], tags=tags)
                yield Entry(record, images[fold], masks[fold], row)

    def read_image(self, entry: Entry) -> Image:
        """Read one patch."""
        # Reopened each time: a mapped array would be copied to data loading processes as gigabytes.
        pixels = open_npy(entry.image, -1, -1, -1, 3)[entry.row]
        what, low, high = f"{entry.image}, patch {entry.row}", float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 255):
            raise CorruptDataError(f"{what}: pixels run from {low} to {high}, expected 0 to 255")
        if pixels.dtype.kind == "f" and 0 < high <= 1:
            raise DataError(
                f"{what}: pixels run from {low} to {high}, expected 0 to 255; this copy was rescaled"
            )
        return np.asarray(np.rint(pixels), np.uint8)

    def read_truth(self, entry: Entry, shape: tuple[int, int]) -> Truth:
        """Read the masks of one patch."""
        return self._joined(entry)[:2]

    def notes(self, index: int) -> list[str]:
        """Report how many nuclei are covered by others."""
        hidden = self._joined(self._entries[index])[2]
        return [f"{hidden} nuclei are completely covered by nuclei of other channels and left out"] * bool(
            hidden
        )

    @staticmethod
    def _joined(entry: Entry) -> tuple[Labels, NDArray[np.uint8], int]:
        masks = open_npy(entry.labels, -1, -1, -1, 6)[entry.row]
        return join_channels(masks[..., :5], f"{entry.labels}, patch {entry.row}")


def join_channels(masks: NDArray[np.number], what: str = "masks") -> tuple[Labels, NDArray[np.uint8], int]:
    """Merge channels (H, W, C) of instance ids, one channel per class, into one map.

    Ids are only unique within a channel; where channels overlap, the later one counts. Returns the map with
    ids 1..N, the channel of each nucleus (N + 1,) from 1, and the number of nuclei without a pixel left.

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


def _find_folds(root: Path, name: str) -> dict[int, Path]:
    """Files called `name` by the fold that the nearest folder names."""
    found: dict[int, Path] = {}
    for folder in folders_below(root, 4):
        named = _FOLD.findall(str(folder.relative_to(root.parent)))
        if not (folder / name).is_file() or not named:
            continue
        fold = int(named[-1])
        if fold in found:
            raise DataError(f"fold {fold} is there twice: {found[fold]} and {folder / name}; keep one")
        found[fold] = folder / name
    return found


def _tissues(path: Path, n_patches: int) -> list[str]:
    if not path.is_file():
        return [""] * n_patches
    types = open_npy(path, -1)
    if len(types) != n_patches:
        raise ShapeError(f"{path} names {len(types)} tissues for {n_patches} patches")
    return [str(tissue) for tissue in types]
