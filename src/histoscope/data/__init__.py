"""Data sets as published, splits without leakage, and the leakage audit.

>>> sorted(DATASETS)
['breakhis', 'class_folder', 'conic', 'consep', 'dsb2018', 'folder', 'kather2016', 'kumar', 'lc25000',
 'lizard', 'monuseg', 'nct_crc', 'nuinsseg', 'pannuke', 'pcam', 'tnbc']
"""

import inspect
import sys
from pathlib import Path
from typing import Any

from histoscope import plugins
from histoscope.data.base import Dataset, Datasheet, Problem
from histoscope.data.classes import ClassMatch, match_classes, renamed, renumbered
from histoscope.data.export import EXPORTS
from histoscope.data.leaks.audit import AuditReport, audit
from histoscope.data.leaks.groups import Groups, propose_groups, write_groups
from histoscope.data.readers.breakhis import BreakHis
from histoscope.data.readers.class_folder import ClassFolder
from histoscope.data.readers.conic import CoNIC
from histoscope.data.readers.consep import CoNSeP
from histoscope.data.readers.dsb2018 import DSB2018
from histoscope.data.readers.folder import Folder
from histoscope.data.readers.kather2016 import Kather2016
from histoscope.data.readers.kumar import Kumar
from histoscope.data.readers.lc25000 import LC25000
from histoscope.data.readers.listed import with_parts, write_parts
from histoscope.data.readers.lizard import Lizard
from histoscope.data.readers.monuseg import MoNuSeg
from histoscope.data.readers.nct_crc import NCTCRC
from histoscope.data.readers.nuinsseg import NuInsSeg
from histoscope.data.readers.pannuke import PanNuke
from histoscope.data.readers.pcam import PCam
from histoscope.data.readers.tnbc import TNBC
from histoscope.data.split import (
    Split,
    group_subset,
    split_by,
    split_published,
    tile_order,
    tile_subset,
    unseen_classes,
)
from histoscope.data.views import (
    InMemory,
    compact,
    in_memory,
    joined,
    mapped,
    readable,
    resample,
    subset,
)
from histoscope.data.write import write_folder
from histoscope.errors import ConfigError, UnknownNameError
from histoscope.lazy import attach

# In 0.1 a module had the name of this function; `histoscope.moved` would put the module in its place.
sys.modules[f"{__name__}.audit"] = sys.modules[audit.__module__]

DATASETS: dict[str, Any] = {
    "breakhis": BreakHis,
    "class_folder": ClassFolder,
    "conic": CoNIC,
    "consep": CoNSeP,
    "dsb2018": DSB2018,
    "folder": Folder,
    "kather2016": Kather2016,
    "kumar": Kumar,
    "lc25000": LC25000,
    "lizard": Lizard,
    "monuseg": MoNuSeg,
    "nct_crc": NCTCRC,
    "nuinsseg": NuInsSeg,
    "pannuke": PanNuke,
    "pcam": PCam,
    "tnbc": TNBC,
}


GROUP = "histoscope.datasets"
"""Entry points of readers from other packages."""
_MEMBERS = ("info", "records", "__getitem__", "__len__", "__iter__", "image_path", "verify")


def open(name: str, root: str | Path, **options: Any) -> Dataset:  # noqa: A001  # reads as data.open
    """Open a data set; nothing is downloaded and no pixel is read.

    Parameters
    ----------
    name : str
        A key of `DATASETS`, of an installed plug-in (``histoscope.datasets``), or ``package.module:Name``: a
        class or function that takes the folder and returns a `Dataset`.
    root : str or Path
        Its folder.
    **options
        Options of the reader, such as ``mpp=0.25``; None means not given.

    Raises
    ------
    UnknownNameError
        If no reader or option has that name.
    DatasetNotFoundError
        If the folder is not there; the message says what was expected and where to get it.
    """
    options = {key: value for key, value in options.items() if value is not None}
    reader = plugins.find("data set", name, DATASETS, GROUP)
    if not callable(reader):
        raise ConfigError(
            f"data set {name!r} is {reader!r}, expected a class or function that takes a folder"
        )
    parameters = inspect.signature(reader).parameters
    known = [key for key in list(parameters)[1:] if parameters[key].kind is not inspect.Parameter.VAR_KEYWORD]
    takes_all = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    for option in options:
        if option not in known and not takes_all:
            raise UnknownNameError(f"option of data set {name!r}", option, known)
    dataset: Dataset = reader(root if name in DATASETS else Path(root), **options)
    lacking = [key for key in _MEMBERS if not hasattr(dataset, key)]
    if lacking:
        raise ConfigError(
            f"data set {name!r} gives a {type(dataset).__name__} without {', '.join(lacking)}; derive its "
            "class from histoscope.data.Dataset, which provides all but info, records and __getitem__"
        )
    return dataset


__all__ = [
    "DATASETS",
    "EXPORTS",
    "AuditReport",
    "ClassMatch",
    "Dataset",
    "Datasheet",
    "Groups",
    "InMemory",
    "Problem",
    "Split",
    "audit",
    "compact",
    "group_subset",
    "in_memory",
    "joined",
    "mapped",
    "match_classes",
    "open",
    "propose_groups",
    "readable",
    "renamed",
    "renumbered",
    "resample",
    "split_by",
    "split_published",
    "subset",
    "tile_order",
    "tile_subset",
    "unseen_classes",
    "with_parts",
    "write_folder",
    "write_groups",
    "write_parts",
]


__getattr__, __dir__ = attach(__name__, {})
