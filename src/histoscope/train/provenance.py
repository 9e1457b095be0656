"""What a model learned from, image by image.

The list is beside the weights (``learned_from.csv``), one row per image: part, data set, name, patient,
source, a digest of the decoded pixels, and the name of the file, without folders. It is written before
training begins.
"""

import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from histoscope.data import Dataset, Datasheet, Split
from histoscope.data.origins import COLUMNS, FILE, TEXT, Row
from histoscope.errors import ConfigError, HistoscopeError
from histoscope.images.digest import digest_of, digest_of_sample
from histoscope.models.card import read_card
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.tables import read_table, write_table
from histoscope.types import Record, Sample
from histoscope.words import count

ON_CARD = "learned from"
PRETRAINING, GENERATOR, REFERENCE, UNKNOWN = "pretraining", "generator", "reference", "unknown"
"""Parts of the list: what training began from had learned from, real images that synthetic ones were fitted
to, images that stains are normalised to, and models whose training data are not known."""


class Watched(Dataset):
    """The same data set, which keeps a digest of each image, and of it with its labels, when it is read.

    Parameters
    ----------
    dataset : Dataset
        As its files are, neither normalised nor resampled.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._digests: dict[int, tuple[str, str]] = {}

    @classmethod
    def of(cls, dataset: Dataset) -> "Watched":
        """The data set itself, if it is watched already."""
        return dataset if isinstance(dataset, cls) else cls(dataset)

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
        self._digests[index] = digest_of(sample.image), digest_of_sample(sample)
        return sample

    def image_path(self, index: int) -> Path | None:
        """File of the image, if it has one."""
        return self._dataset.image_path(index)

    def data_name(self, index: int) -> str:
        """Name of the data set that it is of."""
        return self._dataset.data_name(index)

    def digests(self) -> list[str]:
        """Digest of each image, "" for those that cannot be read; what was not read yet is read now."""
        return [pixels for pixels, _ in self._both()]

    def contents(self) -> list[str]:
        """The same of each image with its labels, classes and resolution."""
        return [content for _, content in self._both()]

    def _both(self) -> list[tuple[str, str]]:
        def digest(index: int) -> tuple[str, str]:
            if index not in self._digests:
                try:
                    self[index]
                except (HistoscopeError, OSError):
                    return "", ""
            return self._digests[index]

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders and digests let go of the interpreter
            return list(pool.map(digest, range(len(self))))


def watched(parts: Split) -> Split:
    """Training, validation and test part, each watched."""
    return Split(*(Watched(part) for _, part in parts))


def learned_from(parts: Mapping[str, Dataset]) -> pd.DataFrame:
    """List the images of parts, and the real ones that the synthetic ones among them were fitted to.

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
    rows, behind = list[Row](), dict[Row, None]()
    for part, dataset in parts.items():
        sheet, found = dataset.info, zip(dataset.records, digests_of(dataset), _files(dataset), strict=True)
        rows += [
            (part, dataset.data_name(k), record.name, record.patient, record.source, pixels, file)
            for k, (record, pixels, file) in enumerate(found)
        ]
        behind |= {(row[0] if row[0] == UNKNOWN else GENERATOR, *row[1:]): None for row in sheet.origins}
    return pd.DataFrame([*rows, *behind], columns=list(COLUMNS))


def origins_of(dataset: Dataset) -> tuple[Row, ...]:
    """List a data set, for the datasheet of synthetic images that are fitted to it."""
    return tuple(learned_from({"train": dataset}).itertuples(index=False, name=None))


def unknown(place: str | Path) -> Row:
    """Row of a model, generator or spec whose training data are not known."""
    return (UNKNOWN, "/".join(Path(place).absolute().parts[-2:]), *[""] * 5)


def copy(source: str | Path, folder: str | Path) -> None:
    """Copy the list of one model, if it has any, to the folder of another with the same weights."""
    learned = read(source)
    if learned is not None:
        write_table(Path(folder) / FILE, learned)


def write(
    folder: str | Path,
    parts: Mapping[str, Dataset],
    *begun_from: str | Path | None,
    normalizer: BaseNormalizer[Any] | None = None,
    goes_on: bool = False,
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
        that is not known, the list says so. Files of published weights are not images.
    normalizer : Normalizer, optional
        Of the images; those that it was fitted to are listed too.
    goes_on : bool
        A training that has begun goes on, with the images that it began with.

    Raises
    ------
    ConfigError
        If it was begun with other images: they would be missing from the list.
    """
    tables = [learned_from(parts)]
    if normalizer is not None:
        others = [pixels for pixels in normalizer.pixels if pixels not in set(tables[0]["pixels"])]
        rows = [(REFERENCE, "", normalizer.origin, "", "", pixels, "") for pixels in others]
        tables[0] = pd.concat([tables[0], pd.DataFrame(rows, columns=list(COLUMNS))], ignore_index=True)
    if goes_on and (Path(folder) / FILE).is_file():
        _check_same(Path(folder) / FILE, tables[0])
    for origin in begun_from:
        if origin is not None and Path(origin).is_dir():
            known = read(origin)
            if known is None:
                known = pd.DataFrame([unknown(origin)], columns=list(COLUMNS))
            tables.append(known.assign(part=known["part"].where(known["part"] == UNKNOWN, PRETRAINING)))
    write_table(Path(folder) / FILE, pd.concat(tables, ignore_index=True))
    return {ON_CARD: FILE}


def _check_same(path: Path, now: pd.DataFrame) -> None:
    before = read_table(path, text=TEXT)
    now = now[~now["part"].isin({GENERATOR, REFERENCE} - set(before["part"]))]  # lists of before had none
    old, new = (
        set(zip(table["part"], table["name"], table["pixels"], strict=True))
        for table in (before[before["part"].isin(now["part"])], now)
    )
    changed = sorted({name for _, name, _ in old ^ new})
    if changed:
        raise ConfigError(
            f"the run in {path.parent} began with other images: {count(len(changed), 'name')} of {len(new)} "
            f"differ (first: {changed[0]!r}); restore the old ones, or choose another folder"
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
    return read_table(folder / FILE, text=TEXT)


def _files(dataset: Dataset) -> list[str]:
    """Name of the file of each image, "" where it has none of its own."""
    paths = [dataset.image_path(index) for index in range(len(dataset))]
    times = Counter(paths)
    return [path.name if path is not None and times[path] == 1 and path.is_file() else "" for path in paths]


def digests_of(dataset: Dataset) -> list[str]:
    """Digest of the pixels of each image, "" for those that cannot be read."""
    return Watched.of(dataset).digests()
