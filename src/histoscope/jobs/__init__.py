"""Batch work on image files: result names, the journal, ownership of files, failures."""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.jobs import normalize
    from histoscope.jobs.journal import Job, Journal
    from histoscope.jobs.lines import Results
    from histoscope.jobs.naming import files_of, unique_names
    from histoscope.jobs.ownership import Owned

_LAZY = {
    "Job": "journal",
    "Journal": "journal",
    "Owned": "ownership",
    "Results": "lines",
    "files_of": "naming",
    "normalize": "",
    "unique_names": "naming",
}

__all__ = [
    "Job",
    "Journal",
    "Owned",
    "Results",
    "files_of",
    "normalize",
    "unique_names",
]

__getattr__, __dir__ = attach(__name__, _LAZY)
