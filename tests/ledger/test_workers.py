"""Who is dead: by silence that was watched, never by comparing clocks alone."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.ledger.workers import Watch, Worker

S = 10**9


def looks(watch, times_s, beats_s, now_s):
    """What the watch says at each look, with the stopwatch at these times."""
    clock = iter(times_s)
    watch.clock = lambda: next(clock)
    return [watch.is_dead("a", int(beat * S), int(now_s * S)) for beat in beats_s]


@given(st.lists(st.floats(0.1, 10_000), min_size=2, max_size=30), st.floats(-7200, 7200))
def test_who_beats_between_looks_lives_whatever_clocks_say(pauses, skew):
    times = [sum(pauses[:k]) for k in range(len(pauses))]
    assert not any(looks(Watch(), times, [t + skew for t in times], now_s=times[-1] + 7200))


@pytest.mark.parametrize(("skew_s", "until_s"), [(0, 60), (-3600, 60), (3600, 300)])
def test_a_silent_worker_is_dead_after_a_while(skew_s, until_s):
    """An hour off delays it to the longer watch, and does not prevent it."""
    times = range(0, 400, 20)
    said = looks(Watch(), times, [1000 + skew_s] * len(times), now_s=1301)
    assert times[said.index(True)] == until_s


def test_one_who_was_stopped_itself_does_not_take_all_others_for_dead():
    """A look after a day counts two heartbeats: the others were stopped, too, or the disk was away."""
    assert looks(Watch(), [0, 86_400, 86_401], [0, 0, 0], now_s=86_400) == [False, False, False]


@pytest.mark.skipif(not Worker.here().boot, reason="process numbers cannot be told apart here")
def test_a_process_of_this_machine_is_known(tmp_path):
    here = Worker.here()
    assert not here.is_known_dead
    assert replace(here, born="1").is_known_dead  # its number was given to another
    assert not replace(here, born="1", boot="another machine").is_known_dead
    code = "from histoscope.ledger.workers import *; Worker.here().write(Path('worker'))"
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=path)
    found = Worker.read(tmp_path / "worker")
    assert found.pid != here.pid
    assert found.is_known_dead
    assert Worker.read(tmp_path / "none") is None
