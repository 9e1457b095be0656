"""Every task is done, and counts once: whoever dies, wakes, or comes late."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope.ledger import Ledger, LostError, Row, Task, exclusive
from histoscope.ledger import ledger as ledger_module
from histoscope.ledger.workers import Watch

QUICK = {"beat_s": 0.05, "stale_s": 0.4, "watch_s": 0.2}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(ledger_module, "POLL_S", 0.02)


@pytest.fixture(params=[True, False], ids=["links", "no links"])
def disk(request, monkeypatch):
    """A disk that knows links, and one that does not."""
    if not request.param:
        monkeypatch.setattr(exclusive.os, "link", lambda *_: (_ for _ in ()).throw(OSError(95, "no links")))


def names(ledger):
    return sorted(row.name for row in ledger.rows.all())


def test_the_heaviest_come_first_and_what_is_done_is_not_given(tmp_path, disk):
    tasks = [Task("a", weight=1), Task("b", weight=3), Task("c/d", weight=2)]
    with Ledger.open(tmp_path) as one, Ledger.open(tmp_path) as other:
        first, second = one.draw(tasks), other.draw(tasks)
        assert (first.task.name, second.task.name) == ("b", "c/d")
        first.finish(Row({"n": 1}))
        assert one.draw(tasks).task.name == "a"
        second.release()
        assert other.draw(tasks).task.name == "c/d"
    with Ledger.open(tmp_path) as later:
        assert later.draw(tasks).task.name == "c/d"  # released at the end of the block
        assert names(later) == ["b"]
        assert next(iter(later.rows.all())).row == {"n": 1}


def test_other_settings_are_another_result(tmp_path):
    with Ledger.open(tmp_path) as ledger:
        ledger.draw([Task("a", "red")]).finish(Row({}))
        assert ledger.draw([Task("a", "red")]) is None
        assert ledger.draw([Task("a", "blue")]).task.name == "a"


def test_many_at_once_do_each_task_once(tmp_path, disk):
    tasks = [Task(f"{k}", weight=k) for k in range(60)]
    done = []

    def work(_):
        with Ledger.open(tmp_path) as ledger:
            while claim := ledger.draw(tasks):
                done.append(claim.task.name)
                claim.finish(Row({}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(done) == sorted(task.name for task in tasks)
    assert not list((tmp_path / "claims").iterdir())
    assert not list((tmp_path / "workers").iterdir())


def test_a_claim_of_a_silent_worker_is_taken_over_and_it_notices(tmp_path, disk):
    tasks = [Task("a")]
    silent = Ledger.open(tmp_path)
    silent._heart.beat()  # and never again
    frozen = silent.draw(tasks)
    with Ledger.open(tmp_path, Watch(**QUICK)) as other:
        heir = other.draw(tasks)
        assert heir.lost == 1
        with pytest.raises(LostError, match="a was taken over"):
            frozen.check()
        with pytest.raises(LostError):
            frozen.finish(Row({"by": "frozen"}))
        frozen.release()
        heir.check()  # the claim of the heir stayed
        heir.finish(Row({"by": "heir"}))
        assert [row.row["by"] for row in other.rows.all()] == ["heir"]
    assert not silent.draw(tasks)


def test_a_worker_that_beats_is_never_taken_over_whatever_its_clock_says(tmp_path, monkeypatch):
    tasks = [Task("a")]
    with Ledger.open(tmp_path, Watch(**QUICK)) as slow, ThreadPoolExecutor(1) as pool:
        claim = slow.draw(tasks)
        monkeypatch.setattr(time, "time", lambda: 0.0)
        monkeypatch.setattr(time, "time_ns", lambda: 0)

        def wait():
            with Ledger.open(tmp_path, Watch(**QUICK)) as other:
                return other.draw(tasks)

        waiting = pool.submit(wait)
        time.sleep(1.0)
        claim.check()
        claim.finish(Row({}))
        assert waiting.result() is None


def test_a_file_server_with_dates_of_the_writers_confuses_nobody(tmp_path, monkeypatch):
    """Some put the date of the machine that writes; this one's clock is an hour slow."""
    tasks = [Task("a")]
    utime = os.utime
    with Ledger.open(tmp_path, Watch(**QUICK)) as slow, Ledger.open(tmp_path, Watch(**QUICK)) as other:
        path = slow._file

        def dated(file, *arguments):
            if file != path:
                return utime(file, *arguments)
            now = time.time_ns() - 3600 * 10**9
            return utime(file, ns=(now, now))

        claim = slow.draw(tasks)
        monkeypatch.setattr(os, "utime", dated)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(other.draw, tasks)
            time.sleep(1.0)
            claim.finish(Row({}))
            assert waiting.result() is None


