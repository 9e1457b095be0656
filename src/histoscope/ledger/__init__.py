"""Work shared by many processes on many machines, through files in one folder; see `Ledger`."""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.ledger.ledger import Claim, Ledger, LostError, busy_in
    from histoscope.ledger.plans import agree, agreed
    from histoscope.ledger.rows import Row, Rows
    from histoscope.ledger.tasks import Task

_LAZY = {
    "Claim": "ledger",
    "Ledger": "ledger",
    "LostError": "ledger",
    "Row": "rows",
    "Rows": "rows",
    "Task": "tasks",
    "agree": "plans",
    "agreed": "plans",
    "busy_in": "ledger",
}
__all__ = ["Claim", "Ledger", "LostError", "Row", "Rows", "Task", "agree", "agreed", "busy_in"]
__getattr__, __dir__ = attach(__name__, _LAZY)
