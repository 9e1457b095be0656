"""A warning if a disk is slow or stalls, since a read cannot be aborted."""

from contextlib import AbstractContextManager
from pathlib import Path

from histoscope.threads import told_after

PATIENCE_S = 60.0


def told_if_slow(path: Path) -> AbstractContextManager[None]:
    """Warn if reading a slide takes a minute; parts of slides take seconds.

    Examples
    --------
    >>> with told_if_slow(Path("slide.svs")):
    ...     pass
    """
    return told_after(
        PATIENCE_S,
        f"reading {path} takes longer than {PATIENCE_S:.0f} s: its disk is slow or has stalled. Still "
        "waiting; if you stop, the same command resumes",
    )
