"""CoNIC as distributed: images and labels in two NumPy arrays, split by the baseline's own rule."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from histoscope.data.base import Datasheet, classes_of
from histoscope.data.checks import Problem, Progress
from histoscope.data.readers.containers import open_npy, open_pair, whole_numbers
from histoscope.data.readers.index import first_column, read_index
from histoscope.data.readers.lizard import CLASSES
from histoscope.data.readers.reader import Entry, Reader, Truth, check_classes, folders_below
from histoscope.data.views import compact
from histoscope.errors import ConfigError, DataError
from histoscope.types import Image, Record

FOLDS = 10


class CoNIC(Reader):
    """CoNIC challenge 2022: 4,981 H&E patches of colon, 256 x 256 pixels at 20x, in six classes.

    Reads ``images.npy`` (N, 256, 256, 3) uint8, ``labels.npy`` (N, 256, 256, 2) uint16 (instance ids, then
    the class of each pixel) and ``patch_info.csv`` (column ``patch_info``, one name per row such as
    ``consep_1-0000``). Arrays are mapped into memory and read one patch at a time. Patches are cut from the
    images of Lizard with overlap: the source is the name before the ``-``, and a split that does not keep
    sources together leaks. The tag ``cohort`` is the collection of the source.

    The split is the one of the challenge's baseline, see `baseline_split`; the baseline trained on the first
    of its ten. Without ``patch_info.csv`` there is neither split nor source, and there is no split if a
    cohort has only one source.

    Parameters
    ----------
    root, mpp
        As for `Reader`.
    fold : int
        Which of the ten splits, from 0.

    References
    ----------
    Graham et al., "CoNIC Challenge: Pushing the frontiers of nuclear detection, segmentation, classification
    and counting", Medical Image Analysis 92 (2024), doi:10.1016/j.media.2023.103047
    """

    sheet = Datasheet(
        name="conic",
        title="Colon Nuclei Identification and Counting Challenge 2022",
        url="https://conic-challenge.grand-challenge.org/Data/",
        licence="CC BY-NC-SA 4.0",
        citation="Graham et al., Medical Image Analysis 92 (2024), doi:10.1016/j.media.2023.103047",
        classes=CLASSES,
        mpp=0.5,
    )
    layout = "images.npy, labels.npy (uint16: ids, classes), patch_info.csv, counts.csv"
    images_are = "images.npy"

    def __init__(self, root: str | Path, *, mpp: float | None = None, fold: int = 0) -> None:
        if fold not in range(FOLDS):
            raise ConfigError(f"fold is {fold}, expected 0 to {FOLDS - 1}")
        self._fold, self._no_split = fold, ""
        super().__init__(root, mpp=mpp)

    def find(self) -> Iterator[Entry]:
        """List the patches, in the order of the arrays."""
        folder = next((one for one in folders_below(self.root, 2) if (one / "images.npy").is_file()), None)
        if folder is None:
            return
        files = folder / "images.npy", folder / "labels.npy"
        n_patches = len(open_pair(*files, 2)[0])
        for row, record in enumerate(self._read_records(folder / "patch_info.csv", n_patches)):
            yield Entry(record, *files, row=row)

    def read_image(self, entry: Entry) -> Image:
        """Read one patch."""
        # Reopened each time: a mapped array would be copied to data loading processes as gigabytes.
        return np.array(open_npy(entry.image, -1, -1, -1, 3)[entry.row])

    def read_truth(self, entry: Entry, shape: tuple[int, int]) -> Truth:
        """Read the labels of one patch."""
        ids, types = np.moveaxis(open_npy(entry.labels, -1, -1, -1, 2)[entry.row], 2, 0)
        what = f"{entry.labels}, patch {entry.row}"
        instances = compact(whole_numbers(ids, f"{what}: ids"))[0]
        class_map = check_classes(whole_numbers(types, f"{what}: classes"), CLASSES, what)
        return instances, classes_of(instances, class_map)

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        missing = [Problem("patch_info.csv", "warning", self._no_split)] if self._no_split else []
        return super().verify(progress=progress) + missing

    def _read_records(self, path: Path, n_patches: int) -> list[Record]:
        if not path.is_file():
            self._no_split = "patch_info.csv is missing: neither sources nor the split are known"
            return [Record(f"{number:05d}") for number in range(n_patches)]
        rows = read_index(path)
        column = first_column(rows, ("patch_info",), path)
        if len(rows) != n_patches:
            raise DataError(
                f"{path} lists {len(rows)} patches, but images.npy holds {n_patches}; get both again"
            )
        names = [row[column] for row in rows]
        sources = [name.split("-")[0] for name in names]
        try:
            parts = baseline_split(sources, self._fold)
        except DataError as error:
            parts, self._no_split = {}, str(error)
        return [
            Record(name, source=source, split=parts.get(source, ""), tags={"cohort": source.split("_")[0]})
            for name, source in zip(names, sources, strict=True)
        ]


def baseline_split(sources: Sequence[str], fold: int = 0) -> dict[str, str]:
    """Split sources into ``train`` and ``val`` as the challenge's baseline did.

    Sources, not patches, are drawn at random: 80 % to training and 20 % to validation within each cohort, by
    scikit-learn's ``StratifiedShuffleSplit(10, train_size=0.8, test_size=0.2, random_state=5)``. The names
    are sorted; the cohort is the part before the first ``_``.

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

    Raises
    ------
    DataError
        If it cannot be drawn: each cohort needs at least two sources, and each part one from each cohort.

    Examples
    --------
    >>> parts = baseline_split([f"{cohort}_{k}" for cohort in ("consep", "glas") for k in range(10)])
    >>> sorted(name for name, part in parts.items() if part == "val")
    ['consep_3', 'consep_6', 'glas_0', 'glas_9']
    """
    from sklearn.model_selection import StratifiedShuffleSplit

    names = np.unique(np.array(sources))
    cohorts = [name.split("_")[0] for name in names]
    splitter = StratifiedShuffleSplit(FOLDS, train_size=0.8, test_size=0.2, random_state=5)
    try:
        _, val = next(islice(splitter.split(names, cohorts), fold, None))
    except ValueError as error:
        raise DataError(
            f"the baseline's split cannot be drawn from {len(names)} sources of {len(set(cohorts))} cohorts: "
            f"{error}"
        ) from error
    chosen = set(val.tolist())
    return {str(name): "val" if row in chosen else "train" for row, name in enumerate(names)}
