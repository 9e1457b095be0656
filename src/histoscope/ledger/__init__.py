"""Work that many processes on many machines share, through files in one folder; see `Ledger`."""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.ledger.ledger import Claim, Ledger, LostError
    from histoscope.ledger.plans import agree, agreed
    from histoscope.ledger.rows import Row
    from histoscope.ledger.tasks import Task

_LAZY = {
    "Claim": "ledger",
    "Ledger": "ledger",
    "LostError": "ledger",
    "Row": "rows",
    "Task": "tasks",
    "agree": "plans",
    "agreed": "plans",
}
__all__ = ["Claim", "Ledger", "LostError", "Row", "Task", "agree", "agreed"]
__getattr__, __dir__ = attach(__name__, _LAZY)
