"""Finding files: ``index.csv``, stems, and clear errors for what is not there."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from histoscope.errors import CorruptDataError, DataError, DatasetNotFoundError
from histoscope.files import IMAGE_SUFFIXES

Row = dict[str, str]


def require_folder(root: str | Path, *, name: str, layout: str, url: str) -> Path:
    """Return `root` as a path, or say what was expected there and where to get it.

    Raises
    ------
    DatasetNotFoundError
        If it is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise DatasetNotFoundError(f"{root} {what}; {expectation(name, layout, url)}")
    return root


def expectation(name: str, layout: str, url: str) -> str:
    """Say what a data set's folder should hold and where its files come from."""
    where = f" Histoscope downloads nothing by itself: get the files from {url}." if url else ""
    return f"data set {name!r} expects {layout}.{where}"


def read_index(path: Path) -> list[Row]:
    """Rows of a CSV file with a header line, values stripped.

    Raises
    ------
    CorruptDataError
        If it is not UTF-8 text or a row has more fields than the header.
    DataError
        If a column stands twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        columns = [column.strip() for column in reader.fieldnames or []]
        if len(set(columns)) < len(columns):
            raise DataError(f"{path}: a column name stands twice in {columns}; names must be unique")
        rows = []
        for row in reader:
            if None in row:
                raise CorruptDataError(
                    f"{path}: line {reader.line_num} has more fields than the header's {len(columns)}"
                )
            rows.append({(key or "").strip(): (value or "").strip() for key, value in row.items()})
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorruptDataError(f"{path} is not a UTF-8 CSV file ({error}); save it again as CSV") from error
    return rows


def first_column(rows: Iterable[Row], names: tuple[str, ...], path: Path) -> str:
    """Find the first of `names` that is a column.

    Raises
    ------
    DataError
        If none is.
    """
    columns = next(iter(rows), {})
    for name in names:
        if name in columns:
            return name
    raise DataError(
        f"{path} has the columns {', '.join(columns) or '(none)'}; expected one of {', '.join(names)}"
    )


def files_by_stem(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> dict[str, list[Path]]:
    """Files of a folder grouped by the name without suffix; hidden files are left out."""
    found: dict[str, list[Path]] = defaultdict(list)
    wanted = set(suffixes)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in wanted and not path.name.startswith("."):
            found[path.stem].append(path)
    return dict(found)


def only_file(found: Mapping[str, list[Path]], stem: str, folder: Path, what: str) -> Path:
    """Find the one file called `stem`.

    Raises
    ------
    DatasetNotFoundError
        If there is none.
    DataError
        If several differ only in their suffix: which one is meant cannot be known.
    """
    paths = found.get(stem, [])
    if not paths:
        raise DatasetNotFoundError(
            f"no {what} for {stem!r} in {folder}; expected {stem}.png or another image type"
        )
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise DataError(
            f"{len(paths)} files could be the {what} {stem!r}: {names}; keep one of them in {folder}"
        )
    return paths[0]
