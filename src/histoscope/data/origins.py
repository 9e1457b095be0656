"""Lists of training images: ``learned_from.csv``, one row per image.

Beside a model, it lists the model's training images; beside synthetic images, the real ones that they were
fitted to.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from histoscope.tables import TEXT_COLUMNS, read_table, write_table

FILE = "learned_from.csv"
COLUMNS = ("part", "data", "name", "patient", "source", "pixels", "file")
TEXT = TEXT_COLUMNS | set(COLUMNS)
Row: TypeAlias = tuple[str, ...]
"""An image: one text for each of `COLUMNS`; ``pixels`` is a digest, ``file`` a name without folders."""


def read(folder: str | Path) -> tuple[Row, ...]:
    """Read the list in a folder; empty if there is none.

    Raises
    ------
    CorruptDataError
        If it is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return ()
    table = read_table(path, text=TEXT)
    return tuple(table.reindex(columns=list(COLUMNS), fill_value="").itertuples(index=False, name=None))


def write(folder: str | Path, rows: Sequence[Row]) -> None:
    """Write a list into a folder."""
    import pandas as pd

    write_table(Path(folder) / FILE, pd.DataFrame(rows, columns=list(COLUMNS)))
