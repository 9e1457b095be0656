"""Running the tasks of a ledger: in this process, or in several that it starts."""

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from histoscope.errors import HistoscopeError
from histoscope.jobs.processes import cores, how_it_ended, leave, received, settle, start, stop
from histoscope.ledger import Claim, Ledger, LostError, Row, Task

LEFT = 75
"""Exit code of a worker that was asked to stop early: call it again (EX_TEMPFAIL)."""

Do: TypeAlias = Callable[[Claim], Row]
"""Processing of a task. It raises `LostError` from `Claim.check`, and errors that end the whole call."""


@dataclass(frozen=True, slots=True)
class News:
    """A worker's report on its task.

    Parameters
    ----------
    task : str
        Its name.
    stage : {"started", "said", "ended"}
    words : dict
        Plain values: those given to `Claim.say`; at the end ``row``, ``error`` and ``about`` of the `Row`.
    """

    task: str
    stage: str
    words: dict[str, Any] = field(default_factory=dict)


OnNews: TypeAlias = Callable[[News], None]
"""Called with the workers' reports as they arrive, in the calling process."""


class Opener(Protocol):
    """Opens what a worker needs once, such as a network on a device; must be picklable."""

    def __call__(self, k: int, of: int) -> Do:
        """Processing of a task by worker k of so many."""
        ...


class Executor(Protocol):
    """A way to run the tasks of a ledger; others may draw from the same folder in their own processes."""

    def __call__(self, folder: Path, tasks: Sequence[Task], opener: Opener) -> None:
        """Run tasks; returns when none is left for it.

        Parameters
        ----------
        folder : Path
            The ledger's folder.
        tasks : sequence of Task
        opener : Opener
        """
        ...


def work_off(
    ledger: Ledger, tasks: Sequence[Task], do: Do, *, waits: bool = True, on_news: OnNews | None = None
) -> None:
    """Draw tasks until none is left; a task that another worker has taken over is dropped.

    Parameters
    ----------
    ledger, tasks, waits
        As for `Ledger.draw`.
    do : callable
    on_news : callable, optional

    Raises
    ------
    SystemExit
        If the process was asked to stop, see `leaving`.
    """
    tell = on_news or _nothing
    while claim := ledger.draw(tasks, waits=waits, on_wait=leave_if_asked):
        name = claim.task.name
        ledger.on_say = lambda words, name=name: tell(News(name, "said", dict(words)))
        tell(News(name, "started"))
        try:
            row = do(claim)
            claim.finish(row)
        except LostError:
            continue
        finally:
            with suppress(OSError):
                claim.release()
        tell(News(name, "ended", {"row": row.row, "error": row.error, "about": row.about}))
        leave_if_asked()


def _nothing(news: News) -> None:
    """Ignore a report."""


_ASKED = threading.Event()


def ask() -> None:
    """Ask this process to stop."""
    _ASKED.set()


def is_asked() -> bool:
    """Whether it was asked."""
    return _ASKED.is_set()


def leave_if_asked() -> None:
    """Exit with `LEFT` if SIGUSR1 was received; to be called when no work is half done."""
    if is_asked():
        raise SystemExit(LEFT)


