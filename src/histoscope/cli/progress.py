"""Progress and remaining time: bars on a terminal, occasional lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Self, TextIO

from histoscope.words import duration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SHARE = 0.1
"""A line is printed when this much more is done,"""
FIRST_SECONDS, SECONDS, LEAST_SECONDS = 10.0, 30.0, 1.0
"""or when the second line is due, or any later one; never sooner than the last."""
SLOWER = 0.02
"""Long work prints less often: after this share of the time so far."""


@dataclass(slots=True)
class Pace:
    """Progress of one piece of work.

    Parameters
    ----------
    what : str
        Its name.
    began : float
        Clock time in seconds at the first report.
    done_before : float
        What was done by then: it says nothing about how fast the rest is.
    done : float
    total : float or None
        None while unknown.
    note : str
        Such as the loss.
    share : float, optional
        Fraction done, for items of different sizes; the remaining time is estimated from it.
    """

    what: str
    began: float
    done_before: float
    done: float = 0.0
    total: float | None = None
    note: str = ""
    share: float | None = None
    share_before: float = 0.0
    lines: int = 0
    said_at: float = 0.0
    said_done: float = 0.0

    def left(self, now: float) -> float | None:
        """Estimate the seconds that the rest takes; None while no estimate is possible.

        Examples
        --------
        >>> Pace("training", began=5.0, done_before=1, done=11, total=31).left(now=15.0)
        20.0
        """
        if self.total is None or self.done >= self.total:
            return None
        fresh, rest = self.done - self.done_before, self.total - self.done
        if self.share is not None:
            fresh, rest = self.share - self.share_before, 1 - self.share
        return rest * (now - self.began) / fresh if fresh > 0 else None

    def is_due(self, now: float) -> bool:
        """Whether it is time for a line."""
        is_over = self.total is not None and self.done >= self.total
        if self.lines == 0 or (is_over and self.said_done < self.done):
            return True
        since = now - self.said_at
        wait = FIRST_SECONDS if self.lines == 1 else max(SECONDS, SLOWER * (now - self.began))
        tenth = self.total is not None and self.done - self.said_done >= SHARE * self.total
        return since >= wait or (tenth and since >= LEAST_SECONDS)

    def line(self, now: float) -> str:
        """Format it as a line.

        Examples
        --------
        >>> Pace("training", 5.0, 1, done=11, total=31, note="loss 0.41").line(now=15.0)
        'training: 11 of 31 in 10 s, about 20 s left, loss 0.41'
        """
        self.lines, self.said_at, self.said_done = self.lines + 1, now, self.done
        if self.total is None and not self.done:
            return ": ".join(filter(None, (self.what, self.note)))
        far = f"{int(self.done):,}" + ("" if self.total is None else f" of {int(self.total):,}")
        taken = now - self.began
        parts = [f"{far} in {duration(taken)}" if taken >= 1 else far, *self.rest(now)]
        return f"{self.what}: {', '.join(parts)}"

    def rest(self, now: float) -> list[str]:
        """Time left, if it is known, and the note."""
        left = self.left(now)
        told = "" if left is None else f"about {duration(max(left, 1.0))} left"
        return [text for text in (told, self.note) if text]


class Board:
    """Progress of several pieces of work, on stderr.

    Parameters
    ----------
    stream : file, optional
        stderr if left out.
    clock : callable
        Gives seconds.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._stream = stream
        self._works: dict[str, Pace] = {}
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._stream = self._stream or sys.stderr
        if self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[told]}", markup=False),
            )
            self._bars = Progress(*columns, console=Console(file=self._stream), transient=True)
            self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def move(
        self,
        what: str,
        done: float,
        total: float | None = None,
        note: str = "",
        share: float | None = None,
    ) -> None:
        """Report the progress of a piece of work, which is shown from the first report on.

        Parameters
        ----------
        what : str
            Its name; unique among those shown.
        done, total : float
            Steps, images, or whatever is counted.
        note : str
            Such as the loss.
        share : float, optional
            Fraction done, from 0 to 1, for items of different sizes.
        """
        now = self.clock()
        work = self._works.setdefault(what, Pace(what, now, done, share_before=share or 0.0))
        work.done, work.total, work.note, work.share = done, total, note, share
        if self._bars is None:
            if work.is_due(now):
                self.say(work.line(now))
            return
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=None, told="")
        self._bars.update(self._tasks[what], completed=done, total=total, told=", ".join(work.rest(now)))

    def end(self, what: str) -> None:
        """Remove a piece of work."""
        self._works.pop(what, None)
        if self._bars is not None and what in self._tasks:
            self._bars.remove_task(self._tasks.pop(what))

    def say(self, line: str) -> None:
        """Print a line, above the bars if there are any; at once, also into a pipe."""
        if self._bars is not None:
            self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif self._stream is not None:
            self._stream.write(f"{line}\n")
            self._stream.flush()


@contextmanager
def progress(what: str, total: float | None = None) -> Iterator[Callable[..., None]]:
    """Progress of one piece of work; gives a function of (done, total, note), the last two optional.

    Examples
    --------
    >>> with progress("verifying", 2) as advance:
    ...     for done in (1, 2):
    ...         advance(done)
    """
    with Board() as board:

        def advance(done: float, total: float | None = total, note: str = "") -> None:
            board.move(what, done, total, note)

        yield advance


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[..., None]]:
    """Progress of work that is counted one by one; gives a function to call when one more is done."""
    with Board() as board:
        done = count(1)
        yield lambda *_: board.move(what, next(done), total)
