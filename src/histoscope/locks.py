"""File locks: one writer per folder. The system releases the lock of a process that ends."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

from histoscope.errors import ConfigError
from histoscope.files import require_writable

LOCK = ".lock"
_MINE: ContextVar[frozenset[Path]] = ContextVar("folders that are held", default=frozenset())


@contextmanager
def alone_in(folder: str | Path) -> Iterator[None]:
    """Lock a folder while the block runs; it is created if missing. The lock is reentrant.

    Raises
    ------
    ConfigError
        If another process holds it, or the folder cannot be created or written.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with alone_in(folder), alone_in(folder):
    ...     (folder / LOCK).is_file()
    True
    >>> (folder / LOCK).is_file()
    False
    """
    folder = Path(folder).resolve()
    if folder in _MINE.get():
        yield
        return
    require_writable(folder)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    file = take(folder / LOCK)
    before = _MINE.set(_MINE.get() | {folder})
    try:
        file.truncate(0)
        file.write(json.dumps(job()) + "\n")
        file.flush()
        yield
    finally:
        _MINE.reset(before)
        with suppress(OSError):
            (folder / LOCK).unlink()
        file.close()
        with suppress(OSError):  # the folder is not empty
            for place in made:
                place.rmdir()


def take(path: Path) -> TextIO:
    """Open a file for appending, and lock it until it is closed.

    Raises
    ------
    ConfigError
        If another process holds it; the last line of the file names it.
    """
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            _lock(file)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file  # and not one that its holder has just deleted
        except BlockingIOError:
            file.close()
            raise ConfigError(
                f"{path.parent} is being written by {_holder(path)}; wait until it is done, or choose "
                "another folder"
            ) from None
        file.close()


def job() -> dict[str, Any]:
    """Line that names the process holding a lock."""
    return {"job": {"host": socket.gethostname(), "pid": os.getpid()}}


def _holder(path: Path) -> str:
    """Process that the last such line names."""
    with suppress(OSError, ValueError, KeyError):
        lines = path.read_text(encoding="utf-8").splitlines()
        named = (line for line in reversed(lines) if line.startswith('{"job": '))
        holder = json.loads(next(named, ""))["job"]
        return f"process {holder['pid']} on {holder['host']}"
    return "another process"


def _lock(file: TextIO) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return  # some network disks do not support locks
