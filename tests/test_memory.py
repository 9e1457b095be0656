"""Memory that is given back and asked for anew is the same memory."""

import subprocess
import sys

import pytest

from histoscope import memory

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
