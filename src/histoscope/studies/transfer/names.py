"""Names of the study of transfer: splits, sizes, levels, files; the pretraining of each run. No torch."""

import re

from histoscope.errors import ConfigError
from histoscope.studies.study import Run

GROUPED, RANDOM = "grouped", "random"
ALL = "all"
SCRATCH, SYNTHETIC, SELF_SUPERVISED = "scratch", "synthetic", "self_supervised"
PROBE, TUNED = "imagenet_probe", "imagenet_tuned"
PRETRAINED = "pretrained"
WHOLE = "once"
TABLE, SPENT, MISTAKES = "per_patch.csv", "spent.json", "mistakes"


def groups_of(size: str) -> int | None:
    """Groups of each class that a size names; None for all.

    Examples
    --------
    >>> groups_of("groups_16"), groups_of("all")
    (16, None)
    """
    found = re.fullmatch(r"groups_([1-9]\d*)", size)
    if size != ALL and found is None:
        raise ConfigError(f"models: {size!r} is not a size of a training part; expected groups_16, or all")
    return None if found is None else int(found[1])


def pretrainings(todo: list[Run], splits: list[str]) -> list[Run]:
    """Pretrainings that runs need, each once.

    Examples
    --------
    >>> todo = [Run("synthetic", "all", 0), Run("scratch", "all", 0)]
    >>> [run.name for run in pretrainings(todo, ["grouped"])]
    ['synthetic-once-seed0']
    """
    found: dict[Run, None] = {}
    for run in sorted(todo, key=lambda run: run.seed):
        if run.level == SELF_SUPERVISED:
            found |= {Run(SELF_SUPERVISED, kind, run.seed): None for kind in splits}
        elif run.level == SYNTHETIC:
            found[Run(SYNTHETIC, WHOLE, run.seed)] = None
        elif run.level == PROBE:
            found[Run(PROBE, WHOLE, 0)] = None
    return list(found)


def pretraining_of(run: Run, kind: str) -> Run | None:
    """The pretraining of a run, or None."""
    return next(iter(pretrainings([run], [kind])), None)
