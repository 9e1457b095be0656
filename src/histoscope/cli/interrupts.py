"""Ctrl-C while a disk stalls: a word on what is waited for, and the second one ends at once."""

import _thread
import os
import select
import signal
import threading
from time import monotonic
from typing import TextIO

_POLL_S = 0.3
_NAME = "interrupts"
PATIENCE_S = 3.0
"""After so long, a person is told what is waited for."""
WAITING = "stopping; what is being read or written is waited for. Ctrl-C again leaves at once"
LEFT_AT_ONCE = (
    "interrupted; left at once. The same command continues from what is finished, or says what to delete"
)


def watch(stream: TextIO, code: int) -> None:
    """Watch for Ctrl-C beside the main thread, which hears nothing while it waits for a disk.

    All results are written whole or not at all, so that a process may end at any moment.

    Parameters
    ----------
    stream : text stream
        Where a person is told.
    code : int
        Exit code of a process that is left.
    """
    is_watched = any(thread.name == _NAME for thread in threading.enumerate())
    if os.name != "posix" or is_watched or threading.current_thread() is not threading.main_thread():
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(reader, stream, code), daemon=True, name=_NAME).start()


def _listen(reader: int, stream: TextIO, code: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the main thread's, as long as it hears
    times, is_told = 0, False
    since = 0.0
    while times < 2:
        if hasattr(signal, "sigtimedwait") and signal.sigtimedwait({signal.SIGINT}, 0) is not None:
            _thread.interrupt_main()  # it waits for a disk, and would not be told before that answers
        if select.select([reader], [], [], _POLL_S)[0]:
            times += os.read(reader, 1)[0] == signal.SIGINT
            since = monotonic()
        if times and not is_told and monotonic() - since > PATIENCE_S:
            is_told = True
            _say(stream, WAITING)
    _say(stream, LEFT_AT_ONCE)
    os._exit(code)


def _say(stream: TextIO, words: str) -> None:
    stream.write(words + "\n")
    stream.flush()


def leave_when_asked() -> None:
    """Leave upon SIGUSR1, which schedulers send before time is up; who first ends a part replaces this."""
    if hasattr(signal, "SIGUSR1") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR1, _left)


def _left(*_: object) -> None:
    from histoscope.jobs.executor import LEFT

    raise SystemExit(LEFT)
