"""Reports of studies, from the run folders alone; nothing here loads torch."""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.report import cost, effects
    from histoscope.report.results import RunResult, StudyResults, read_study
    from histoscope.report.write import write_report

_LAZY = {
    "RunResult": "results",
    "StudyResults": "results",
    "cost": "",
    "effects": "",
    "read_study": "results",
    "write_report": "write",
}

__all__ = [
    "RunResult",
    "StudyResults",
    "cost",
    "effects",
    "read_study",
    "write_report",
]

__getattr__, __dir__ = attach(__name__, _LAZY)
