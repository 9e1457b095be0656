"""Doing the tasks of a ledger: in this process, or in several that it starts."""

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
"""Exit code of a worker that was asked to leave before the end: call it again (EX_TEMPFAIL)."""

Do: TypeAlias = Callable[[Claim], Row]
"""What is done with a task. It raises `LostError` of `Claim.check`, and what should end the whole call."""


@dataclass(frozen=True, slots=True)
class News:
    """What a worker tells of a task that it has.

    Parameters
    ----------
    task : str
        Its name.
    stage : {"started", "said", "ended"}
    words : dict
        Plain values: what `Claim.say` was given; at the end ``row``, ``error`` and ``about`` of the `Row`.
    """

    task: str
    stage: str
    words: dict[str, Any] = field(default_factory=dict)


OnNews: TypeAlias = Callable[[News], None]
"""Told what the workers of a call do, in the process that called, as it happens."""


class Opener(Protocol):
    """What a worker opens once, such as a network on a device; is pickled."""

    def __call__(self, k: int, of: int) -> Do:
        """What worker k of so many does with a task."""
        ...


class Executor(Protocol):
    """A way to do the tasks of a ledger; other ones draw from the same folder in their own processes."""

    def __call__(self, folder: Path, tasks: Sequence[Task], opener: Opener) -> None:
        """Return when nothing is left for it to do.

        Parameters
        ----------
        folder : Path
            Of the ledger.
        tasks : sequence of Task
        opener : Opener
        """
        ...


def work_off(
    ledger: Ledger, tasks: Sequence[Task], do: Do, *, waits: bool = True, on_news: OnNews | None = None
) -> None:
    """Draw tasks until nothing is left; a task that was taken over by another is dropped.

    Parameters
    ----------
    ledger, tasks, waits
        As for `Ledger.draw`.
    do : callable
    on_news : callable, optional

    Raises
    ------
    SystemExit
        If the process was asked to leave, see `leaving`.
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
    """Tell nobody."""


_ASKED = threading.Event()


def ask() -> None:
    """Ask this process to leave."""
    _ASKED.set()


def is_asked() -> bool:
    """Whether it was asked."""
    return _ASKED.is_set()


def leave_if_asked() -> None:
    """Leave with `LEFT` if SIGUSR1 came; to be called where nothing is half done."""
    if is_asked():
        raise SystemExit(LEFT)


@contextmanager
def leaving(told: Callable[[], None] | None = None) -> Iterator[None]:
    """Hear signals: SIGTERM drops what is half done, SIGUSR1 ends it first; then the claim is given back.

    Parameters
    ----------
    told : callable, optional
        Called upon SIGUSR1.
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
        """Do what is left."""
        with leaving(), Ledger.open(folder) as ledger:
            work_off(ledger, tasks, opener(0, 1), waits=self.waits, on_news=self.on_news)


@dataclass(frozen=True, slots=True)
class Processes:
    """Workers in processes of their own, which share the cores evenly.

    One that dies, for want of memory say, loses the task that it has to another, and is replaced.

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
        """Do what is left.

        Raises
        ------
        HistoscopeError, OSError
            What a worker ended with; or if one died before it did a task.
        SystemExit
            If the workers were asked to leave.
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
        """Ask all to leave."""
        for _, process in self.active.values():
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGUSR1)

    def hear(self, receiver: Any) -> None:
        """Hear of a worker; one that died at work is replaced."""
        k, process = self.active[receiver]
        news = received(receiver)
        if isinstance(news, News):
            self.at_work.add(k)  # so that it is worth to be replaced
            if self.how.on_news is not None:
                self.how.on_news(news)
        elif news is not None:
            raise raised(news)
        else:
            del self.active[receiver]
            process.join()
            if process.exitcode in {0, LEFT} or _ASKED.is_set():
                return
            if k not in self.at_work:  # the next one would do nothing, either
                how = how_it_ended(process.exitcode)
                raise HistoscopeError(f"worker {k} did no work: {how}; see its output above")
            self.at_work.discard(k)
            self.begin(k)


def _child(
    folder: Path, tasks: Sequence[Task], opener: Opener, k: int, how: Processes, sender: Connection
) -> None:
    """Body of a worker; without its parent it cannot tell what it did, and leaves."""
    settle()
    with suppress(BrokenPipeError):
        serve(folder, tasks, partial(opener, k, how.n), sender.send, waits=how.waits)


def serve(
    folder: Path, tasks: Sequence[Task], opens: Callable[[], Do], send: Callable[[Any], None], *, waits: bool
) -> None:
    """Be a worker, and send news; at the end, if something is wrong, what `raised` makes an error of."""
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
    """What a worker ended with."""
    number, text, place = news
    return HistoscopeError(text) if number is None else OSError(number, text, place)
