"""CoNIC as distributed: images and labels in two NumPy arrays, split by the baseline's own rule."""

from collections.abc import Sequence
from dataclasses import replace
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
    classes_of,
    count_records,
    require_mpp,
)
from histoscope.data.readers.containers import open_npy, whole_numbers
from histoscope.data.readers.index import expectation, first_column, read_index, require_folder
from histoscope.data.readers.lizard import CLASSES
from histoscope.data.readers.tiles import check_classes, folders_below
from histoscope.data.views import compact
from histoscope.errors import ConfigError, DataError, DatasetNotFoundError, ShapeError
from histoscope.types import Record, Sample

SEED = 5
"""Random seed of the baseline's split."""
FOLDS = 10
_TEST_SHARE = 0.2


class CoNIC(Dataset):
    """CoNIC challenge 2022: 4,981 H&E patches of colon, 256 x 256 pixels at 20x, in six classes.

    Reads ``images.npy`` (N, 256, 256, 3) uint8, ``labels.npy`` (N, 256, 256, 2) uint16 (instance ids, then
    the class of each pixel) and ``patch_info.csv`` (column ``patch_info``, one name a row such as
    ``consep_1-0000``). Arrays are mapped into memory and read one patch at a time. Patches are cut from the
    images of Lizard with overlap: the source is the name before the ``-``, and a split that does not keep
    sources together leaks. The tag ``cohort`` is the collection that the source comes from.

    The split is the one of the challenge's baseline: sources, not patches, are drawn at random, 80 % to train
    and 20 % to validation within each cohort, seed 5; of the ten splits drawn that way the baseline
    trained on the first. Without ``patch_info.csv`` there is neither split nor source.

    Parameters
    ----------
    root : str or Path
        The folder, or one above it.
    mpp : float
        Micrometres per pixel.
    fold : int
        Which of the ten splits, from 0.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder or an array is missing.
    ConfigError
        If there is no such fold.
    CorruptDataError, ShapeError
        If an array is cut off, or arrays do not fit together.

    References
    ----------
    Graham et al., "CoNIC Challenge: Pushing the frontiers of nuclear detection, segmentation, classification
    and counting", Medical Image Analysis 92 (2024), doi:10.1016/j.media.2023.103047
    """

    sheet: ClassVar[Datasheet] = Datasheet(
        name="conic",
        title="Colon Nuclei Identification and Counting Challenge 2022",
        url="https://conic-challenge.grand-challenge.org/Data/",
        licence="CC BY-NC-SA 4.0",
        citation="Graham et al., Medical Image Analysis 92 (2024), doi:10.1016/j.media.2023.103047",
        classes=CLASSES,
        mpp=0.5,
    )
    layout: ClassVar[str] = "images.npy, labels.npy (uint16: ids, classes), patch_info.csv, counts.csv"

    def __init__(self, root: str | Path, *, mpp: float = 0.5, fold: int = 0) -> None:
        if fold not in range(FOLDS):
            raise ConfigError(f"fold is {fold}, expected 0 to {FOLDS - 1}")
        root = require_folder(root, name="conic", layout=self.layout, url=self.sheet.url)
        found = [folder for folder in folders_below(root, 2) if (folder / "images.npy").is_file()]
        if not found:
            what = expectation("conic", self.layout, self.sheet.url)
            raise DatasetNotFoundError(f"no images.npy in {root}; {what}")
        self.root = found[0]
        images = open_npy(self.root / "images.npy", -1, -1, -1, 3)
        labels = open_npy(self.root / "labels.npy", -1, -1, -1, 2)
        if images.shape[:3] != labels.shape[:3]:
            raise ShapeError(
                f"{self.root}: images.npy is {images.shape}, labels.npy {labels.shape}; "
                "the number of patches, height and width must agree"
            )
        self._records = _read_records(self.root / "patch_info.csv", len(images), fold)
        self._info = replace(self.sheet, mpp=require_mpp(mpp, "conic"), counts=count_records(self._records))

    @property
    def info(self) -> Datasheet:
        """The datasheet."""
        return self._info

    @property
    def records(self) -> tuple[Record, ...]:
        """One for each patch, in the order of the arrays."""
        return self._records

    def __getitem__(self, index: int) -> Sample:
        # Opened anew each time: a mapped array would travel to data loading processes as gigabytes.
        image = open_npy(self.root / "images.npy", -1, -1, -1, 3)[index]
        ids, types = np.moveaxis(open_npy(self.root / "labels.npy", -1, -1, -1, 2)[index], 2, 0)
        what = f"{self.root / 'labels.npy'}, patch {index}"
        instances = compact(whole_numbers(ids, f"{what}: ids"))[0]
        class_map = check_classes(whole_numbers(types, f"{what}: classes"), CLASSES, what)
        classes = classes_of(instances, class_map)
        record = self._records[index]
        return Sample(
            image=np.array(image),
            mpp=self._info.mpp,
            instances=instances,
            classes=classes,
            name=record.name,
            source=record.source,
        )

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        problems = check_samples(self, progress)
        if not self._records[0].source:
            text = "patch_info.csv is missing: neither sources nor the split are known"
            problems.append(Problem("patch_info.csv", "warning", text))
        return problems


