"""Workers on a Ray cluster: the crew against a stand-in for Ray, and a real cluster of two nodes."""

import os
import socket
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from histoscope.errors import ConfigError, HistoscopeError, MissingDependencyError
from histoscope.jobs import on_ray
from histoscope.jobs.on_ray import Ray, slots_of
from histoscope.ledger import Ledger, Row, Task

TASKS = [Task(f"{k}", weight=-k) for k in range(8)]


def rows(folder):
    with Ledger.open(folder) as ledger:
        return {row.name: row.row for row in ledger.rows.all()}


class LostError(Exception):
    """Stands for ray.exceptions.RayError."""


class StandIn:
    """What is used of Ray, in this process; `deaths`: number of a worker -> when it dies."""

    def __init__(self, nodes=2, cores=2.0, deaths=(), pending=()):
        about = {"Alive": True, "NodeManagerHostname": "host", "Resources": {"CPU": cores}}
        self.found = [about | {"NodeID": str(k)} for k in range(nodes)]
        self.exceptions = SimpleNamespace(RayError=LostError)
        self.deaths, self.pending = dict(deaths), set(pending)
        self.killed, self.heard, self.began = [], set(), 0

    def is_initialized(self):
        return True

    def nodes(self):
        return self.found

    def put(self, what):
        return what

    def remote(self, kind):
        def begin(*given):
            k, self.began = self.began, self.began + 1
            if self.deaths.get(k) == "at once":
                return Hand(self, k, None)
            return Hand(self, k, None if k in self.pending else kind(*given))

        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=begin))

    def wait(self, refs, *, num_returns=1, timeout=None):
        ready = [ref for ref in refs if ref.k not in self.pending]
        if not ready:
            time.sleep(0.01)
        return ready[:num_returns], []

    def get(self, ref):
        if self.deaths.get(ref.k) == "at once":
            raise LostError("\nhe died\nno module named histoscope")
        if ref.k in self.heard and self.deaths.get(ref.k) == "at work":
            raise LostError("the node died")
        found = ref.body()
        if found:
            self.heard.add(ref.k)
        return found

    def kill(self, actor):
        self.killed.append(actor.k)


class Hand:
    def __init__(self, ray, k, actor):
        self.ray, self.k, self.actor = ray, k, actor

    def __getattr__(self, name):
        def body():  # an actor that waits for a node has no method yet
            return getattr(self.actor, name)()

        return SimpleNamespace(remote=lambda: Ref(self.k, body))


class Ref:
    def __init__(self, k, body):
        self.k, self.body = k, body


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    def make(**how):
        made = StandIn(**how)
        monkeypatch.setattr(on_ray, "require_ray", lambda: made)
        monkeypatch.setattr(on_ray, "_affinity", lambda node: node)
        monkeypatch.setattr(on_ray, "_LOOK_S", 0.01)
        (tmp_path / "a").mkdir()
        return made

    monkeypatch.chdir(tmp_path)
    return make


def opener(k, of):
    return lambda claim: Row({"n": claim.task.name})


def test_all_is_done_and_heard_of(stand_in, tmp_path):
    stand_in()
    news = []
    Ray(on_news=news.append)(tmp_path / "a", TASKS, opener)
    assert sorted(rows(tmp_path / "a")) == [task.name for task in TASKS]
    assert sorted(one.task for one in news if one.stage == "ended") == [task.name for task in TASKS]
    assert not list((tmp_path / "a" / "claims").iterdir())


def test_a_worker_that_dies_at_work_is_replaced(stand_in, tmp_path):
    ray = stand_in(nodes=1, deaths={0: "at work"})
    replaced = threading.Event()

    def opener(k, of):
        if k == 1:
            replaced.set()

        def do(claim):
            replaced.wait(20)  # what the stand-in calls dead goes on, as a node that is cut off does
            return Row({"n": claim.task.name})

        return do

    Ray()(tmp_path / "a", TASKS, opener)
    assert ray.began == 2
    assert len(rows(tmp_path / "a")) == len(TASKS)


def test_one_that_does_nothing_is_named_and_the_others_go_on(stand_in, tmp_path):
    stand_in(deaths={0: "at once"})
    with pytest.warns(UserWarning, match="a worker did no work: host: no module named histoscope"):
        Ray()(tmp_path / "a", TASKS, opener)
    assert len(rows(tmp_path / "a")) == len(TASKS)


