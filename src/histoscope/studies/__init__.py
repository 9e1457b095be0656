"""Studies: one thing changed at a time, several seeds, paired comparisons, a report.

``STUDIES`` names what is declared; a `StudyConfig` says which data, networks and training it is run with;
`run_study` trains what is missing; a report reads only what the runs left in their folders.
"""

from typing import TYPE_CHECKING

from histoscope.errors import UnknownNameError
from histoscope.lazy import attach
from histoscope.studies.study import (
    COLOUR,
    DEMO,
    IMBALANCE,
    STAIN,
    STARDIST,
    SYNTHETIC,
    TRANSFER,
    TRANSFER_NUCLEI,
    Condition,
    Run,
    Study,
)

if TYPE_CHECKING:
    from histoscope.studies.checks import read_config
    from histoscope.studies.config import StudyConfig
    from histoscope.studies.runner import run_study

STUDIES: dict[str, Study] = {
    "stain": STAIN,
    "colour": COLOUR,
    "imbalance": IMBALANCE,
    "stardist": STARDIST,
    "synthetic": SYNTHETIC,
    "transfer": TRANSFER,
    "transfer_nuclei": TRANSFER_NUCLEI,
    "demo": DEMO,
}

__all__ = ["STUDIES", "Condition", "Run", "Study", "StudyConfig", "get", "read_config", "run_study"]

_LAZY = {"StudyConfig": "config", "read_config": "checks", "run_study": "runner"}


def get(name: str) -> Study:
    """Look up a study.

    Raises
    ------
    UnknownNameError
        If there is none; the message offers the nearest.
    """
    if name not in STUDIES:
        raise UnknownNameError("study", name, STUDIES)
    return STUDIES[name]


__getattr__, __dir__ = attach(__name__, _LAZY)
