"""How far long work is and how long the rest takes: bars on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from histoscope.words import duration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SHARE = 0.1
"""A line is printed when so much more is done,"""
FIRST_SECONDS, SECONDS, LEAST_SECONDS = 10.0, 30.0, 1.0
"""or when the second line is due, or any later one; never sooner than the last."""
SLOWER = 0.02
"""What takes hours says it less often: after this share of the time so far."""


@dataclass(slots=True)
class Pace:
    """Where one piece of work stands.

    Parameters
    ----------
    what : str
        What people call it.
    began : float
        Seconds of the clock when it was first heard of.
    done_before : float
        What was done by then: it says nothing of how fast the rest goes.
    done : float
    total : float or None
        None while it is not known.
    note : str
        More to say, such as the loss.
    """

    what: str
    began: float
    done_before: float
    done: float = 0.0
    total: float | None = None
    note: str = ""
    lines: int = 0
    said_at: float = 0.0
    said_done: float = 0.0

    def left(self, now: float) -> float | None:
        """Estimate the seconds that the rest takes; None while nothing can be said.

        Examples
        --------
        >>> Pace("training", began=5.0, done_before=1, done=11, total=31).left(now=15.0)
        20.0
        """
        fresh = self.done - self.done_before
        if self.total is None or fresh <= 0 or self.done >= self.total:
            return None
        return (self.total - self.done) * (now - self.began) / fresh

    def is_due(self, now: float) -> bool:
        """Whether it is time for a line."""
        since = now - self.said_at
        if self.lines == 0 or (self.is_over and self.said_done < self.done):
            return True
        wait = FIRST_SECONDS if self.lines == 1 else max(SECONDS, SLOWER * (now - self.began))
        tenth = self.total is not None and self.done - self.said_done >= SHARE * self.total
        return since >= wait or (tenth and since >= LEAST_SECONDS)

    @property
    def is_over(self) -> bool:
        """Whether all is done."""
        return self.total is not None and self.done >= self.total

    def line(self, now: float) -> str:
        """Say it in words.

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
        parts = [f"{far} in {duration(taken)}" if taken >= 1 else far, self.told_left(now), self.note]
        return f"{self.what}: {', '.join(filter(None, parts))}"

    def told_left(self, now: float) -> str:
        """Say the time that is left; nothing while it is not known."""
        left = self.left(now)
        return "" if left is None else f"about {duration(max(left, 1.0))} left"


class Screen(Protocol):
    """What shows work to people."""

    def show(self, work: Pace, now: float) -> None:
        """Show where it stands."""

    def end(self, work: Pace) -> None:
        """Show it no longer."""

    def say(self, line: str) -> None:
        """Print a line."""

    def close(self) -> None:
        """Show nothing any longer."""


class Lines:
    """Lines in a file or a pipe, few enough to read."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, work: Pace, now: float) -> None:
        """Print a line if it is time for one."""
        if work.is_due(now):
            self.say(work.line(now))

    def end(self, work: Pace) -> None:
        """Leave what was printed."""

    def say(self, line: str) -> None:
        """Print a line at once, also where a pipe would keep it back."""
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave what was printed."""


class Bars:
    """Bars on a terminal, which go when the work is over."""

    def __init__(self, bars: "Progress") -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        bars.start()

    @classmethod
    def on(cls, stream: TextIO) -> "Bars | None":
        """Bars on a stream, if it is a terminal."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        console = Console(file=stream)
        if not console.is_terminal:
            return None
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}", markup=False),
        )
        return cls(Progress(*columns, console=console, transient=True))

    def show(self, work: Pace, now: float) -> None:
        """Move its bar."""
        told = ", ".join(filter(None, (work.told_left(now), work.note)))
        if work.what not in self._tasks:
            self._tasks[work.what] = self._bars.add_task(work.what, total=None, told="")
        self._bars.update(self._tasks[work.what], completed=work.done, total=work.total, told=told)

    def end(self, work: Pace) -> None:
        """Take its bar away."""
        if work.what in self._tasks:
            self._bars.remove_task(self._tasks.pop(work.what))

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take all bars away."""
        self._bars.stop()


@dataclass(slots=True)
class Board:
    """Shows on stderr how far pieces of work are, side by side.

    Parameters
    ----------
    stream : file, optional
        stderr if left out.
    clock : callable
        Gives seconds.
    """

    stream: TextIO | None = None
    clock: Callable[[], float] = time.monotonic
    _screen: Screen = field(init=False)
    _works: dict[str, Pace] = field(init=False, default_factory=dict)

    def __enter__(self) -> Self:
        stream = sys.stderr if self.stream is None else self.stream
        self._screen = Bars.on(stream) or Lines(stream)
        return self

    def __exit__(self, *error: object) -> None:
        self._screen.close()

    def move(self, what: str, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far a piece of work is; the first time it appears.

        Parameters
        ----------
        what : str
            Its name; unique among those that are shown.
        done, total : float
            Steps, images, or what else it is counted in.
        note : str
            What else there is to say.
        """
        now = self.clock()
        work = self._works.setdefault(what, Pace(what, now, done))
        work.done, work.total, work.note = done, total, note
        self._screen.show(work, now)

    def end(self, what: str) -> None:
        """Show a piece of work no longer."""
        if what in self._works:
            self._screen.end(self._works.pop(what))

    def say(self, line: str) -> None:
        """Print a line, above the bars if there are any."""
        self._screen.say(line)


@contextmanager
def progress(what: str, total: float | None = None) -> Iterator[Callable[..., None]]:
    """Show how far one piece of work is; gives what to call with (done, total, note), the last two optional.

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
