"""Results of tasks: a small file each, written whole."""

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
    """What came of a task.

    Parameters
    ----------
    row : dict
        Plain values that follow from the task alone, whoever did it and when.
    error : str
        Why it failed; "" if it did not.
    may_pass : bool
        Whether what failed may pass, such as an error of a disk: the next call tries again.
    about : dict
        How it was done: seconds, machine.
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
        """File names of all that is done, by one listing."""
        return set(names_in(self.folder))

    def has(self, task: Task) -> bool:
        """Whether a task is done."""
        return (self.folder / task.row).is_file()

    def write(self, task: Task, row: Row) -> None:
        """Write what came of a task, whole or not at all."""
        text = json.dumps({**asdict(row), "name": task.name}, ensure_ascii=False, allow_nan=False)
        write_text(self.folder / task.row, text + "\n")

    def read(self, name: str) -> Row | None:
        """Read a result by its file name; None if there is none, or not a whole one."""
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
        """Take a result away, so that its task is to be done."""
        with suppress(FileNotFoundError):
            (self.folder / name).unlink()
