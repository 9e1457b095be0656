"""What a model learned from, image by image, and which images of a data set it has seen.

The list stands beside the weights (``learned_from.csv``), a row an image: part, data set, name, patient,
source, a digest of the decoded pixels, and the file. It is written before training begins.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from histoscope import data
from histoscope.data import Dataset, Datasheet, Split
from histoscope.data.audit import read_pictures
from histoscope.data.base import Progress
from histoscope.data.copies import find_copies
from histoscope.errors import ConfigError, HistoscopeError
from histoscope.files import read_image
from histoscope.models.checkpoint import read_card
from histoscope.tables import TEXT_COLUMNS, read_table, write_table
from histoscope.types import Image, Record, Sample
from histoscope.words import count

FILE, ON_CARD = "learned_from.csv", "learned from"
COLUMNS = ("part", "data", "name", "patient", "source", "pixels", "file")
TRAIN, VALIDATION, PATIENT, COPY, UNSEEN = "train", "validation", "patient", "copy", ""
PRETRAINING, UNKNOWN = "pretraining", "unknown"
MIN_SIMILARITY = 0.8
"""Correlation of aligned pictures from which one counts as a copy, as in `histoscope.data.audit`."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Which images of a data set a model has seen.

    Parameters
    ----------
    status : tuple of str
        One a record: ``train`` or ``validation`` (these pixels were learned from, or validated on), ``copy``
        (a turned, rescaled or recompressed copy was), ``patient`` (other images of the patient were), or "".
    renamed : tuple of str
        Names that were learned from, of images with other pixels: they count as unseen.
    not_compared : int
        Images that were learned from and are no longer where they were, so that copies of them are not found.
    unknown : tuple of str
        Models that training began from and of which nobody knows what they learned from.
    """

    status: tuple[str, ...]
    renamed: tuple[str, ...] = ()
    not_compared: int = 0
    unknown: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Images of each status."""
        found = Counter(self.status)
        return {status or "unseen": found[status] for status in (TRAIN, VALIDATION, COPY, PATIENT, UNSEEN)}

    def __str__(self) -> str:
        """Say it to people."""
        n = self.counts()
        words = {
            TRAIN: "trained on",
            VALIDATION: "validated on",
            COPY: "copied from one of these",
            PATIENT: "of a patient (or slide) that was trained on",
        }
        parts = [f"{n[status]} {what}" for status, what in words.items() if n[status]]
        total = len(self.status)
        if not parts:
            return f"the model has seen none of {count(total, 'image')}"
        return f"the model has seen {total - n['unseen']} of {count(total, 'image')}: {', '.join(parts)}"

    def notes(self) -> list[str]:
        """What else must be known beside the counts."""
        said = []
        if self.renamed:
            said.append(
                f"same name, other pixels: {count(len(self.renamed), 'image')}, such as {self.renamed[0]!r}; "
                "not taken for seen by name"
            )
        if self.not_compared:
            said.append(
                f"copies of {count(self.not_compared, 'image')} that were learned from cannot be found: "
                "their files are not here"
            )
        if self.unknown:
            began = ", ".join(self.unknown)
            said.append(f"training began from {began}, and it is not known what that learned from")
        return said


def digest_of(image: Image) -> str:
    """Digest of decoded pixels and shape; the same for every lossless format.

    Examples
    --------
    >>> dark = np.zeros((4, 6, 3), np.uint8)
    >>> digest_of(dark) == digest_of(dark.copy()), digest_of(dark) == digest_of(dark.reshape(6, 4, 3))
    (True, False)
    """
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image, np.uint8).data)
    return digest.hexdigest()