def baseline_split(sources: Sequence[str], fold: int = 0) -> dict[str, str]:
    """Deal sources to ``train`` and ``val`` as the challenge's baseline did.

    The names are sorted; the cohort is what stands before the first ``_``. Each draw gives a fifth of the
    sources (rounded up) to validation, in every cohort its due share: whole numbers first, and the sources
    left over to the cohorts with the largest remainders, ties broken at random. This is what scikit-learn's
    ``StratifiedShuffleSplit(10, train_size=0.8, test_size=0.2, random_state=5)`` does, draw for draw.

    Parameters
    ----------
    sources : sequence of str
        Names of source images.
    fold : int
        Which of the ten draws, from 0.

    Returns
    -------
    dict of str to str
        Part of each source.

    Examples
    --------
    >>> parts = baseline_split([f"{cohort}_{k}" for cohort in ("consep", "glas") for k in range(10)])
    >>> sorted(name for name, part in parts.items() if part == "val")
    ['consep_3', 'consep_6', 'glas_0', 'glas_9']
    """
    names = np.unique(np.array(sources))
    _, cohorts = np.unique([name.split("_")[0] for name in names], return_inverse=True)
    sizes = np.bincount(cohorts)
    members = [np.flatnonzero(cohorts == cohort) for cohort in range(len(sizes))]
    n_val = int(np.ceil(_TEST_SHARE * len(names)))
    # The legacy generator, on purpose: another one would give another split than the published one.
    rng = np.random.RandomState(SEED)
    train: list[int] = []
    for _ in range(fold + 1):
        n_train = _due_shares(sizes, len(names) - n_val, rng)
        _due_shares(sizes - n_train, n_val, rng)  # every member left over; drawn only to stay in step
        train = []
        for rows, count in zip(members, n_train, strict=True):
            train += rows[rng.permutation(len(rows))][:count].tolist()
        rng.permutation(len(train))
        rng.permutation(len(names) - len(train))
    chosen = set(train)
    return {str(name): "train" if row in chosen else "val" for row, name in enumerate(names)}


def _due_shares(sizes: NDArray[np.integer], n_drawn: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """How many of `n_drawn` come from each cohort."""
    due = sizes / sizes.sum() * n_drawn
    shares: NDArray[np.int64] = np.floor(due).astype(np.int64)
    left = n_drawn - int(shares.sum())
    for remainder in sorted(set((due - shares).tolist()), reverse=True):
        if left <= 0:
            break
        tied = np.flatnonzero(due - np.floor(due) == remainder)
        lucky = rng.choice(tied, size=min(len(tied), left), replace=False)
        shares[lucky] += 1
        left -= len(lucky)
    return shares


def _read_records(path: Path, n_patches: int, fold: int) -> tuple[Record, ...]:
    if not path.is_file():
        return tuple(Record(f"{number:05d}") for number in range(n_patches))
    rows = read_index(path)
    only = tuple(rows[0]) if rows and len(rows[0]) == 1 else ()  # a table of one column, whatever its name
    column = first_column(rows, ("patch_info", *only), path)
    if len(rows) != n_patches:
        raise DataError(f"{path} names {len(rows)} patches, images.npy holds {n_patches}; get both again")
    names = [row[column] for row in rows]
    sources = [name.split("-")[0] for name in names]
    parts = baseline_split(sources, fold) if len(set(sources)) > 1 else {}
    return tuple(
        Record(name, source=source, split=parts.get(source, ""), tags={"cohort": source.split("_")[0]})
        for name, source in zip(names, sources, strict=True)
    )
