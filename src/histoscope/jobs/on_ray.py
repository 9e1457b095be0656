"""Workers on a Ray cluster: one per GPU, or one per share of a node's cores.

They draw from the ledger like all others. Ray transfers the list of tasks once, and short reports back; never
pixels, and never results that are not on disk.
"""

import logging
import math
import os
import queue
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from histoscope.errors import ConfigError, HistoscopeError, MissingDependencyError
from histoscope.jobs import executor
from histoscope.jobs.executor import News, OnNews, Opener, leave_if_asked, leaving, raised, serve
from histoscope.jobs.processes import GRACE_SECONDS, THREAD_VARIABLES, keep_to_share
from histoscope.ledger import Task

CORES = 8
"""Cores of a worker without a GPU; on nodes with fewer, all of them."""
CONNECT_S = 5.0
"""A head that does not answer within this time counts as missing."""
PATIENCE_S = 60.0
"""If no worker has started by then, the caller is told where to look."""
_CLIENT = "ray://"
_LOOK_S = 1.0
_OVER = "over"


@dataclass(frozen=True, slots=True)
class Ray:
    """Workers on all nodes of a Ray cluster, which must see all files under the same paths.

    If a worker or node dies, another takes over its task.

    Parameters
    ----------
    address : str
        ``ray`` for the cluster of this machine (or of ``RAY_ADDRESS``), or ``ray://HOST:PORT``, by default
        port 10001.
    waits : bool
        As for `Ledger.draw`.
    on_news : callable, optional
    """

    address: str = "ray"
    waits: bool = True
    on_news: OnNews | None = None

    def __call__(self, folder: Path, tasks: Sequence[Task], opener: Opener) -> None:
        """Do what is left.

        Raises
        ------
        MissingDependencyError
            If Ray is not installed.
        ConfigError
            If the cluster cannot be reached.
        HistoscopeError, OSError
            The error that ended a worker; or if none is left.
        SystemExit
            If this process was asked to stop.
        """
        with connected(self.address) as ray, leaving():
            given = _Given(Path.cwd(), folder.resolve(), opener, self.waits)
            crew = _Crew(ray, given, ray.put(list(tasks)), self.on_news)
            try:
                for slot in slots_of(ray.nodes()):
                    crew.begin(slot)
                crew.work()
            finally:
                crew.end()
            leave_if_asked()


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot for a worker.

    Parameters
    ----------
    node : str
        Ray's id of the node.
    host : str
    cores, gpus : int
    """

    node: str
    host: str
    cores: int
    gpus: int


def slots_of(nodes: Sequence[Mapping[str, Any]]) -> list[Slot]:
    """Slots for workers on the live nodes: one per GPU, otherwise one per `CORES` cores.

    Parameters
    ----------
    nodes : sequence of mapping
        As returned by ``ray.nodes()``.

    Examples
    --------
    >>> about = {"Alive": True, "NodeID": "a", "NodeManagerHostname": "gpu1"}
    >>> slots_of([about | {"Resources": {"CPU": 16.0, "GPU": 2.0}}])[1]
    Slot(node='a', host='gpu1', cores=8, gpus=1)
    >>> [slot.cores for slot in slots_of([about | {"Resources": {"CPU": 20.0}}])]
    [10, 10]
    """
    found = []
    for node in nodes:
        have = node["Resources"]
        cores, gpus = int(have.get("CPU", 0)), int(have.get("GPU", 0))
        if not node["Alive"] or not cores:
            continue
        n = min(gpus, cores) or max(1, cores // CORES)
        slot = Slot(node["NodeID"], node["NodeManagerHostname"], cores // n, int(gpus > 0))
        found += [slot] * n
    return found


def require_ray() -> Any:
    """The package ray.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            "--workers ray needs Ray, here and on all nodes: pip install 'histoscope[ray]'"
        ) from error
    return ray


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to a cluster; returns the package ray. An existing connection is used and kept.

    Raises
    ------
    MissingDependencyError, ConfigError
    """
    ray = require_ray()
    if ray.is_initialized():
        yield ray
        return
    try:
        given = _whole(address) if address.startswith(_CLIENT) else _address_here()
        if ":" in given:
            _require_answer(given.removeprefix(_CLIENT))
        # Output of the workers would mix with that of this call.
        ray.init(given, namespace="histoscope", logging_level=logging.WARNING, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"no Ray cluster for --workers {address}: {what}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _whole(address: str) -> str:
    """Address for clients, with Ray's usual port if none is given."""
    return address if ":" in address.removeprefix(_CLIENT) else f"{address}:10001"


def _address_here() -> str:
    """Address of this machine's cluster; may be one that has ended, if Ray's files still list it."""
    given = os.environ.get("RAY_ADDRESS", "auto")
    try:
        from ray._private.services import canonicalize_bootstrap_address_or_die
    except ImportError:
        return given
    return str(canonicalize_bootstrap_address_or_die(given)) if given == "auto" else given


def _require_answer(place: str) -> None:
    """Check that a head answers, since Ray itself would try for minutes.

    Raises
    ------
    ConfigError
    """
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no Ray head answers at {place} ({error}); check that it is running there (`ray start "
            "--head`, whose client port is 10001), or use --workers ray on a machine of the cluster"
        ) from error


def _affinity(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=True)