class Watched(Dataset):
    """The same data set, which keeps a digest of each image when it is read.

    Parameters
    ----------
    dataset : Dataset
        As its files are, neither normalised nor resampled.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._digests: dict[int, str] = {}

    @property
    def info(self) -> Datasheet:
        """The datasheet."""
        return self._dataset.info

    @property
    def records(self) -> tuple[Record, ...]:
        """The records."""
        return self._dataset.records

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        self._digests[index] = digest_of(sample.image)
        return sample

    def image_path(self, index: int) -> Path | None:
        """File of the image, if it has one."""
        return self._dataset.image_path(index)

    def digests(self) -> list[str]:
        """Digest of each image, "" for those that cannot be read; what was not read yet is read now."""

        def digest(index: int) -> str:
            if index not in self._digests:
                try:
                    self[index]
                except (HistoscopeError, OSError):
                    return ""
            return self._digests[index]

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders and digests let go of the interpreter
            return list(pool.map(digest, range(len(self))))


def watched(parts: Split) -> Split:
    """Training, validation and test part, each watched."""
    return Split(*(Watched(part) for _, part in parts))


def learned_from(parts: Mapping[str, Dataset]) -> pd.DataFrame:
    """List the images of parts.

    Parameters
    ----------
    parts : mapping of str to Dataset
        ``train``, ``val``, ``synthetic``; neither normalised nor resampled. What is not `Watched` is decoded
        once more.

    Returns
    -------
    DataFrame
        Columns part, data, name, patient, source, pixels ("" where an image cannot be read) and file.
    """
    rows: list[tuple[str, ...]] = []
    for part, dataset in parts.items():
        sheet, found = dataset.info, zip(dataset.records, _digests(dataset), _files(dataset), strict=True)
        rows += [
            (part, sheet.name, record.name, record.patient, record.source, pixels, file)
            for record, pixels, file in found
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def copy(source: str | Path, folder: str | Path) -> None:
    """Copy the list of one model, if it has any, to the folder of another with the same weights."""
    learned = read(source)
    if learned is not None:
        write_table(Path(folder) / FILE, learned)


def write(
    folder: str | Path, parts: Mapping[str, Dataset], *begun_from: str | Path | None, goes_on: bool = False
) -> dict[str, str]:
    """Write what a model learns from into its folder, and give the line of the card that names the file.

    Parameters
    ----------
    folder : str or Path
        Of the model; made if missing.
    parts : mapping of str to Dataset
        As in `learned_from`.
    *begun_from : str, Path or None
        Model folders that training began from: what those learned from was learned from here too. Where
        that is not known, the list says so. Files of published weights are no images of ours.
    goes_on : bool
        A training that has begun goes on, with the images that it began with.

    Raises
    ------
    ConfigError
        If it was begun with other images: they would be missing from the list.
    """
    tables = [learned_from(parts)]
    if goes_on and (Path(folder) / FILE).is_file():
        _check_same(Path(folder) / FILE, tables[0])
    for origin in begun_from:
        if origin is not None and Path(origin).is_dir():
            known = read(origin)
            if known is None:
                known = pd.DataFrame([(UNKNOWN, str(origin), *[""] * 5)], columns=list(COLUMNS))
            tables.append(known.assign(part=known["part"].where(known["part"] == UNKNOWN, PRETRAINING)))
    write_table(Path(folder) / FILE, pd.concat(tables, ignore_index=True))
    return {ON_CARD: FILE}


def _check_same(path: Path, now: pd.DataFrame) -> None:
    before = read_table(path, text=TEXT_COLUMNS | set(COLUMNS))
    old, new = (
        set(zip(table["part"], table["name"], table["pixels"], strict=True))
        for table in (before[before["part"].isin(now["part"])], now)
    )
    changed = sorted({name for _, name, _ in old ^ new})
    if changed:
        raise ConfigError(
            f"training in {path.parent.parent} began with other images: {count(len(changed), 'name')} of "
            f"{len(new)} differ (first: {changed[0]!r}); bring the old ones back, or choose another folder "
            "with --set out=..."
        )


def read(folder: str | Path) -> pd.DataFrame | None:
    """Read what a model learned from; None if its card names no such list.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError
        If the card names a list and it is not there, or cannot be read.
    """
    folder = Path(folder)
    if not (folder / "card.json").is_file() and (folder / "model" / "card.json").is_file():
        folder = folder / "model"
    if not (folder / "card.json").is_file() or ON_CARD not in read_card(folder):
        return None
    return read_table(folder / FILE, text=TEXT_COLUMNS | set(COLUMNS))


def seen_in(
    learned: pd.DataFrame, dataset: Dataset, *, audit: bool = False, progress: Progress | None = None
) -> Seen:
    """Find the images of a data set that a model has seen.

    Parameters
    ----------
    learned : DataFrame
        From `read`.
    dataset : Dataset
        Neither normalised nor resampled.
    audit : bool
        Look for copies too, by their landmarks (`histoscope.data.copies`); it takes the files that were
        learned from.
    progress : callable, optional
        Called with (pictures read, all pictures) while copies are looked for.
    """
    unknown = tuple(learned.loc[learned["part"] == UNKNOWN, "data"])
    learned = learned[learned["part"] != UNKNOWN]
    by_pixels = {
        pixels: VALIDATION if part == "val" else TRAIN
        for part, pixels in sorted(zip(learned["part"], learned["pixels"], strict=True), reverse=True)
        if pixels
    }
    digests = _digests(dataset)
    status = [by_pixels.get(pixels, UNSEEN) for pixels in digests]
    names = set(learned["name"])
    renamed = tuple(
        record.name
        for record, pixels, found in zip(dataset.records, digests, status, strict=True)
        if found == UNSEEN and pixels and record.name in names
    )
    lacking = 0
    if audit:
        others = [place for place, found in enumerate(status) if found == UNSEEN]
        copies, lacking = _copies(learned, data.subset(dataset, others), progress)
        for place in copies:
            status[others[place]] = COPY
    known = _patients(learned)
    status = [found or known(record) for found, record in zip(status, dataset.records, strict=True)]
    return Seen(tuple(status), renamed, lacking, unknown)


def _patients(learned: pd.DataFrame) -> Callable[[Record], str]:
    """Whether a record is of a patient that was learned from; where no patient is known, of a source."""
    patients = set(learned["patient"]) - {""}
    sources = set(learned["source"]) - {""}
    alone = set(learned.loc[learned["patient"] == "", "source"]) - {""}

    def status(record: Record) -> str:
        slides = alone if record.patient else sources
        return PATIENT if record.patient in patients or record.source in slides else UNSEEN

    return status


def _copies(learned: pd.DataFrame, dataset: Dataset, progress: Progress | None) -> tuple[list[int], int]:
    """Places of images that copy one that was learned from, and how many of those are no longer there."""
    files = sorted({file for file in learned["file"] if file and Path(file).is_file()})
    kept = learned["file"].isin(files)
    lacking = len(learned) - int(kept.sum())
    if not files or not len(dataset):
        return [], lacking
    known = _Files(files)
    pictures, _ = read_pictures({"learned": known, "given": dataset}, progress)
    part = np.repeat([0, 1], [len(known), len(dataset)])
    found = find_copies(pictures, part, MIN_SIMILARITY)
    return sorted({copy.right - len(known) for copy in found}), lacking


class _Files(Dataset):
    """Image files without labels."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files = [Path(file) for file in files]

    @property
    def info(self) -> Datasheet:
        return Datasheet("files")

    @property
    def records(self) -> tuple[Record, ...]:
        return tuple(Record(str(file)) for file in self._files)

    def __getitem__(self, index: int) -> Sample:
        return Sample(read_image(self._files[index]), mpp=1.0)

    def image_path(self, index: int) -> Path | None:
        return self._files[index]


def _files(dataset: Dataset) -> list[str]:
    """The file of each image, "" where it has none of its own."""
    paths = [dataset.image_path(index) for index in range(len(dataset))]
    times = Counter(paths)
    return [
        str(path.resolve()) if path is not None and times[path] == 1 and path.is_file() else ""
        for path in paths
    ]


def _digests(dataset: Dataset) -> list[str]:
    return (dataset if isinstance(dataset, Watched) else Watched(dataset)).digests()
