"""Tables of images (``index.csv``), and files by their stem."""

import csv
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from histoscope.errors import CorruptDataError, DataError, DatasetNotFoundError
from histoscope.files import IMAGE_SUFFIXES
from histoscope.images.finding import find_images

Row = dict[str, str]
SEPARATORS = (",", ";", "\t")
KNOWN_COLUMNS = frozenset(
    (
        *("image_id", "name", "file", "filename", "path", "patient", "source", "group", "split"),
        *("label", "class", "mpp", "n_nuclei", "patch_info"),
    )
)


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, UTF-16 or Windows-1252.

    Raises
    ------
    CorruptDataError
        If it is none of these.
    """
    held = path.read_bytes()
    if held.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\0" in held[:4]:
        encodings = ["utf-16-le" if held[1:2] == b"\0" else "utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = held.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise CorruptDataError(f"{path} is not text in UTF-8, UTF-16 or Windows-1252; save it again as UTF-8")


def read_index(path: Path) -> list[Row]:
    """Rows of a table with a header line, as a spreadsheet or a script writes it.

    Cells are separated by commas, semicolons or tabs. They are stripped and normalised to NFC, so that names
    written on macOS match. Empty rows are skipped, and so are columns without a name that are empty or number
    the rows. Columns that Histoscope knows are found in any letter case, with a space or hyphen for ``_``.

    Raises
    ------
    CorruptDataError
        If it is not text, or a row has more fields than the header.
    DataError
        If a column occurs twice, or has cells but no name.
    """
    text = unicodedata.normalize("NFC", read_text(path))
    separator, text = _separator(text)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise CorruptDataError(f"{path} is not a CSV table ({error}); save it again as CSV") from error
    filled = [(number, cells) for number, cells in lines if any(cells)]
    if not filled:
        return []
    columns = [known_column(cell) for cell in filled[0][1]]
    named = [column for column in columns if column]
    if not all(column.isprintable() for column in columns):
        raise CorruptDataError(
            f"{path} is not a UTF-8 CSV file: its header is {filled[0][1]}; save it again as CSV"
        )
    if len(set(named)) < len(named):
        raise DataError(f"{path}: a column name occurs twice in {named}; names must be unique")
    for number, cells in filled[1:]:
        if any(cells[len(columns) :]):
            raise CorruptDataError(
                f"{path}: line {number} has more fields ({len(cells)}) than the header ({len(columns)}); "
                "put values with a comma in quotes"
            )
        _check_unnamed(path, number, columns, cells)
    rows = [dict(zip(columns, cells + [""] * len(columns), strict=False)) for _, cells in filled[1:]]
    return [{column: row[column] for column in named} for row in rows]


def to_number(cell: str) -> float:
    """Read a number; in many languages, spreadsheets write 0,25 for 0.25.

    Raises
    ------
    ValueError
        If it is not a number.
    """
    return float(cell if "." in cell else cell.replace(",", ".", 1))


def _separator(text: str) -> tuple[str, str]:
    """Separator of the cells, and the text without Excel's line ``sep=``."""
    first, end, rest = text.lstrip().partition("\n")
    if first.lower().startswith("sep=") and len(first.strip()) == 5:
        return first.strip()[-1], rest
    bare = re.sub('"[^"]*"', "", first)
    return max(SEPARATORS, key=bare.count), first + end + rest


def known_column(column: str) -> str:
    """Name of a column; known ones in Histoscope's spelling."""
    plain = re.sub(r"[\s-]+", "_", column.strip().casefold())
    return plain if plain in KNOWN_COLUMNS else column.strip()


def _check_unnamed(path: Path, number: int, columns: list[str], cells: list[str]) -> None:
    """Refuse a cell without a column name; a first column without a name numbers the rows."""
    for place, (column, cell) in enumerate(zip(columns, cells, strict=False)):
        if cell and not column and place:
            raise DataError(
                f"{path}: column {place + 1} has no name in the header, but holds {cell!r} in line "
                f"{number}; name it or clear it"
            )


def first_column(rows: Iterable[Row], names: tuple[str, ...], path: Path) -> str:
    """Find the first of `names` that is a column.

    Raises
    ------
    DataError
        If there is none.
    """
    columns = next(iter(rows), {})
    for name in names:
        if name in columns:
            return name
    raise DataError(
        f"{path} has the columns {', '.join(columns) or '(none)'}; expected one of {', '.join(names)}"
    )


def files_by_stem(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> dict[str, list[Path]]:
    """Files of a folder grouped by the name without suffix, with composed letters; hidden files are left out.

    Suffixes are found in any letter case.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    wanted = set(suffixes)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in wanted and not path.name.startswith("."):
            found[composed(path.stem)].append(path)
    return dict(found)


def images_by_stem(folder: Path) -> dict[str, list[Path]]:
    """Images in a folder, recognised by suffix or content, grouped as in `files_by_stem`."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in find_images(folder, deep=False).images if folder.is_dir() else ():
        found[composed(path.stem)].append(path)
    return dict(found)


def composed(name: str) -> str:
    """Name in Unicode NFC: macOS decomposes accented letters (NFD)."""
    return unicodedata.normalize("NFC", name)


def plain(name: str) -> str:
    """Name as on a case-insensitive file system, in NFC."""
    return composed(name).casefold()


def sibling(folder: Path, name: str, *suffixes: str) -> Path:
    """Find the file called `name` with one of the suffixes in a folder, the first that exists.

    Letter case of the suffix and the form of accents do not matter. If there is none, this is its expected
    path.
    """
    for suffix in suffixes:
        exact = folder / f"{name}{suffix}"
        if exact.is_file():
            return exact
        if paths := files_by_stem(folder, {suffix}).get(composed(name)):
            return paths[0]
    return folder / f"{name}{suffixes[0]}"


def only_file(found: Mapping[str, list[Path]], stem: str, folder: Path, what: str) -> Path:
    """Find the one file called `stem`.

    Raises
    ------
    DatasetNotFoundError
        If there is none.
    DataError
        If several differ only in their suffix, since it is unclear which one to use.
    """
    paths = found.get(composed(stem), [])
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
