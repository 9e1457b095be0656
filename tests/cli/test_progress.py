"""Progress: lines with the time that is left where there is no terminal, bars with it where there is one."""

import io
import re

import pytest

from histoscope.cli import progress as module
from histoscope.cli.progress import Board, Pace, progress
from histoscope.cli.study import Screen
from histoscope.studies.events import Event


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _told(n: int, seconds_each: float, *, first: int = 1, stream: io.StringIO | None = None) -> list[str]:
    """Lines of n steps that take so long each."""
    clock, out = Clock(), stream or io.StringIO()
    with Board(out, clock) as board:
        for step in range(first, n + 1):
            clock.now += seconds_each
            board.move("training", step, n, note=f"loss {1 / step:.2f}")
    return out.getvalue().splitlines()


def test_slow_work_says_something_at_once_soon_and_then_every_half_minute() -> None:
    lines = _told(10_000, 1.0)
    assert lines[0] == "training: 1 of 10,000, loss 1.00"
    assert lines[1].startswith("training: 11 of 10,000 in 10 s, about 2 h 46 min left")
    assert lines[2].startswith("training: 41 of 10,000 in 40 s, about 2 h 46 min left")
    assert lines[-1].startswith("training: 10,000 of 10,000 in 2 h 47 min, loss")
    assert len(lines) < 250


def test_fast_work_says_little() -> None:
    assert len(_told(10_000, 0.0001)) == 2
    assert 9 <= len(_told(100, 0.5)) <= 13


@pytest.mark.parametrize("first", [1, 80])
def test_what_was_done_before_says_nothing_of_the_pace(first: int) -> None:
    told = [re.search(r": (\d+) of .* about (\d+) s left", line) for line in _told(100, 0.7, first=first)]
    for found in filter(None, told):
        assert int(found[2]) == pytest.approx(0.7 * (100 - int(found[1])), abs=0.51)
    assert len([found for found in told if found]) >= 1


def test_a_terminal_gets_a_bar_with_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    shown = "\n".join(_told(40, 2.0, stream=Terminal()))
    assert "\x1b[" in shown
    assert "40/40" in shown
    assert "training: " not in shown


def test_pace_of_unknown_length() -> None:
    work = Pace("features", 0.0, 0, done=30)
    assert work.left(10.0) is None
    assert work.line(10.0) == "features: 30 in 10 s"


def test_lines_go_to_stderr_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("verifying", 1) as advance:
        advance(1)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "verifying: 1 of 1\n")


def test_a_study_says_which_run_is_where_and_what_is_left(capsys, monkeypatch) -> None:
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)
    with Screen(32) as screen:
        screen.clock = clock
        for k in range(30):
            clock.now += 0.1
            screen.tell(Event(f"a{k}", "kept"))
        for name in ("b", "c"):
            screen.tell(Event(name, "prepare"))
            for step in range(1, 101):
                clock.now += 1.0
                screen.tell(Event(name, "train", step, 100))
            screen.tell(Event(name, "test", 1, 1))
            screen.tell(Event(name, "done"))
    lines = capsys.readouterr().err.splitlines()
    assert "b, prepare" in lines
    assert "b, train: 1 of 100" in lines
    assert any(re.fullmatch(r"b, train: \d+ of 100 in \d+ s, about \d+ s left", line) for line in lines)
    assert "b: done" in lines
    # 100 s for b are 100 s for c: what was kept does not count
    half = [line for line in lines if line.startswith("runs: 31 of 32")]
    left = re.search(r"about (\d+) s left", half[0])
    assert left
    assert 70 <= int(left[1]) <= 105
    assert lines[-1].startswith("runs: 32 of 32")
