"""One view of all workers on a folder, whichever machines they run on."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from histoscope.cli.progress import Board
from histoscope.ledger import Rows, Task
from histoscope.ledger.exclusive import names_in

_EVERY_S = 1.0


@dataclass(slots=True)
class View:
    """How many of some tasks are done, and how fast.

    Parameters
    ----------
    folder : Path
        The ledger's folder.
    tasks : sequence of Task
    board : Board
        Where it is shown.
    """

    folder: Path
    tasks: Sequence[Task]
    board: Board
    _known: set[str] = field(default_factory=set)
    _seconds: float = 0.0
    _mm2: float = 0.0
    _failed: int = 0

    def __post_init__(self) -> None:
        self._known = {task.row for task in self.tasks} & Rows(self.folder / "rows").names()

    def update(self) -> None:
        """Read the folder, and show what is new."""
        rows = Rows(self.folder / "rows")
        names = rows.names()
        done = [task for task in self.tasks if task.row in names]
        for row in rows.all(task.row for task in done if task.row not in self._known):
            self._failed += bool(row.error)
            if row.about.get("is_new"):
                self._seconds += row.about["seconds"]
                self._mm2 += row.about["mm2"]
        self._known |= {task.row for task in done}
        finished = {task.name for task in done}
        at_work = [one for one in self._said() if one["name"] not in finished]
        whole = sum(task.weight for task in self.tasks) or 1.0
        share = sum(task.weight for task in done)
        share += sum(one["weight"] * one["parts"] / max(one["of"], 1) for one in at_work)
        self.board.move("slides", len(done), len(self.tasks), self._note(at_work), share=share / whole)

    def _note(self, at_work: Sequence[dict[str, Any]]) -> str:
        told = []
        if at_work:
            parts, of = (sum(one[key] for one in at_work) for key in ("parts", "of"))
            told.append(f"{parts} of {of} parts of {len(at_work)} under way")
        if self._mm2:
            told.append(f"{self._seconds / self._mm2:.2f} s/mm2")
        if self._failed:
            told.append(f"{self._failed} failed")
        return ", ".join(told)

    def _said(self) -> Iterator[dict[str, Any]]:
        for name in names_in(self.folder / "said"):
            with suppress(OSError, ValueError):
                yield json.loads((self.folder / "said" / name).read_text(encoding="utf-8"))


@contextmanager
def shown(folder: Path, tasks: Sequence[Task]) -> Iterator[None]:
    """Show the view while the block runs: bars on a terminal, occasional lines elsewhere."""
    over = threading.Event()
    with Board() as board:
        view = View(folder, tasks, board)

        def look() -> None:
            while not over.wait(_EVERY_S):
                with suppress(OSError):  # a stalled disk; the workers report it
                    view.update()

        thread = threading.Thread(target=look, daemon=True, name="view")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(_EVERY_S)
        view.update()
