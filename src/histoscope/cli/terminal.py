"""Tables on the terminal, whatever its encoding."""

import codecs
import io
from typing import Any, TextIO

_PLAIN = str.maketrans(
    {"µ": "u", "μ": "u", "²": "2", "→": "->", "…": "...", "–": "-", "•": "-", "×": "x", "±": "+/-", "’": "'"}
)


def print_anywhere(stream: TextIO) -> None:
    """Let a stream print any text: characters that its encoding lacks are replaced.

    Terminals without UTF-8 lack µ and arrows; file names may contain bytes that are not text at all.

    Examples
    --------
    >>> stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    >>> print_anywhere(stream)
    >>> _ = stream.write("0.25 µm → é"), stream.flush()
    >>> stream.buffer.getvalue()
    b'0.25 um -> ?'
    """
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error("histoscope", _plain)
        stream.reconfigure(errors="histoscope")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end].translate(_PLAIN)
    return "".join(sign if sign.isascii() else "?" for sign in signs), error.end


def show(rows: list[dict[str, Any]], title: str = "") -> None:
    """Print rows as a table; the keys of the first are the header."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title) or None, show_header=any(key.strip() for key in rows[0]))
    for key in rows[0]:
        table.add_column(key, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    Console().print(table)
