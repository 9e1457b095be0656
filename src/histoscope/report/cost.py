"""What a score cost, from the log of a run: time and steps to reach it, images a second."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

from histoscope.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Reached:
    """When a score was reached first; made by `reached`.

    Parameters
    ----------
    step, seconds : float
        Of training, validation counted in; NaN if it never was.
    """

    step: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run cost; made by `cost`.

    Parameters
    ----------
    steps : int
    seconds : float
        By the log's clock, validation counted in.
    images : int
        Images seen, repeats included.
    epochs : float
        Images seen over images of the training part.
    images_per_second : float
        NaN if no time passed.
    """

    steps: int
    seconds: float
    images: int
    epochs: float
    images_per_second: float


def reached(
    log: Iterable[Mapping[str, Any]],
    metric: str,
    level: float,
    *,
    part: str = "val",
    higher_is_better: bool = True,
) -> Reached:
    """Find the first validation at which a score had reached a level.

    The level may have been reached any time since the validation before.

    Parameters
    ----------
    log : iterable of mappings
        Lines of a run's log, with ``step``, ``seconds`` and the scores of a `part` under its name.
    metric : str
    level : float
        That it must reach.
    part : str
        Where its scores are; "" for values of the line itself, such as ``loss``.
    higher_is_better : bool
        Whether reaching is from below.

    Examples
    --------
    >>> log = [{"step": 0, "seconds": 0.0, "val": {"accuracy": 0.5}},
    ...        {"step": 50, "seconds": 6.5, "val": {"accuracy": 0.95}}]
    >>> reached(log, "accuracy", 0.9)
    Reached(step=50, seconds=6.5)
    >>> reached(log, "accuracy", 0.99)
    Reached(step=nan, seconds=nan)
    """
    for line in log:
        values = line.get(part) if part else line
        value = values.get(metric) if isinstance(values, Mapping) else None
        if not isinstance(value, int | float) or not isfinite(value):
            continue
        if value >= level if higher_is_better else value <= level:
            return Reached(line["step"], line["seconds"])
    return Reached(nan, nan)


def cost(log: Iterable[Mapping[str, Any]], *, batch_size: int, n_train: int) -> Cost:
    """Sum up a run from its log.

    Parameters
    ----------
    log : iterable of mappings
        Lines with ``step`` and ``seconds``.
    batch_size, n_train : int
        Images in a step, and in the training part.

    Examples
    --------
    >>> cost([{"step": 0, "seconds": 0.0}, {"step": 100, "seconds": 16.0}], batch_size=32, n_train=800)
    Cost(steps=100, seconds=16.0, images=3200, epochs=4.0, images_per_second=200.0)
    """
    if batch_size < 1 or n_train < 1:
        raise ConfigError(f"batch_size is {batch_size} and n_train {n_train}, expected at least 1 of each")
    lines = list(log)
    steps = max((int(line["step"]) for line in lines), default=0)
    seconds = max((float(line["seconds"]) for line in lines), default=0.0)
    images = steps * batch_size
    return Cost(steps, seconds, images, images / n_train, images / seconds if seconds else nan)
