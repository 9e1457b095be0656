"""Data sets as their publishers distribute them, splits without leaks, and the audit that proves it.

>>> sorted(DATASETS)
['class_folder', 'conic', 'consep', 'dsb2018', 'folder', 'kumar', 'lizard', 'monuseg', 'nuinsseg',
 'pannuke', 'tnbc']
"""

import inspect
from pathlib import Path
from typing import Any

from histoscope.data.audit import AuditReport, audit
from histoscope.data.base import Dataset, Datasheet, Problem
from histoscope.data.class_folder import ClassFolder
from histoscope.data.conic import CoNIC
from histoscope.data.consep import CoNSeP
from histoscope.data.dsb2018 import DSB2018
from histoscope.data.export import EXPORTS
from histoscope.data.folder import Folder
from histoscope.data.kumar import Kumar
from histoscope.data.lizard import Lizard
from histoscope.data.monuseg import MoNuSeg
from histoscope.data.nuinsseg import NuInsSeg
from histoscope.data.pannuke import PanNuke
from histoscope.data.split import Split, split_by, split_published
from histoscope.data.tnbc import TNBC
from histoscope.data.views import InMemory, compact, in_memory, joined, mapped, resample, subset
from histoscope.data.write import write_folder
from histoscope.errors import UnknownNameError

DATASETS: dict[str, Any] = {
    "class_folder": ClassFolder,
    "conic": CoNIC,
    "consep": CoNSeP,
    "dsb2018": DSB2018,
    "folder": Folder,
    "kumar": Kumar,
    "lizard": Lizard,
    "monuseg": MoNuSeg,
    "nuinsseg": NuInsSeg,
    "pannuke": PanNuke,
    "tnbc": TNBC,
}


def open(name: str, root: str | Path, **options: Any) -> Dataset:  # noqa: A001  # reads as data.open
    """Open a data set; nothing is downloaded and no pixel is read.

    Parameters
    ----------
    name : str
        A key of `DATASETS`.
    root : str or Path
        Its folder.
    **options
        Of the reader, such as ``mpp=0.25``.

    Raises
    ------
    UnknownNameError
        If no reader or option has that name.
    DatasetNotFoundError
        If the folder is not there; the message says what was expected and where to get it.
    """
    reader = DATASETS.get(name)
    if reader is None:
        raise UnknownNameError("data set", name, DATASETS)
    known = [key for key in inspect.signature(reader).parameters if key != "root"]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of data set {name!r}", option, known)
    dataset: Dataset = reader(root, **options)
    return dataset


__all__ = [
    "DATASETS",
    "EXPORTS",
    "AuditReport",
    "Dataset",
    "Datasheet",
    "InMemory",
    "Problem",
    "Split",
    "audit",
    "compact",
    "in_memory",
    "joined",
    "mapped",
    "open",
    "resample",
    "split_by",
    "split_published",
    "subset",
    "write_folder",
]