@dataclass(frozen=True, slots=True)
class _Given:
    """Data that every worker gets."""

    cwd: Path
    folder: Path
    opener: Opener
    waits: bool


@dataclass(frozen=True, slots=True)
class _Hand:
    """A worker, as its crew sees it."""

    k: int
    actor: Any
    slot: Slot
    is_again: bool


@dataclass(slots=True)
class _Crew:
    """The workers of a call."""

    ray: Any
    given: _Given
    tasks: Any
    on_news: OnNews | None
    active: dict[Any, _Hand] = field(default_factory=dict)
    up: set[int] = field(default_factory=set)
    at_work: set[int] = field(default_factory=set)
    n: int = 0
    n_over: int = 0
    lost: str = ""
    is_asked: bool = False

    def begin(self, slot: Slot, *, is_again: bool = False) -> None:
        """Start a worker, on its node if that exists, otherwise on another."""
        actor = (
            self.ray.remote(_Worker)
            .options(
                num_cpus=slot.cores,
                num_gpus=slot.gpus,
                scheduling_strategy=_affinity(slot.node),
                runtime_env={"env_vars": dict.fromkeys(THREAD_VARIABLES, str(slot.cores))},
            )
            .remote(self.given, self.tasks, self.n)
        )
        self.active[actor.news.remote()] = _Hand(self.n, actor, slot, is_again)
        self.n += 1

    def work(self) -> None:
        """Receive reports until the workers are done; those still waiting for a node are not needed then."""
        told_at_s = time.monotonic() + PATIENCE_S
        while self.active and (self.up or not (self.n_over or self.is_asked)):
            ready, _ = self.ray.wait(list(self.active), num_returns=1, timeout=_LOOK_S)
            if not self.up and not self.n_over and time.monotonic() > told_at_s:
                told_at_s = math.inf
                warnings.warn(
                    "no worker has started yet; `ray status` shows what is using the cores", stacklevel=2
                )
            if executor.is_asked() and not self.is_asked:
                self.is_asked = True
                self.ask()
            for one in ready:
                self.hear(one)
        if not self.n_over and not self.is_asked:
            raise HistoscopeError(f"no worker is left: {self.lost or 'the cluster has no cores'}")

    def hear(self, ready: Any) -> None:
        """Hear of a worker; one that died at work is replaced."""
        hand = self.active.pop(ready)
        try:
            news = self.ray.get(ready)
        except self.ray.exceptions.RayError as error:
            self._lose(hand, str(error))
            return
        self.up.add(hand.k)
        for one in news:
            if one == _OVER:
                self.n_over += 1
                self.up.discard(hand.k)
                return
            if not isinstance(one, News):
                raise raised(one)
            self.at_work.add(hand.k)
            if self.on_news is not None:
                self.on_news(one)
        self.active[hand.actor.news.remote()] = hand

    def _lose(self, hand: _Hand, why: str) -> None:
        self.up.discard(hand.k)
        if hand.k in self.at_work:
            if not self.is_asked:
                self.begin(hand.slot, is_again=True)
            return
        self.lost = f"{hand.slot.host}: {why.strip().splitlines()[-1]}"
        if not hand.is_again:  # the next one would fail as well; a second one had no node left
            warnings.warn(f"a worker did no work: {self.lost}", stacklevel=2)

    def ask(self) -> None:
        """Ask all to leave."""
        for hand in self.active.values():
            hand.actor.leave.remote()

    def end(self) -> None:
        """Let workers finish short work, so that their claims are released, and end them."""
        self.ask()
        up = [hand.actor.over.remote() for hand in self.active.values() if hand.k in self.up]
        if up:
            self.ray.wait(up, num_returns=len(up), timeout=GRACE_SECONDS)
        for hand in self.active.values():
            self.ray.kill(hand.actor)


class _Worker:
    """A worker, which works in a thread of its process and reports when asked."""

    def __init__(self, given: "_Given", tasks: Sequence[Task], k: int) -> None:
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, args=(given, tasks, k), daemon=True)
        self._thread.start()

    def _work(self, given: "_Given", tasks: Sequence[Task], k: int) -> None:
        try:
            for place in (given.cwd, given.folder):
                if not place.is_dir():
                    where = f"{place} is not on {socket.gethostname()}"
                    raise ConfigError(f"{where}; all nodes must see all files under the same paths")
            os.chdir(given.cwd)  # so that relative paths are the caller's
            keep_to_share()
            # Treated as one of several: it takes a visible GPU, and Ray shows it only its own.
            serve(
                given.folder,
                tasks,
                partial(given.opener, k, max(2, k + 1)),
                self._news.put,
                waits=given.waits,
            )
        except Exception as error:  # noqa: BLE001  (the thread has nobody to raise it to)
            what = "" if isinstance(error, HistoscopeError) else f"{type(error).__name__}: "
            self._news.put((None, f"{what}{error}", None))
        finally:
            self._news.put(_OVER)

    def news(self) -> list[Any]:
        """Reports since the last call; waits a moment for the first."""
        found = []
        with suppress(queue.Empty):
            found.append(self._news.get(timeout=_LOOK_S))
            while True:
                found.append(self._news.get_nowait())
        return found

    def leave(self) -> None:
        """Stop when the current part is done."""
        executor.ask()

    def over(self) -> None:
        """Wait a while until it is."""
        self._thread.join(GRACE_SECONDS)
