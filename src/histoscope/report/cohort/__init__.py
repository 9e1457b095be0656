"""The page of a cohort of slides, from the tables in its folder of results."""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.report.cohort.page import write_cohort_report

__all__ = ["write_cohort_report"]

__getattr__, __dir__ = attach(__name__, {"write_cohort_report": "page"})