def test_a_claim_that_was_taken_over_meanwhile_is_put_back(tmp_path):
    """Two see the same dead worker; the slower one must not bury the claim of the faster."""
    tasks = [Task("a")]
    with Ledger.open(tmp_path) as dead, Ledger.open(tmp_path) as fast, Ledger.open(tmp_path) as slow:
        dead.draw(tasks)
        assert fast._bury(tasks[0].key, dead.worker.id)
        claim = fast._first(tasks, set())
        assert not slow._bury(tasks[0].key, dead.worker.id)
        claim.check()
        assert claim.lost == 1
        (tmp_path / "claims" / tasks[0].key).unlink()  # or it is lost in between
        claim.check()
        claim.progressed()
        assert not list((tmp_path / "lost").iterdir())


def test_one_waits_for_all_and_the_rest_leave(tmp_path):
    tasks = [Task("a")]
    with (
        Ledger.open(tmp_path, Watch(**QUICK)) as busy,
        Ledger.open(tmp_path, Watch(**QUICK)) as heir,
        Ledger.open(tmp_path, Watch(**QUICK)) as third,
        ThreadPoolExecutor(1) as pool,
    ):
        claim = busy.draw(tasks)
        waiting = pool.submit(heir.draw, tasks, waits=False)
        while not (tmp_path / "claims" / "heir").exists():
            time.sleep(0.01)
        assert third.draw(tasks, waits=False) is None
        assert not waiting.done()
        claim.release()  # given up: the heir has it
        assert waiting.result().task.name == "a"


def test_a_worker_that_was_cleared_away_goes_on(tmp_path):
    tasks = [Task("a"), Task("b")]
    with Ledger.open(tmp_path) as ledger:
        (tmp_path / "workers" / ledger.worker.id).unlink()
        ledger.draw(tasks).finish(Row({}))
        (tmp_path / "workers" / ledger.worker.id).unlink()
        assert ledger._heart.beat() > 0
        ledger.draw(tasks).finish(Row({}))
        assert names(ledger) == ["a", "b"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_order_of_events_ends_with_every_task_done(data):
    """Workers draw, finish, give up, are robbed and wake in any order; then an honest one ends the work."""
    with tempfile.TemporaryDirectory() as folder:
        tasks = [Task(f"{k}", weight=k % 3) for k in range(data.draw(st.integers(1, 6)))]
        workers = [Ledger.open(Path(folder)) for _ in range(4)]
        for worker in workers:
            worker._heart.beat()
        assert workers[3].holds("heir")  # so that the others do not wait
        held = {}
        for _ in range(data.draw(st.integers(0, 12))):
            k = data.draw(st.integers(0, 2))
            event = data.draw(st.sampled_from(["draw", "finish", "release", "robbed"]))
            if event == "draw" and k not in held:
                if claim := workers[k].draw(tasks, waits=False):
                    held[k] = claim
            elif k in held and event == "robbed":
                claim = held[k]
                other = workers[(k + 1) % 3]
                if other._bury(claim.task.key, workers[k].worker.id):
                    other._first([claim.task], set())
            elif k in held:
                claim = held.pop(k)
                try:
                    claim.finish(Row({"name": claim.task.name})) if event == "finish" else claim.release()
                except LostError:
                    continue
        with Ledger.open(Path(folder), Watch(0.01, 0.05, 0.03)) as one:
            while claim := one.draw(tasks):
                claim.finish(Row({"name": claim.task.name}))
            assert [row.row["name"] for row in one.rows.all()] == [row.name for row in one.rows.all()]
            assert names(one) == [task.name for task in tasks]


PROGRAM = """
import json, sys, time
from pathlib import Path
from histoscope.ledger import Ledger, LostError, Row, Task, ledger as module
from histoscope.ledger.workers import Watch
module.POLL_S = 0.05
tasks = [Task(f"{k}", weight=k) for k in range(8)]
with Ledger.open(Path(sys.argv[1]), Watch(0.1, 1.0, 0.5)) as ledger:
    while claim := ledger.draw(tasks):
        print("has", claim.task.name, flush=True)
        try:
            for _ in range(10):
                time.sleep(0.02)
                claim.check()
            claim.finish(Row({"n": claim.task.name}))
        except LostError:
            print("lost", claim.task.name, flush=True)
"""


def started(folder):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_processes_that_are_killed_or_frozen_lose_nothing(tmp_path):
    with started(tmp_path) as killed, started(tmp_path) as frozen, started(tmp_path) as honest:
        first = {process: process.stdout.readline() for process in (killed, frozen)}
        killed.send_signal(signal.SIGKILL)
        frozen.send_signal(signal.SIGSTOP)
        taken = honest.communicate(timeout=60)[0]
        frozen.send_signal(signal.SIGCONT)
        rest = frozen.communicate(timeout=60)[0]
    assert (honest.returncode, frozen.returncode) == (0, 0)
    for said in first.values():
        assert said in taken  # both tasks were taken over
    assert first[frozen].replace("has", "lost") in rest  # and the one that woke noticed
    assert not [line for line in rest.splitlines() if line.startswith("has")]
    rows = [json.loads(path.read_text()) for path in (tmp_path / "rows").iterdir()]
    assert sorted(row["name"] for row in rows) == [f"{k}" for k in range(8)]
