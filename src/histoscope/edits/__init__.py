"""Corrections of a model's nuclei: written beside the results, merged across authors, applied.

>>> from histoscope import edits
>>> one = edits.Edit.new("delete", "ada", nucleus="n1", centre_px=(10.0, 20.0))
>>> edits.merged([one]).found["n1"].kind
'delete'
"""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.edits.applying import Applied, apply, labels_of
    from histoscope.edits.cells import read_cells
    from histoscope.edits.choosing import least_sure
    from histoscope.edits.corrections import Corrections, Wanted
    from histoscope.edits.edit import KINDS, Edit
    from histoscope.edits.journal import folder_of, read, write
    from histoscope.edits.merging import Conflict, State, merged

__all__ = [
    "KINDS",
    "Applied",
    "Conflict",
    "Corrections",
    "Edit",
    "State",
    "Wanted",
    "apply",
    "folder_of",
    "labels_of",
    "least_sure",
    "merged",
    "read",
    "read_cells",
    "write",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "KINDS": "edit",
        "Applied": "applying",
        "Conflict": "merging",
        "Corrections": "corrections",
        "Edit": "edit",
        "State": "merging",
        "Wanted": "corrections",
        "apply": "applying",
        "folder_of": "journal",
        "labels_of": "applying",
        "least_sure": "choosing",
        "merged": "merging",
        "read": "journal",
        "read_cells": "cells",
        "write": "journal",
    },
)
