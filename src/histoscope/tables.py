"""Reading and writing CSV tables: ids stay text, scores become numbers."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from histoscope.errors import CorruptDataError, DatasetNotFoundError
from histoscope.files import whole

if TYPE_CHECKING:
    import pandas as pd

TEXT_COLUMNS = frozenset(
    (
        *("name", "patient", "source", "group", "image", "image_id", "path"),
        *("condition", "level", "model", "run", "split", "part", "class"),
    )
)
"""Text columns: ``005`` and ``NA`` are names, not a number or a missing value."""


def read_table(path: str | Path, *, text: Collection[str] = TEXT_COLUMNS) -> "pd.DataFrame":
    r"""Read a CSV file that Histoscope wrote, exactly as it was.

    Parameters
    ----------
    path : str or Path
        UTF-8, with a header; a byte order mark is skipped.
    text : collection of str
        Columns that are kept as strings, unchanged; an empty cell is the empty string. Every other column
        becomes numbers if all its cells are numbers or empty (NaN); otherwise it stays text as well.

    Returns
    -------
    DataFrame

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If it is not a readable table.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = path.write_text("name,patient,pq\n005,NA,0.5\n006,0,\n")
    >>> read_table(path).to_dict("list")
    {'name': ['005', '006'], 'patient': ['NA', '0'], 'pq': [0.5, nan]}
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(f"no table at {path}; check the path")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise CorruptDataError(f"{path} is not a readable table ({error}); write or copy it again") from error
    for name in table.columns.difference(list(text)):
        table[name] = _numbers(table[name])
    return table


def write_table(path: str | Path, table: "pd.DataFrame", *, float_format: str | None = None) -> None:
    """Write a table as CSV, atomically; `read_table` gives it back.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    with whole(path) as temporary:
        table.to_csv(temporary, index=False, float_format=float_format)


def _numbers(cells: "pd.Series[str]") -> "pd.Series[str] | pd.Series[float]":
    """Convert cells to numbers, if all are numbers or empty."""
    import pandas as pd

    empty = cells.str.strip().isin(["", "nan", "NaN"])
    try:
        numbers = pd.to_numeric(cells.mask(empty))
    except (ValueError, TypeError):
        return cells
    if numbers.dtype.kind == "f":  # pandas may be off in the last digit
        with suppress(ValueError):
            return cells.mask(empty, "nan").astype(float)
    return numbers.astype(float) if empty.all() else numbers
