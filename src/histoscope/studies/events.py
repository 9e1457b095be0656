"""Progress of a running study."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

SHARES = {"train": (0.0, 0.9), "test": (0.9, 0.09)}
"""Where each stage of a run begins, and how much of the run it is."""


@dataclass(frozen=True, slots=True)
class Event:
    """Progress of a run.

    Parameters
    ----------
    run : str
        Name of the run.
    stage : {"kept", "prepare", "train", "test", "done", "failed"}
        What it does, or how it ended; kept if it was finished before.
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
        """Whether it is a pretraining of several runs, or the reading of images."""
        return "/" in self.run

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of the run."""
        return self.stage in {"kept", "done", "failed"}

    @property
    def share(self) -> float:
        """How much of the run is done, from 0 to less than 1; training is nine tenths of it.

        Examples
        --------
        >>> Event("none-unet-seed0", "train", 50, 200).share
        0.225
        """
        begin, length = SHARES.get(self.stage, (0.0, 0.0))
        return begin + length * self.done / max(self.total, 1)


Tell: TypeAlias = Callable[[Event], None]


def steps_of(run: str, total: int, tell: Tell) -> Callable[[int, dict[str, float]], None]:
    """Give what a training calls after each step, with step and losses."""
    return lambda step, losses: tell(Event(run, "train", step, total))


def silent(what: object) -> None:
    """Report nothing."""
