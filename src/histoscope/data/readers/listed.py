"""Parts listed in a table, so that training can use the output of ``histoscope data split``."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from histoscope.data.base import Dataset, Datasheet, count_records
from histoscope.data.readers.index import composed, first_column, read_index
from histoscope.errors import DataError, DatasetNotFoundError
from histoscope.tables import write_table
from histoscope.types import Record, Sample


def with_parts(dataset: Dataset, path: str | Path) -> Dataset:
    """A data set with the parts listed in a table instead of its own, for `split_published`.

    Parameters
    ----------
    dataset : Dataset
    path : str or Path
        CSV with the columns ``name`` and ``split``, as ``histoscope data split --out`` writes it.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    DataError
        If a column is missing, a name occurs twice, or names and images do not match.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(
            f"no list of parts at {path}; histoscope data split --out writes one, with the columns name,split"
        )
    rows = read_index(path)
    name = first_column(rows, ("name", "image_id", "file", "filename"), path)
    part = first_column(rows, ("split",), path)
    parts: dict[str, str] = {}
    for row in rows:
        if parts.setdefault(row[name], row[part]) != row[part]:
            raise DataError(
                f"{path}: {row[name]!r} is in {parts[row[name]]!r} and in {row[part]!r}; keep one row"
            )
    have = {composed(record.name) for record in dataset.records}
    pairs = ((have - set(parts), "is not in the list"), (set(parts) - have, "is not an image"))
    for lacking, where in pairs:
        if lacking:
            raise DataError(
                f"{path} does not match {dataset.info.name!r}: {min(lacking)!r} {where} (and "
                f"{len(lacking) - 1} more); write a new list with histoscope data split --out"
            )
    return _Parted(dataset, parts)


def write_parts(path: str | Path, parts: Iterable[tuple[str, Dataset]], by: str = "patient") -> None:
    """Write the parts of a split as the table that `with_parts` reads: name, split and the group `by`."""
    import pandas as pd

    rows = [
        {by: record.group(by), "name": record.name, "split": part}
        for part, members in parts
        for record in members.records
    ]
    write_table(path, pd.DataFrame(rows, columns=list(dict.fromkeys(("name", "split", by)))))


class _Parted(Dataset):
    def __init__(self, dataset: Dataset, parts: Mapping[str, str]) -> None:
        self._dataset, self._parts = dataset, parts

    @property
    def info(self) -> Datasheet:
        return replace(self._dataset.info, counts=count_records(self.records))

    @cached_property
    def records(self) -> tuple[Record, ...]:
        return tuple(
            replace(record, split=self._parts[composed(record.name)]) for record in self._dataset.records
        )

    def __getitem__(self, index: int) -> Sample:
        return self._dataset[index]

    def image_path(self, index: int) -> Path | None:
        return self._dataset.image_path(index)

    def data_name(self, index: int) -> str:
        return self._dataset.data_name(index)
