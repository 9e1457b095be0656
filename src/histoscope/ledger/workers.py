"""Workers: a file for each, whose date is its heartbeat."""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

BEAT_S = 15.0
"""Interval of a worker's heartbeats."""
STALE_S = 300.0
"""A worker without a heartbeat for this long is considered dead."""
WATCH_S = 60.0
"""Minimum time to watch a worker, whatever dates say; network disks show old dates for up to a minute."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A working process.

    Parameters
    ----------
    id : str
        Random digits, unlike those of any other worker at any time.
    host : str
    pid : int
    boot : str
        Boot time of the machine, and the namespace of its process numbers: workers that share both can
        identify each other by process number. Empty if unknown.
    born : str
        Start time of the process, in the machine's own count.
    """

    id: str
    host: str
    pid: int
    boot: str
    born: str

    @classmethod
    def here(cls) -> Self:
        """The calling process, under a new id."""
        pid = os.getpid()
        return cls(secrets.token_hex(8), socket.gethostname(), pid, _boot(), _born(pid))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The worker that a file names, reopened so that a network disk shows its present content.

        None if there is no file, or it is just being written.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write it as a file."""
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @property
    def is_known_dead(self) -> bool:
        """Whether it ran on this machine and has ended; False if unknown."""
        return bool(self.boot) and self.boot == _boot() and self.born != _born(self.pid)


def _boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """Start of a process in ticks since the machine's; "" if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]  # the name before it may have spaces and brackets


@dataclass(slots=True)
class _Seen:
    beat_ns: int
    at_s: float
    watched_s: float = 0.0


@dataclass(slots=True)
class Watch:
    """Detection of dead workers without comparing the clocks of machines.

    A worker is dead if the observing process sees no new heartbeat for `STALE_S` on its own stopwatch, or for
    `WATCH_S` if by the clock of the file server the worker had been silent for `STALE_S` before. So a date
    alone never makes a worker dead: some file servers take dates from the machines that write, and a
    machine's clock may be an hour off. Between two looks, the stopwatch advances by at most two heartbeats,
    so that a process that was itself stopped, or waited for the disk, does not consider all others dead.

    Parameters
    ----------
    beat_s, stale_s, watch_s : float
    clock : callable
        Monotonic clock in seconds.
    """

    beat_s: float = BEAT_S
    stale_s: float = STALE_S
    watch_s: float = WATCH_S
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def is_dead(self, worker: str, beat_ns: int, now_ns: int) -> bool:
        """Check a worker.

        Parameters
        ----------
        worker : str
            Its id.
        beat_ns : int
            Date of its last heartbeat.
        now_ns : int
            Time of the file server, which dates them.

        Examples
        --------
        >>> seconds = iter(range(0, 1000, 20))
        >>> watch = Watch(clock=lambda: next(seconds))
        >>> [watch.is_dead("a", 0, now_ns=400 * 10**9) for _ in range(4)]
        [False, False, False, True]
        """
        now_s = self.clock()
        seen = self._seen.get(worker)
        if seen is None or seen.beat_ns != beat_ns:
            self._seen[worker] = _Seen(beat_ns, now_s)
            return False
        seen.watched_s += min(now_s - seen.at_s, 2 * self.beat_s)
        seen.at_s = now_s
        is_old = (now_ns - beat_ns) / 1e9 > self.stale_s
        return seen.watched_s >= (self.watch_s if is_old else self.stale_s)


class Heart:
    """Sends this worker's heartbeats from a separate thread, and checks those of others.

    Parameters
    ----------
    path : Path
        The worker's file.
    worker : Worker
    watch : Watch
    look : callable
        Called with the server's time in ns after each heartbeat.
    """

    def __init__(self, path: Path, worker: Worker, watch: Watch, look: Callable[[int], None]) -> None:
        self._path, self._worker, self._look = path, worker, look
        self._stopped = threading.Event()
        self._every_s = watch.beat_s
        self._thread = threading.Thread(target=self._run, daemon=True, name="heart")

    def start(self) -> None:
        """Start."""
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """Stop, and delete the worker's file."""
        self._stopped.set()
        self._thread.join(self._every_s)
        with suppress(OSError):
            self._path.unlink()

    def beat(self) -> int:
        """Date the file by the file server and return that time in ns; rewrite it if it was deleted."""
        try:
            os.utime(self._path)  # without a time, the server sets its own
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._worker.write(self._path)
        return self._path.stat().st_mtime_ns

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            with suppress(OSError):  # an unavailable disk may come back
                self._look(self.beat())
