"""Work that is shared among threads is done once, and its errors are heard."""

import threading

import numpy as np
import pytest

from histoscope.threads import SMALLEST_BAND, in_order, over


@pytest.mark.parametrize("n", [0, 1, SMALLEST_BAND, SMALLEST_BAND * 3 + 7])
def test_parts_cover_everything_once(n):
    count = np.zeros(n, np.int64)

    def add(start, stop, out):
        out[start:stop] += 1
        return stop - start

    assert sum(over(add, n, SMALLEST_BAND, count)) == n
    assert (count == 1).all()


def test_errors_of_a_part_are_passed_on():
    def fail(start, stop):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        over(fail, SMALLEST_BAND * 3, SMALLEST_BAND)


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_and_few_are_begun_ahead(workers):
    begun = []

    def work(k):
        begun.append(k)
        return -k

    results = in_order(work, iter(range(1000)), workers=workers, ahead=4)
    assert [next(results) for _ in range(10)] == [-k for k in range(10)]
    results.close()
    assert len(begun) <= 15
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_an_error_comes_in_its_turn():
    results = in_order(lambda k: 1 // (3 - k), range(9))
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_ctrl_c_within_a_lock_is_ctrl_c(monkeypatch):
    def strike(*_):
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("release unlocked lock")  # as Python's Condition does

    monkeypatch.setattr("concurrent.futures.Future.result", strike)
    with pytest.raises(KeyboardInterrupt):
        list(in_order(abs, range(9)))
