"""The ledger: which worker has which task, which are done, and takeovers from dead workers."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Self

from histoscope.errors import HistoscopeError
from histoscope.ledger.exclusive import give_name, names_in, seen_now
from histoscope.ledger.rows import Row, Rows
from histoscope.ledger.tasks import Task, heaviest_first
from histoscope.ledger.workers import STALE_S, Heart, Watch, Worker

POLL_S = 2.0
SAY_EVERY_S = 1.0
HEIR = "heir"
MOST_LOST = 3
"""A task that lost this many workers without any progress in between is not given to another."""


class LostError(HistoscopeError, RuntimeError):
    """Another worker took over the task, since this one showed no sign of life; its work is not lost."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A task held by this worker.

    Parameters
    ----------
    ledger : Ledger
    task : Task
    lost : int
        Number of workers lost on it since it last made progress.
    """

    ledger: "Ledger" = field(repr=False)
    task: Task
    lost: int = 0

    def check(self) -> None:
        """Check that the task is still this worker's; to be called before and after writing.

        Raises
        ------
        LostError
            If another worker has it: this process was stopped, or its disk unavailable, for minutes.
        """
        is_mine = self.ledger.holds(self.task.key)
        if is_mine and self.ledger.rows.has(self.task):  # the worker that took it over is done
            self.release()
            is_mine = False
        if not is_mine:
            raise LostError(f"{self.task.name} was taken over by another worker")

    def say(self, words: Mapping[str, Any]) -> None:
        """Report progress on the task to this process and, from time to time, to all others."""
        ledger, now_s = self.ledger, time.monotonic()
        if now_s - ledger._said_s >= SAY_EVERY_S:
            ledger._said_s = now_s
            ledger.say({"name": self.task.name, "weight": self.task.weight, **words})
        if ledger.on_say is not None:
            ledger.on_say(words)

    def progressed(self) -> None:
        """Report a finished step, so that workers lost before no longer count."""
        if self.lost:
            self.ledger.forget_lost(self.task.key)

    def finish(self, row: Row) -> None:
        """Write the result of the task.

        Raises
        ------
        LostError
        """
        self.check()
        self.ledger.rows.write(self.task, row)
        self.ledger.note_done(self.task)
        self.release()

    def release(self) -> None:
        """Release the task, unless another worker already has it."""
        self.ledger.release(self.task.key)


@dataclass(slots=True)
class Ledger:
    """A list of tasks that any number of workers draw from, on any machines that see the same folder.

    The folder contains the entire state: ``workers/ID`` is a worker, and its date the last heartbeat;
    ``claims/TASK`` is a second name of the file of the worker that has the task; ``rows/TASK.ASKED.json`` is
    its result; ``lost/TASK.ID`` was the claim of a worker that died. Claims are made, and taken over from
    dead workers, by atomic operations of the file server (`give_name`, a rename), so that one of several
    wins. Two workers may still run the same task, if one wakes up after it was considered dead: so a task
    must write the same files whichever worker runs it, each atomically. Every task is run at least once, and
    counts once.

    Parameters
    ----------
    folder : Path
    worker : Worker
    watch : Watch
    rows : Rows
    on_say : callable, optional
        Called with all reports on tasks of this worker, see `Claim.say`.

    Examples
    --------
    >>> import tempfile
    >>> tasks = [Task("a"), Task("b", weight=2)]
    >>> with Ledger.open(Path(tempfile.mkdtemp())) as ledger:
    ...     while claim := ledger.draw(tasks):
    ...         claim.finish(Row({"name": claim.task.name}))
    ...     sorted(row.name for row in ledger.rows.all())
    ['a', 'b']
    """

    folder: Path
    worker: Worker
    watch: Watch
    rows: Rows
    on_say: Callable[[Mapping[str, Any]], None] | None = None
    _said_s: float = -SAY_EVERY_S
    _heart: Heart = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _dead: dict[str, str] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _order: list[Task] = field(default_factory=list)
    _place: dict[str, int] = field(default_factory=dict)
    _given: Sequence[Task] | None = None
    liked: frozenset[str] = frozenset()
    """Names of tasks that this worker prefers, such as those whose slides it has copied."""

    @classmethod
    def open(cls, folder: Path, watch: Watch | None = None) -> Self:
        """Open the ledger of a folder, as a new worker."""
        ledger = cls(folder, Worker.here(), watch or Watch(), Rows(folder / "rows"))
        for name in ("workers", "claims", "rows", "lost"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        ledger._heart = Heart(ledger._file, ledger.worker, ledger.watch, ledger._look)
        return ledger

    def __enter__(self) -> Self:
        self._heart.start()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # disk unavailable or full; the others will find this worker dead
            for key in names_in(self._claims):
                self.release(key)
            (self.folder / "said" / self.worker.id).unlink(missing_ok=True)
        self._heart.stop()

    def draw(
        self, tasks: Sequence[Task], *, waits: bool = True, on_wait: Callable[[], None] | None = None
    ) -> Claim | None:
        """Take the next task; None if there is nothing left for this worker.

        Parameters
        ----------
        tasks : sequence of Task
            The same in each call; the heaviest are given first.
        waits : bool
            While others run the last tasks, wait until they are done or their workers are dead. Otherwise,
            one worker waits to take over from the others, and the rest exit.
        on_wait : callable, optional
            Called from time to time while this worker waits; may raise.
        """
        if tasks is not self._given:
            self._given = tasks
            self._put_in_order()
            self._look(self._heart.beat())
        while True:
            for task in self._of_the_dead():
                if claim := self._take_over(task):
                    return claim
            busy = set(names_in(self._claims))
            if claim := self._first([task for task in self._order if task.name in self.liked], busy):
                return claim
            behind = max((self._place.get(key, -1) for key in busy), default=-1)
            claim = self._first(islice(self._order, behind + 1, None), busy)
            if claim is None:  # others have all later tasks; only released ones are left
                self._put_in_order()
                claim = self._first(self._order, busy)
            if claim is not None:
                self.release(HEIR)
                return claim
            if not self._order or not (waits or self.holds(HEIR)):
                self.release(HEIR)
                return None
            if on_wait is not None:
                on_wait()
            time.sleep(min(POLL_S, self.watch.beat_s))
            with suppress(OSError):
                self._look(self._heart.beat())

    def coming(self, n: int) -> list[Task]:
        """The next tasks of this worker, if all workers draw in turn; an estimate, which claims nothing."""
        busy, workers = set(names_in(self._claims)), sorted(names_in(self.folder / "workers"))
        turn = workers.index(self.worker.id) if self.worker.id in workers else 0
        free = [task for task in self._order if task.row not in self._done and task.key not in busy]
        return free[turn :: max(len(workers), 1)][:n]

    def holds(self, key: str) -> bool:
        """Whether a claim is this worker's; a lost one is made again."""
        seen_now(self._claims)
        seen_now(self.rows.folder)
        holder = Worker.read(self._claims / key)
        if holder is None:
            return self._claim(key)
        return holder.id == self.worker.id

    def release(self, key: str) -> None:
        """Release a claim, if it is this worker's."""
        holder = Worker.read(self._claims / key)
        if holder is not None and holder.id == self.worker.id:
            with suppress(FileNotFoundError):
                (self._claims / key).unlink()

    def note_done(self, task: Task) -> None:
        """Remember that a task is done."""
        self._done.add(task.row)

    def forget_lost(self, key: str) -> None:
        """Forget the workers that were lost on a task."""
        for path in (self.folder / "lost").glob(f"{key}.*"):
            path.unlink(missing_ok=True)

    def say(self, words: Mapping[str, Any]) -> None:
        """Report this worker's progress to others, in plain values; a hint, which may be lost."""
        place = self.folder / "said"
        place.mkdir(exist_ok=True)
        draft = place / f".{self.worker.id}"
        draft.write_text(json.dumps(words), encoding="utf-8")
        draft.replace(place / self.worker.id)

    @property
    def _claims(self) -> Path:
        return self.folder / "claims"

    @property
    def _file(self) -> Path:
        return self.folder / "workers" / self.worker.id

    def _first(self, tasks: Iterable[Task], busy: set[str]) -> Claim | None:
        """Claim the first of some tasks that is free and not done."""
        for task in tasks:
            if task.row in self._done or task.key in busy or not self._is_due(task):
                continue
            if not self._claim(task.key):
                continue
            if not self.rows.has(task):
                return Claim(self, task, self._n_lost(task.key))
            self._done.add(task.row)  # finished between the listing and the claim
            self.release(task.key)
        return None

    def _is_due(self, task: Task) -> bool:
        """Whether a task's prerequisite is done."""
        return task.after in self._done or not task.after or (self.rows.folder / task.after).is_file()

    def _claim(self, key: str) -> bool:
        try:
            return give_name(self._file, self._claims / key)
        except FileNotFoundError:  # another worker considered this one dead and removed it
            self._heart.beat()
            return give_name(self._file, self._claims / key)

    def _put_in_order(self) -> None:
        """List what is left to do, the heaviest first."""
        self._done = self.rows.names()
        left = [task for task in self._given or () if task.row not in self._done]
        self._order = heaviest_first(left)
        self._place = {task.key: k for k, task in enumerate(self._order)}

    def _of_the_dead(self) -> list[Task]:
        with self._lock:
            keys = set(self._dead)
        if not keys:
            return []
        return [task for task in self._given or () if task.key in keys]

    def _take_over(self, task: Task) -> Claim | None:
        """Move the claim of a dead worker away and make a new one; None if another was faster."""
        with self._lock:
            dead = self._dead.pop(task.key, "")
        if not dead or not self._bury(task.key, dead):
            return None
        return self._first([task], set())

    def _bury(self, key: str, dead: str) -> bool:
        """Rename the claim of a dead worker; the claim of a worker that has just taken over is put back."""
        grave = self.folder / "lost" / f"{key}.{dead}.{self.worker.id}"
        try:
            (self._claims / key).rename(grave)
        except FileNotFoundError:
            return False
        moved = Worker.read(grave)
        if moved is None or moved.id == dead:
            for place in ("workers", "said"):
                (self.folder / place / dead).unlink(missing_ok=True)
            return True
        give_name(grave, self._claims / key)
        grave.unlink(missing_ok=True)
        return False

    def _n_lost(self, key: str) -> int:
        return sum(name.startswith(f"{key}.") for name in names_in(self.folder / "lost"))

    def _look(self, now_ns: int) -> None:
        """Check which claims belong to dead workers."""
        dead: dict[str, str] = {}
        for key in names_in(self._claims):
            holder = Worker.read(self._claims / key)
            if holder is None:  # without links: its worker died before it wrote its name
                with suppress(FileNotFoundError):
                    if self.watch.is_dead(key, (self._claims / key).stat().st_mtime_ns, now_ns):
                        dead[key] = "nobody"
            elif holder.id != self.worker.id and self._is_dead(holder, now_ns):
                dead[key] = holder.id
        with self._lock:
            self._dead = dead
        if HEIR in dead:
            self._bury(HEIR, dead.pop(HEIR))

    def _is_dead(self, worker: Worker, now_ns: int) -> bool:
        if worker.is_known_dead:
            return True
        path = self.folder / "workers" / worker.id
        try:
            with path.open("rb") as file:  # opening makes a network disk show the current date
                beat_ns = os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            beat_ns = 0
        return self.watch.is_dead(worker.id, beat_ns, now_ns)


def busy_in(folder: Path) -> list[Worker]:
    """Workers that have claims in a folder and are alive, by the clock of the file server."""
    workers = folder / "workers"
    found = []
    for key in names_in(folder / "claims"):
        worker = Worker.read(folder / "claims" / key)
        with suppress(FileNotFoundError):
            if worker is not None and not worker.is_known_dead:
                beat_s = (workers / worker.id).stat().st_mtime
                (workers / ".now").touch()
                if (workers / ".now").stat().st_mtime - beat_s < STALE_S:
                    found.append(worker)
    return found
