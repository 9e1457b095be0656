"""Memory that is given back and asked for anew is the same memory."""

import errno
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from histoscope import memory
from histoscope.errors import CorruptDataError

COUNT = """
import resource, numpy as np
from histoscope import memory
done = memory.keep_freed()
pages = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones((16, 2**20), np.float32)
    pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(done, pages[-1])
"""


def _count(environment):
    done = subprocess.run(
        [sys.executable, "-c", COUNT], capture_output=True, text=True, check=True, env=environment
    )
    kept, pages = done.stdout.split()
    return kept == "True", int(pages)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other ways to give memory")
def test_pages_are_touched_for_the_first_time_but_once(monkeypatch):
    import os

    own = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "LD_PRELOAD"))}
    kept, pages = _count(own)
    if not kept:
        pytest.skip("this C library has no mallopt")
    assert pages < 100  # of 16,384
    assert _count({**own, "MALLOC_TOP_PAD_": "0"})[0] is False


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.keep_freed() is False


def _asked(how):
    """Ask a library for more than there is, as it is asked in earnest."""
    if how == "torch":
        torch.empty(1 << 50)
    elif how == "numpy":
        np.empty(1 << 60, np.uint8)
    elif how == "numpy, beyond all numbers":
        np.empty((1 << 40, 1 << 40))
    elif how == "opencv":
        cv2.resize(np.zeros((1, 1), np.float64), (46_340, 2_000_000_000))
    elif how == "the system":
        raise OSError(errno.ENOMEM, "Cannot allocate memory")
    elif how == "opencv, while reading":
        try:
            raise cv2.error("OpenCV(4.12.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate")
        except cv2.error as error:
            raise CorruptDataError("a.png cannot be decoded") from error
    elif how == "an accelerator":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize(
    "how",
    [
        *("torch", "numpy", "numpy, beyond all numbers", "opencv", "the system"),
        *("opencv, while reading", "an accelerator"),
    ],
)
def test_memory_that_does_not_suffice_is_known_in_every_librarys_words(how):
    with pytest.raises(Exception) as caught:  # noqa: PT011  (each library has its own)
        _asked(how)
    assert memory.is_out_of_memory(caught.value), caught.value


@pytest.mark.parametrize("words", ["can't start new thread", "could not create a primitive"])
def test_words_that_do_not_name_memory_are_known_as_well(words):
    assert memory.is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("could not create a primitive descriptor for a convolution"),
        ValueError("operands could not be broadcast together"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        cv2.error("(-215:Assertion failed) !ssize.empty() in function 'resize'"),
        OSError(errno.ENOSPC, "No space left on device"),
        CorruptDataError("a page out of memory.tif cannot be decoded"),
        KeyError("out of memory"),
    ],
)
def test_other_errors_are_not_taken_for_it(error):
    assert not memory.is_out_of_memory(error)
