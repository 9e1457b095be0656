"""Ctrl-C while the main thread hears nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import signal, sys, time
from histoscope.cli import interrupts
interrupts.PATIENCE_S = {patience}
signal.signal(signal.SIGINT, lambda *_: None)
interrupts.watch(sys.stderr, 130)
if {deaf}:  # as a main thread that waits for a disk
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("patience", "is_told"), [(0.01, True), (60, False)])
@pytest.mark.parametrize("deaf", [True, False])
def test_the_second_ctrl_c_ends_what_hears_nothing(patience, is_told, deaf):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(patience=patience, deaf=deaf)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        words = process.stderr.readline() if is_told else ""
        assert words.startswith("stopping") is is_told
        time.sleep(0.8)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert "interrupted at once" in process.stderr.read()
