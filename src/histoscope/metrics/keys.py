"""Keys of table rows (images, patients, conditions, seeds) as text, whatever type they were read as."""

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

ADVICE = "read tables with histoscope.tables.read_table, which keeps names unchanged"

_GAPS = frozenset(
    ("NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "None", "nan", "NaN", "-nan", "-NaN", "NULL", "null")
)  # names that pandas.read_csv takes for "no value"


def as_text(names: "pd.Series") -> "pd.Series[str]":
    """Names as text: 0, 0.0 and "0" are one name, a missing one is the empty string.

    Examples
    --------
    >>> import pandas as pd
    >>> as_text(pd.Series([7, 7.0, "7", "007", None, float("nan"), "None"])).tolist()
    ['7', '7', '7', '007', '', '', 'None']
    """
    import pandas as pd

    gaps = names.isna().to_numpy()
    texts = ["" if gap else _text(name) for name, gap in zip(names.tolist(), gaps, strict=True)]
    return pd.Series(texts, index=names.index, name=names.name, dtype=object)


def group_codes(groups: ArrayLike, what: str) -> NDArray[np.intp]:
    """Integer codes of groups (patients, tissues); a `DataError` if one is None, NaN or empty."""
    import pandas as pd

    values = list(groups) if isinstance(groups, list | tuple) else np.asarray(groups).tolist()
    names = as_text(pd.Series(values, dtype=object)).to_numpy(str)
    unknown = sum(not name.strip() for name in names)
    if unknown:
        raise DataError(f"{what} is missing in {unknown} of {len(names)} rows; give it, or drop those rows")
    codes: NDArray[np.intp] = np.unique(names, return_inverse=True)[1]
    return codes


def row_keys(
    tables: Sequence["pd.DataFrame"], columns: Sequence[str]
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Columns of two tables as text, so that equal names compare equal.

    Raises
    ------
    DataError
        If one table has lost names that the other has: a gap for "None", 5 for "005".
    """
    left, right = (table[list(columns)].apply(as_text) for table in tables)
    for column in columns:
        a, b = set(left[column]), set(right[column])
        for mine, other in ((a, b), (b, a)):
            words = sorted(other & _GAPS - mine)
            if "" in mine - other and words:
                raise DataError(
                    f"{column} is empty in some rows of one table, and {words[0]!r} in the other, which "
                    f"pandas reads as missing; {ADVICE}"
                )
            lost = sorted(name for name in other - mine if _as_number(name) in mine - other)
            if lost:
                raise DataError(
                    f"{column} {lost[0]!r} of one table is {_as_number(lost[0])} in the other, where it was "
                    f"read as a number; {ADVICE}"
                )
    return left, right


def cluster_codes(table: "pd.DataFrame", cluster: str) -> NDArray[np.intp]:
    """Integer codes of clusters; errors as `cluster_names`."""
    codes: NDArray[np.intp] = np.unique(cluster_names(table, cluster).to_numpy(str), return_inverse=True)[1]
    return codes


def cluster_names(table: "pd.DataFrame", cluster: str) -> "pd.Series[str]":
    """Names of clusters as text; an `UnknownNameError` or `DataError` if the column or a name is missing."""
    if cluster not in table.columns:
        raise UnknownNameError("column", cluster, table.columns.astype(str))
    names = as_text(table[cluster])
    unknown = int((names.str.strip() == "").sum()) if len(names) else 0
    if unknown:
        raise DataError(
            f"{cluster} is empty in {unknown} of {len(table)} rows; fill it in, or give cluster='source' "
            "or cluster='name' to treat each source image or each image as independent. If it was NA or None "
            f"in a file: {ADVICE}"
        )
    return names


def independent_unit(table: "pd.DataFrame") -> str:
    """Coarsest column that is filled in for every row: "patient", else "source", else "name".

    Examples
    --------
    >>> import pandas as pd
    >>> independent_unit(pd.DataFrame({"name": ["a", "b"], "patient": ["", ""], "source": ["s", "s"]}))
    'source'
    """
    for name in ("patient", "source", "name"):
        if name in table.columns and not (as_text(table[name]).astype(str).str.strip() == "").any():
            return name
    raise DataError("none of the columns patient, source and name is filled in for every row; fill one in")


def _text(name: object) -> str:
    if isinstance(name, float | np.floating) and float(name).is_integer():
        return str(int(name))
    return unicodedata.normalize("NFC", str(name))


def _as_number(text: str) -> str:
    """A name as it is after being read as a number; unchanged if it is not one."""
    try:
        return _text(float(text)) if text.strip() else text
    except ValueError:
        return text