@contextmanager
def leaving(told: Callable[[], None] | None = None) -> Iterator[None]:
    """Handle signals: SIGTERM drops unfinished work, SIGUSR1 finishes it first; then the claim is released.

    Parameters
    ----------
    told : callable, optional
        Called on SIGUSR1.
    """

    def hear(*_: Any) -> None:
        ask()
        if told is not None:
            told()

    wanted = {"SIGTERM": leave, "SIGUSR1": hear}
    numbers = {getattr(signal, name): handler for name, handler in wanted.items() if hasattr(signal, name)}
    if threading.current_thread() is not threading.main_thread():
        numbers = {}
    before = {number: signal.signal(number, handler) for number, handler in numbers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _ASKED.clear()


@dataclass(frozen=True, slots=True)
class Here:
    """One worker: this process.

    Parameters
    ----------
    waits : bool
        As for `Ledger.draw`.
    on_news : callable, optional
    """

    waits: bool = True
    on_news: OnNews | None = None

    def __call__(self, folder: Path, tasks: Sequence[Task], opener: Opener) -> None:
        """Run the remaining tasks."""
        with leaving(), Ledger.open(folder) as ledger:
            work_off(ledger, tasks, opener(0, 1), waits=self.waits, on_news=self.on_news)


@dataclass(frozen=True, slots=True)
class Processes:
    """Workers in separate processes, which share the cores evenly.

    If one dies, for example because memory ran out, another takes over its task, and it is replaced.

    Parameters
    ----------
    n : int
    waits : bool
        As for `Ledger.draw`.
    on_news : callable, optional
    """

    n: int
    waits: bool = True
    on_news: OnNews | None = None

    def __call__(self, folder: Path, tasks: Sequence[Task], opener: Opener) -> None:
        """Run the remaining tasks.

        Raises
        ------
        HistoscopeError, OSError
            The error that ended a worker; or if one died before it completed a task.
        SystemExit
            If the workers were asked to stop.
        """
        crew = _Crew(folder, tasks, opener, self)
        with leaving(crew.pass_on):
            try:
                for k in range(self.n):
                    crew.begin(k)
                while crew.active:
                    for receiver in connection.wait(list(crew.active)):
                        crew.hear(receiver)
                leave_if_asked()
            finally:
                stop([process for _, process in crew.active.values()])


@dataclass(frozen=True, slots=True)
class _Crew:
    """The workers of a call."""

    folder: Path
    tasks: Sequence[Task]
    opener: Opener
    how: Processes
    active: dict[Any, tuple[int, BaseProcess]] = field(default_factory=dict)
    at_work: set[int] = field(default_factory=set)

    def begin(self, k: int) -> None:
        """Start worker k."""
        n = self.how.n
        body = partial(_child, self.folder, self.tasks, self.opener, k, replace(self.how, on_news=None))
        receiver, process = start(body, name=f"worker {k}", threads=max(1, cores() // n))
        self.active[receiver] = (k, process)

    def pass_on(self) -> None:
        """Ask all to stop."""
        for _, process in self.active.values():
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGUSR1)

    def hear(self, receiver: Any) -> None:
        """Receive reports from a worker; one that died at work is replaced."""
        k, process = self.active[receiver]
        news = received(receiver)
        if isinstance(news, News):
            self.at_work.add(k)  # so it is worth replacing
            if self.how.on_news is not None:
                self.how.on_news(news)
        elif news is not None:
            raise raised(news)
        else:
            del self.active[receiver]
            process.join()
            if process.exitcode in {0, LEFT} or _ASKED.is_set():
                return
            if k not in self.at_work:  # the next one would fail as well
                how = how_it_ended(process.exitcode)
                raise HistoscopeError(f"worker {k} did no work: {how}; see its output above")
            self.at_work.discard(k)
            self.begin(k)


def _child(
    folder: Path, tasks: Sequence[Task], opener: Opener, k: int, how: Processes, sender: Connection
) -> None:
    """Body of a worker; without its parent it cannot report its work, and exits."""
    settle()
    with suppress(BrokenPipeError):
        serve(folder, tasks, partial(opener, k, how.n), sender.send, waits=how.waits)


def serve(
    folder: Path, tasks: Sequence[Task], opens: Callable[[], Do], send: Callable[[Any], None], *, waits: bool
) -> None:
    """Work and send reports; at the end, after an error, the values from which `raised` recreates it."""
    try:
        with leaving(), Ledger.open(folder) as ledger:
            work_off(ledger, tasks, opens(), waits=waits, on_news=send)
    except BrokenPipeError:
        raise
    except OSError as error:
        send((error.errno, error.strerror or str(error), error.filename and str(error.filename)))
    except HistoscopeError as error:
        send((None, str(error), None))
    except Exception:
        traceback.print_exc()
        raise


def raised(news: tuple[int | None, str, str | None]) -> Exception:
    """The error that ended a worker."""
    number, text, place = news
    return HistoscopeError(text) if number is None else OSError(number, text, place)
