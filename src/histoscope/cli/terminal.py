"""Tables on the terminal."""

from typing import Any


def show(rows: list[dict[str, Any]]) -> None:
    """Print rows as a table; the keys of the first are the header."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=any(key.strip() for key in rows[0]))
    for key in rows[0]:
        table.add_column(key, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    Console().print(table)
