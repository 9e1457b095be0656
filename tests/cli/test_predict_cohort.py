"""Several processes and several calls on one folder of slides."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from histoscope import synth
from histoscope.cli.cohort_view import View
from histoscope.cli.main import app
from histoscope.cli.progress import Board
from histoscope.errors import ConfigError
from histoscope.files import write_image
from histoscope.ledger import Ledger, Row, Task
from slide_results import contents


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Give six small slides, and one that is broken."""
    folder = tmp_path_factory.mktemp("slides")
    for k in range(6):
        image = np.full((150, 150 + 10 * k, 3), 244, np.uint8)
        image[20:130, 20:130] = synth.generate((110, 110), mpp=0.5, rng=k).image
        write_image(folder / f"{k}.tif", image, mpp=0.5)
    (folder / "broken.svs").write_bytes(b"no slide")
    return folder


@pytest.fixture(scope="module")
def alone(slides, tmp_path_factory):
    """Give the files that one worker leaves."""
    out = tmp_path_factory.mktemp("alone")
    done = call(slides, out)
    assert done.exit_code == 1, done.output
    assert "1 slide failed" in done.stderr
    return contents(out)


def call(slides, out, *options, shown="slide"):
    return CliRunner().invoke(app, words(slides, out, *options, shown=shown))


def words(slides, out, *options, shown="slide"):
    return ["predict", "nuclei-free", str(slides), str(out), "--as", shown, *options]


def test_calls_share_what_is_left_and_say_what_failed_before(slides, alone, tmp_path):
    done = call(slides, tmp_path, "--claim")
    assert done.exit_code == 1
    assert "slides: 7 of 7" in done.stderr
    assert contents(tmp_path) == alone
    again = call(slides, tmp_path, "--claim")
    assert again.exit_code == 0  # the failure is another call's
    assert "6 finished slides skipped" in again.stdout
    assert "other workers" not in again.stdout
    plain = call(slides, tmp_path)
    assert plain.exit_code == 1
    assert "1 slide failed in an earlier call; --retry-failed tries again" in plain.stdout


def test_json_tells_what_happens_a_line_an_event(slides, alone, tmp_path):
    done = call(slides, tmp_path, "--json")
    assert done.exit_code == 1
    assert "slides:" not in done.stderr
    *events, end = map(json.loads, done.stdout.splitlines())
    of = {name: [one for one in events if one["slide"] == name] for name in (*"012345", "broken")}
    assert sum(map(len, of.values())) == len(events)
    started, failed = of.pop("broken")
    assert (started["event"], failed["event"], failed["stage"]) == ("started", "failed", "open")
    assert failed["path"] == str(slides / "broken.svs")
    for name, told in of.items():
        assert [one["event"] for one in told] == ["started", "parts", "parts", "done"]
        assert [(one["done"], one["of"]) for one in told[1:3]] == [(0, 1), (1, 1)]
        assert told[2]["nuclei"] == told[3]["row"]["nuclei"] > 0
        assert told[3]["path"] == str(slides / f"{name}.tif")
    assert (end["event"], end["predicted"], end["skipped"], len(end["failed"])) == ("end", 6, 0, 1)
    assert contents(tmp_path) == alone
    (end,) = map(json.loads, call(slides, tmp_path, "--json").stdout.splitlines())
    assert (end["predicted"], end["skipped"]) == (0, 6)


@pytest.mark.parametrize("option", ["--overwrite", "--retry-failed"])
def test_what_each_of_many_calls_would_repeat_is_refused(slides, tmp_path, option):
    done = call(slides, tmp_path, "--claim", option)
    assert isinstance(done.exception, ConfigError)
    assert f"{option} with --claim" in str(done.exception)


@pytest.mark.parametrize("workers", ["0", "many", "rays://a"])
def test_workers_are_a_number_or_ray(slides, tmp_path, workers):
    done = call(slides, tmp_path, "--workers", workers)
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", "").split())
    assert "expected a number of processes, ray or ray://HOST" in said


def test_ray_that_is_missing_or_has_its_devices_named_is_told_before_any_work(slides, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = call(slides, tmp_path, "--workers", "ray")
    assert "pip install 'histoscope[ray]'" in str(done.exception)
    monkeypatch.setitem(sys.modules, "ray", object())
    done = call(slides, tmp_path, "--workers", "ray", "--device", "cpu")
    assert "Ray assigns a device to each worker" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_images_have_one_worker(slides, tmp_path):
    done = call(slides / "1.tif", tmp_path, "--workers", "2", shown="image")
    assert "--workers is for slides" in str(done.exception)


def test_the_view_counts_all_workers_and_reckons_by_weight(tmp_path):
    tasks = [Task("a", weight=60), Task("b", weight=30), Task("c", weight=10)]
    clock = iter([0.0, 10.0, 50.0])
    with Ledger.open(tmp_path) as one, Ledger.open(tmp_path) as other:
        board = Board(clock=lambda: next(clock))
        board.said = []
        board.say = board.said.append
        view = View(tmp_path, tasks, board)
        view.update()
        one.draw(tasks)
        other.draw(tasks)
        other.say({"name": "b", "parts": 3, "of": 6, "weight": 30})
        view.update()
        one.rows.write(tasks[0], Row({}, about={"seconds": 30.0, "mm2": 20.0, "is_new": True}))
        view.update()
    assert board.said[0] == "slides: 0 of 3"
    assert "about 57 s left, 3 of 6 parts of 1 under way" in board.said[1]
    assert "1 of 3" in board.said[2]
    assert "1.50 s/mm2" in board.said[2]


PROGRAM = """
import sys, time
from histoscope.ledger import ledger, workers
ledger.Watch = lambda: workers.Watch(0.2, 2.0, 1.0)
from histoscope.predict.slides.store import Store
write = Store.write
Store.write = lambda *arguments: (time.sleep(0.5), write(*arguments))
from histoscope.cli.main import main
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_killed_and_frozen_calls_change_no_byte(slides, alone, tmp_path):
    command = [sys.executable, "-c", PROGRAM, *words(slides, tmp_path, "--claim")]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(command, env=path, stderr=subprocess.DEVNULL) for _ in range(3)]
    deadline = time.monotonic() + 200
    busy = set()
    while len(busy) < 2:
        assert time.monotonic() < deadline
        for claim in (tmp_path / ".ledger" / "claims").glob("*"):
            try:
                busy.add(json.loads(claim.read_text())["pid"])
            except (OSError, ValueError):
                continue
        time.sleep(0.01)
    killed, frozen = sorted(busy)[:2]
    os.kill(killed, signal.SIGKILL)
    os.kill(frozen, signal.SIGSTOP)
    ends = {process.pid: process.wait(200) for process in processes if process.pid != frozen}
    assert ends.pop(killed) == -signal.SIGKILL
    assert set(ends.values()) <= {0, 1}
    assert contents(tmp_path) == alone
    os.kill(frozen, signal.SIGCONT)
    (woken,) = (process for process in processes if process.pid == frozen)
    assert woken.wait(200) in {0, 1}
    assert contents(tmp_path) == alone


@pytest.mark.slow
def test_workers_leave_the_same_bytes(slides, alone, tmp_path):
    command = [sys.executable, "-m", "histoscope", *words(slides, tmp_path, "--workers", "2")]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=path, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 1, done.stderr
    assert "6 slides; results in" in done.stdout
    assert contents(tmp_path) == alone
