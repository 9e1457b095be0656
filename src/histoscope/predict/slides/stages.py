"""How long each stage of a slide takes."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stages:
    """The current stage of a slide, and the seconds of each so far.

    Parameters
    ----------
    now : str
        The stage; it also tells where a slide failed.

    Examples
    --------
    >>> stages = Stages()
    >>> stages.enter("open")
    >>> stages.enter("parts")
    >>> sorted(stages.seconds())
    ['seconds', 'seconds_open', 'seconds_parts']
    """

    now: str = ""
    _begun_s: dict[str, float] = field(default_factory=dict)
    _spent_s: dict[str, float] = field(default_factory=dict)

    def enter(self, stage: str) -> None:
        """End the previous stage, and begin another, or the same again."""
        now_s = time.monotonic()
        if self.now:
            self._spent_s[self.now] = self._spent_s.get(self.now, 0.0) + now_s - self._begun_s.pop(self.now)
        self.now = stage
        self._begun_s[stage] = now_s

    def seconds(self) -> dict[str, float]:
        """Seconds of all stages, and of each, for a table."""
        self.enter(self.now)
        each = {f"seconds_{stage}": round(spent_s, 3) for stage, spent_s in self._spent_s.items()}
        return {"seconds": round(sum(self._spent_s.values()), 3), **each}
