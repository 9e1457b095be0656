"""The option ``--workers``: processes of this machine, or a Ray cluster."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, TextIO

import typer

if TYPE_CHECKING:
    from histoscope.jobs.executor import Executor, OnNews

RAY = "ray"


def checked_workers(text: str) -> str:
    """Refuse anything but a number of processes or a Ray cluster."""
    if not is_ray(text) and not (text.isdigit() and int(text) > 0):
        raise typer.BadParameter(f"{text!r}, expected a number of processes, ray or ray://HOST")
    return text


def is_ray(text: str) -> bool:
    """Whether it names a Ray cluster."""
    return text == RAY or text.startswith(f"{RAY}://")


@contextmanager
def reached(workers: str) -> Iterator[TextIO]:
    """Connect to the Ray cluster first, if one is named, so that a missing one is reported before any work.

    Gives stdout; Ray's messages about its nodes go to stderr, since scripts may read stdout.

    Raises
    ------
    ConfigError, MissingDependencyError
    """
    if is_ray(workers):
        from histoscope.jobs.on_ray import connected

        stdout = sys.stdout
        with redirect_stdout(sys.stderr), connected(workers):
            yield stdout
    else:
        yield sys.stdout


def executor_of(
    workers: str, most: int, *, waits: bool = True, on_news: "OnNews | None" = None
) -> "Executor":
    """The way to start so many workers, at most one per task; with only one, this process does the work.

    Parameters
    ----------
    workers : str
        See `checked_workers`.
    most : int
        Number of tasks.
    waits, on_news
        As for `histoscope.jobs.executor.Here`.

    Raises
    ------
    MissingDependencyError
        If Ray is asked for and not installed.
    """
    from histoscope.jobs.executor import Here, Processes

    if is_ray(workers):
        from histoscope.jobs.on_ray import Ray

        return Ray(workers, waits=waits, on_news=on_news)
    n = min(int(workers), most)
    return Processes(n, waits=waits, on_news=on_news) if n > 1 else Here(waits=waits, on_news=on_news)
