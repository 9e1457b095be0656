"""Error messages of single images in a batch."""

import errno
import traceback
from collections.abc import Mapping
from pathlib import Path

from histoscope.errors import HistoscopeError
from histoscope.files import NO_ROOM
from histoscope.jobs.journal import Job
from histoscope.memory import is_out_of_memory
from histoscope.places import PlaceError

GONE = {
    getattr(errno, name, -1)
    for name in ("EIO", "ESTALE", "ENOTCONN", "ENODEV", "ENXIO", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH")
}
"""Errors of a disk that failed or is unavailable."""


def message_of(job: Job, error: BaseException) -> str:
    """Message for an image or slide that failed; a full disk is raised again and ends the batch."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        raise error
    if is_out_of_memory(error):
        return f"{job.image}: out of memory; cut the image into tiles, or use a machine with more memory"
    if isinstance(error, HistoscopeError):
        return str(error)
    if isinstance(error, OSError):
        is_gone = error.errno in GONE and not isinstance(error, PlaceError)  # that gives its own advice
        advice = "; check that its disk is available, and run the same command again" * is_gone
        return f"{error.filename or job.image}: {error.strerror or error}{advice}"
    where = traceback.extract_tb(error.__traceback__)[-1:]
    at = "".join(f" in {Path(place.filename).name}, line {place.lineno}" for place in where)
    what = f"{type(error).__name__}{at}: {error}"
    return f"{job.image}: {what}; this is a bug in Histoscope, please report it"


def line_of(failure: Mapping[str, str]) -> str:
    """Line about a failure for people: the file, once, and the reason.

    Parameters
    ----------
    failure : mapping
        With ``path`` and ``error``, as in the outcome of a batch.

    Examples
    --------
    >>> line_of({"path": "a.svs", "error": "a.svs is empty (0 bytes); copy it again"})
    'failed: a.svs is empty (0 bytes); copy it again'
    >>> line_of({"path": "in/a.svs", "error": "a.svs is empty (0 bytes); copy it again"})
    'failed: in/a.svs is empty (0 bytes); copy it again'
    >>> line_of({"path": "a.svs", "error": "out of memory"})
    'failed: a.svs: out of memory'
    """
    path, error = failure["path"], failure["error"]
    if path in error:
        return f"failed: {error}"
    name = Path(path).name
    return f"failed: {path}{error[len(name) :] if error.startswith(name) else f': {error}'}"
