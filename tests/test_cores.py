"""Work side by side, each on a core: one thread for torch and OpenCV within, as many as before after it."""

import cv2
import pytest
import torch

from histoscope.cores import a_core_each


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def _threads(_=None):
    return torch.get_num_threads(), cv2.getNumThreads()


def _run(work):
    return list(a_core_each(work, range(4), cores=2, ahead=2, name="one"))


def test_each_has_one_thread_and_afterwards_all_is_as_before():
    before = _threads()
    assert _run(_threads) == [(1, 1)] * 4
    assert _threads() == before


def test_after_a_failure_too():
    before = _threads()

    def fail(k):
        raise ValueError(f"item {k}")

    with pytest.raises(ValueError, match="item 0"):
        _run(fail)
    assert _threads() == before


def test_after_an_early_stop_too():
    before = _threads()
    items = a_core_each(lambda k: k, range(100), cores=2, ahead=2, name="one")
    assert next(items) == 0
    items.close()
    assert _threads() == before
