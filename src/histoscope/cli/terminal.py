"""Tables and progress bars on the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr; gives what to call with (done, all)."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
