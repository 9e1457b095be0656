"""Ctrl-C while a disk stalls: a note on what is being waited for; a second Ctrl-C stops at once."""

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
"""Time after which a note says what is being waited for."""
WAITING = "stopping when the current read or write is done; press Ctrl-C again to stop at once"
LEFT_AT_ONCE = "interrupted at once; the same command resumes, or says what to delete"


def watch(stream: TextIO, code: int) -> None:
    """Watch for Ctrl-C outside the main thread, which cannot react while it waits for a disk.

    All results are written completely or not at all, so a process may end at any moment.

    Parameters
    ----------
    stream : text stream
        Where the note is printed.
    code : int
        Exit code of a process that is stopped at once.
    """
    is_watched = any(thread.name == _NAME for thread in threading.enumerate())
    if os.name != "posix" or is_watched or threading.current_thread() is not threading.main_thread():
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(reader, stream, code), daemon=True, name=_NAME).start()


def _listen(reader: int, stream: TextIO, code: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the main thread gets it while it can react
    times, is_told = 0, False
    since = 0.0
    while times < 2:
        if hasattr(signal, "sigtimedwait") and signal.sigtimedwait({signal.SIGINT}, 0) is not None:
            _thread.interrupt_main()  # it waits for a disk and cannot notice
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
    """Exit on SIGUSR1, which schedulers send before the time limit; some workers replace this handler."""
    if hasattr(signal, "SIGUSR1") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR1, _left)


def _left(*_: object) -> None:
    from histoscope.jobs.executor import LEFT

    raise SystemExit(LEFT)