def test_if_none_does_anything_the_call_says_why(stand_in, tmp_path):
    stand_in(nodes=1, deaths={0: "at once"})
    why = "no module named histoscope"
    with pytest.warns(UserWarning, match=why), pytest.raises(HistoscopeError, match=why):
        Ray()(tmp_path / "a", TASKS, opener)


def test_when_the_last_node_dies_the_call_ends(stand_in, tmp_path):
    ray = stand_in(nodes=1, deaths={0: "at work", 1: "at once"})
    over = threading.Event()

    def opener(k, of):
        def do(claim):
            over.wait(20)
            raise HistoscopeError("dead")

        return do

    with pytest.raises(HistoscopeError, match="no worker is left: host: no module"):
        Ray()(tmp_path / "a", TASKS, opener)
    over.set()
    assert ray.began == 2


def test_one_that_waits_for_a_node_is_not_waited_for(stand_in, tmp_path):
    ray = stand_in(pending={1})
    Ray()(tmp_path / "a", TASKS, opener)
    assert len(rows(tmp_path / "a")) == len(TASKS)
    assert ray.killed == [1]


def test_a_cluster_that_is_busy_is_told(stand_in, tmp_path, monkeypatch):
    stand_in(nodes=1, pending={0})
    monkeypatch.setattr(on_ray, "PATIENCE_S", 0.0)
    with pytest.raises(UserWarning, match="`ray status`"):  # in tests, warnings are errors
        Ray()(tmp_path / "a", TASKS, opener)


def test_what_ends_one_worker_ends_the_call(stand_in, tmp_path):
    stand_in()

    def full(k, of):
        def do(claim):
            raise OSError(28, "No space left on device", claim.task.name)

        return do

    with pytest.raises(OSError, match="No space left"):
        Ray()(tmp_path / "a", TASKS, full)


def test_a_node_without_the_shared_disk_says_so(stand_in, tmp_path):
    stand_in()
    with pytest.raises(HistoscopeError, match=r"b is not on .*; all nodes must see all files"):
        Ray()(tmp_path / "b", TASKS, opener)
    assert not (tmp_path / "b").exists()


def test_nodes_that_are_dead_or_have_no_cores_get_no_worker():
    about = {"NodeID": "a", "NodeManagerHostname": "b"}
    dead = about | {"Alive": False, "Resources": {"CPU": 4.0}}
    head = about | {"Alive": True, "Resources": {"memory": 1.0}}
    gpus = about | {"Alive": True, "Resources": {"CPU": 9.0, "GPU": 4.0}}
    assert [(slot.cores, slot.gpus) for slot in slots_of([dead, head, gpus])] == [(2, 1)] * 4


def test_a_missing_extra_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"histoscope\[ray\]"):
        Ray()(tmp_path, TASKS, opener)


def test_a_head_that_does_not_answer_is_told_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(on_ray, "require_ray", lambda: SimpleNamespace(is_initialized=lambda: False))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConfigError, match=f"no Ray head answers at 127.0.0.1:{port} "):
        Ray(f"ray://127.0.0.1:{port}")(tmp_path, TASKS, opener)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(ConfigError, match=f"no Ray head answers at 127.0.0.1:{port} "):
        Ray()(tmp_path, TASKS, opener)


MODULE = """
import os, time
from histoscope.ledger import Row

class Opener:
    def __call__(self, k, of):
        return self.do

    def do(self, claim):
        for _ in range(20):
            time.sleep(0.02)
            claim.say({"pid": os.getpid()})
        return Row({"n": claim.task.name})
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(280)
def test_a_real_cluster_of_two_nodes_of_which_one_is_killed(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    (tmp_path / "opened_on_nodes.py").write_text(MODULE)
    (tmp_path / "a").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # of the nodes
    from opened_on_nodes import Opener

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        other = cluster.add_node(num_cpus=1)
        ray.init(cluster.address, namespace="histoscope", log_to_driver=False)
        by_node, killed = {}, []

        def hear(news):
            if news.stage == "said":
                by_node.setdefault(news.words["pid"], set()).add(news.task)
            if len(by_node) == 2 and not killed:
                killed.append(other)
                cluster.remove_node(other, allow_graceful=False)

        Ray(on_news=hear)(tmp_path / "a", TASKS, Opener())
        assert killed
        assert rows(tmp_path / "a") == {task.name: {"n": task.name} for task in TASKS}
    finally:
        ray.shutdown()
        cluster.shutdown()
        del sys.modules["opened_on_nodes"]
