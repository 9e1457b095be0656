"""Results of tasks: a small file each, written atomically."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from histoscope.files import write_text
from histoscope.ledger.exclusive import names_in
from histoscope.ledger.tasks import Task


@dataclass(frozen=True, slots=True)
class Row:
    """Result of a task.

    Parameters
    ----------
    row : dict
        Plain values that depend only on the task, not on the worker or time.
    error : str
        Reason of a failure; "" if there was none.
    may_pass : bool
        Whether the failure may be temporary, such as a disk error: the next call tries again.
    about : dict
        Circumstances: seconds, machine.
    name : str
        Of the task.
    """

    row: dict[str, Any]
    error: str = ""
    may_pass: bool = False
    about: dict[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """The results in a folder.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    def names(self) -> set[str]:
        """File names of all results, by one listing."""
        return set(names_in(self.folder))

    def has(self, task: Task) -> bool:
        """Whether a task is done."""
        return (self.folder / task.row).is_file()

    def write(self, task: Task, row: Row) -> None:
        """Write the result of a task, completely or not at all."""
        text = json.dumps({**asdict(row), "name": task.name}, ensure_ascii=False, allow_nan=False)
        write_text(self.folder / task.row, text + "\n")

    def read(self, name: str) -> Row | None:
        """Read a result by its file name; None if it is missing or incomplete."""
        try:
            return Row(**json.loads((self.folder / name).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def all(self, names: Iterable[str] | None = None) -> Iterator[Row]:
        """Results of these file names, or all, by file name."""
        for name in sorted(self.names() if names is None else names):
            row = self.read(name)
            if row is not None:
                yield row

    def forget(self, name: str) -> None:
        """Delete a result, so that its task runs again."""
        with suppress(FileNotFoundError):
            (self.folder / name).unlink()
