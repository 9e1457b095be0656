"""What a running study tells those who wait for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Event:
    """Where a run stands.

    Parameters
    ----------
    run : str
        Name of the run.
    stage : {"prepare", "train", "test", "done", "failed", "disk full"}
        What it does, or how it ended.
    done, total : int
        Steps or images of the stage.
    note : str
        What went wrong.
    """

    run: str
    stage: str
    done: int = 0
    total: int = 0
    note: str = ""

    @property
    def is_before(self) -> bool:
        """Whether it is no run, but what several runs begin from."""
        return "/" in self.run


Tell: TypeAlias = Callable[[Event], None]


def silent(what: object) -> None:
    """Tell nobody."""
