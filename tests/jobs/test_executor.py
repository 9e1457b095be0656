"""Workers of a call: what they share, how they die, and how they are asked to leave."""

import os
import signal
import subprocess
import sys

import pytest

from histoscope.errors import HistoscopeError
from histoscope.jobs.executor import LEFT, Here, Processes
from histoscope.ledger import Ledger, Row, Task

MODULE = """
import os, signal, sys, time
from dataclasses import dataclass
from histoscope.errors import ConfigError
from histoscope.jobs.executor import leave_if_asked
from histoscope.ledger import Row

@dataclass
class Opener:
    kind: str = ""

    def __call__(self, k, of):
        if self.kind == "no model":
            raise ConfigError("no such model")
        if self.kind == "dies at once":
            os._exit(3)
        return self.do

    def do(self, claim):
        name = claim.task.name
        claim.say({"half": name})
        if claim.lost >= 3:
            return Row({"n": name}, "lost")
        if self.kind == "deadly" and name == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "full":
            raise OSError(28, "No space left on device", name)
        if self.kind == "slow":
            os.write(1, b"begun" + os.linesep.encode())  # whole, whoever else writes
            for _ in range(40):
                time.sleep(0.05)
                leave_if_asked()
        return Row({"n": name, "threads": os.environ.get("OMP_NUM_THREADS")})
"""
TASKS = [Task(f"{k}", weight=-k) for k in range(5)]


@pytest.fixture
def opener(tmp_path, monkeypatch):
    """What is opened in other processes: a module that they can import."""
    (tmp_path / "opened_by_workers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    from opened_by_workers import Opener

    yield Opener
    del sys.modules["opened_by_workers"]


def rows(folder):
    with Ledger.open(folder) as ledger:
        return {row.name: row for row in ledger.rows.all()}


@pytest.mark.parametrize("executor", [Here, lambda **how: Processes(2, **how)])
def test_both_ways_do_the_same(tmp_path, opener, executor):
    told = []
    executor(on_news=told.append)(tmp_path / "a", TASKS, opener())
    for stage in ("started", "said", "ended"):
        assert sorted(one.task for one in told if one.stage == stage) == [f"{k}" for k in range(5)]
    for name in "01234":
        assert [one.stage for one in told if one.task == name] == ["started", "said", "ended"]
    assert sorted(rows(tmp_path / "a")) == [f"{k}" for k in range(5)]
    assert {row.row["n"] for row in rows(tmp_path / "a").values()} == {f"{k}" for k in range(5)}
    assert not list((tmp_path / "a" / "claims").iterdir())


def test_a_task_that_kills_its_workers_is_given_up_and_the_rest_is_done(tmp_path, opener):
    Processes(2)(tmp_path / "a", TASKS, opener("deadly"))
    found = rows(tmp_path / "a")
    assert [name for name, row in found.items() if row.error] == ["1"]
    assert len(found) == 5


@pytest.mark.parametrize(
    ("kind", "error", "why"),
    [
        ("no model", HistoscopeError, "no such model"),
        ("dies at once", HistoscopeError, "did no work: its process ended with exit code 3"),
        ("full", OSError, "No space left"),
    ],
)
def test_what_ends_one_worker_ends_the_call(tmp_path, opener, kind, error, why):
    with pytest.raises(error, match=why):
        Processes(2)(tmp_path / "a", TASKS, opener(kind))
    assert not rows(tmp_path / "a")
    Processes(2)(tmp_path / "a", TASKS, opener())
    assert len(rows(tmp_path / "a")) == 5


PROGRAM = """
import sys
from pathlib import Path
from histoscope.jobs.executor import Here, Processes
from histoscope.ledger import Task
sys.path.insert(0, sys.argv[1])
from opened_by_workers import Opener
if __name__ == "__main__":
    n = int(sys.argv[2])
    executor = Processes(n) if n > 1 else Here()
    executor(Path(sys.argv[1]) / "a", [Task(f"{k}") for k in range(6)], Opener("slow"))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, LEFT)])
@pytest.mark.parametrize("n", [1, 2])
def test_signals_give_the_claims_back(tmp_path, opener, sign, code, n):
    (tmp_path / "program.py").write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), str(tmp_path), str(n)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        for _ in range(n):
            assert process.stdout.readline() == "begun\n"
        process.send_signal(sign)
        assert process.wait(60) == code
    assert not list((tmp_path / "a" / "claims").iterdir())
    assert len(rows(tmp_path / "a")) < 6


def test_a_frozen_worker_drops_what_another_took_over(tmp_path, monkeypatch):
    with Ledger.open(tmp_path) as other:

        def do(claim):
            if claim.task.name == "0" and not claim.lost:
                other._bury(claim.task.key, claim.ledger.worker.id)
                other._first([claim.task], set()).finish(Row({"by": "other"}))
            return Row({"by": "this"})

        Here()(tmp_path, TASKS, lambda *_: do)
    by = {name: row.row["by"] for name, row in rows(tmp_path).items()}
    assert by == {"0": "other", **dict.fromkeys("1234", "this")}
