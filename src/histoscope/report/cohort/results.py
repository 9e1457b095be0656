"""What a folder of slides holds: its tables, and the numbers of a slide that are compared."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from histoscope.errors import CorruptDataError, DatasetNotFoundError
from histoscope.jobs.naming import COHORT, TIMINGS
from histoscope.tables import read_table


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of a slide, and of a patient: what was found, over where it was sought.

    Parameters
    ----------
    name : str
        Column of the cohort's table.
    label : str
    part, whole : str
        Columns whose sums over the slides of a patient are divided.
    """

    name: str
    label: str
    part: str
    whole: str


QUALITY = {
    "haematoxylin_od": "Haematoxylin (optical density)",
    "eosin_od": "Eosin (optical density)",
    "focus": "Focus",
    "tissue_mm2": "Tissue (mm²)",
}
"""Columns that say how a slide was stained and scanned, not what is on it."""


_NEEDED = ("image", "slide", "stage", "error", "tissue_mm2")


@dataclass(frozen=True, slots=True)
class CohortResults:
    """The tables of a folder of slides.

    Parameters
    ----------
    folder : Path
    table : DataFrame
        ``cohort.parquet``, one row per slide.
    timings : DataFrame
        ``timings.csv``; empty if it is not there.
    settings : dict
        What the rows depend on: the model and its settings.
    waiting : tuple of str
        Names of slides that were planned and have no row yet.
    """

    folder: Path
    table: pd.DataFrame
    timings: pd.DataFrame
    settings: dict[str, Any]
    waiting: tuple[str, ...] = ()
    done: pd.DataFrame = field(init=False, repr=False)
    failed: pd.DataFrame = field(init=False, repr=False)

    def __post_init__(self) -> None:
        is_failed = self.table["error"].notna()
        object.__setattr__(self, "done", self.table[~is_failed].reset_index(drop=True))
        object.__setattr__(self, "failed", self.table[is_failed].reset_index(drop=True))

    @property
    def unit(self) -> str:
        """What was counted: ``nuclei`` or ``tiles``."""
        return "nuclei" if "nuclei" in self.table else "tiles"

    @property
    def measures(self) -> list[Measure]:
        """Densities of nuclei, all and by class; of classified tiles the share of each class.

        Of a model with one class, that is all nuclei.
        """
        names = [name.removeprefix("share_") for name in map(str, self.table) if name.startswith("share_")]
        if self.unit == "tiles":
            return [Measure(f"share_{name}", f"Share of {name}", f"mm2_{name}", "seen_mm2") for name in names]
        found = [Measure("nuclei_per_mm2", "Nuclei per mm²", "nuclei", "tissue_mm2")]
        if len(names) > 1:
            found += [
                Measure(f"per_mm2_{name}", f"{name} per mm²", f"n_{name}", "tissue_mm2") for name in names
            ]
        return [one for one in found if one.name in self.table]

    @property
    def labels(self) -> dict[str, str]:
        """Label of each column that is shown: the measures, then quality."""
        shown = {name: label for name, label in QUALITY.items() if name in self.table}
        return {one.name: one.label for one in self.measures} | shown


def read_cohort(folder: str | Path, planned: Collection[str] = ()) -> CohortResults:
    """Read the tables of a folder of slides.

    Parameters
    ----------
    folder : str or Path
        OUT of ``histoscope predict``.
    planned : collection of str
        Names of all slides that are to be done.

    Raises
    ------
    DatasetNotFoundError
        If there is no ``cohort.parquet``.
    CorruptDataError
        If Histoscope did not write it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = Path(folder)
    path = folder / COHORT
    if not path.is_file():
        raise DatasetNotFoundError(
            f"no {COHORT} in {folder}; `histoscope predict MODEL SLIDES {folder}` writes it when it finishes"
        )
    try:
        read = pq.read_table(path)
        settings = json.loads((read.schema.metadata or {})[b"histoscope"])
        table = read.to_pandas()
        table = table[[*_NEEDED, *(name for name in table if name not in _NEEDED)]]
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise CorruptDataError(
            f"{path} is not a cohort table ({error}); run `histoscope predict` to write it"
        ) from error
    parts = [name for name in map(str, table) if name.startswith("mm2_")]
    if parts:
        table["seen_mm2"] = table[parts].sum(axis=1)
    timings = folder / TIMINGS
    times = read_table(timings, text=("image", "host")) if timings.is_file() else pd.DataFrame()
    waiting = tuple(sorted(set(planned) - set(table["image"])))
    return CohortResults(folder, table, times, settings, waiting)


def reason_of(error: str, slide: str) -> str:
    """Why a slide failed, without its name, so that slides that failed alike can be counted.

    Examples
    --------
    >>> reason_of("/disk/a.svs: cut off after 7 bytes; copy /disk/a.svs again", "a.svs")
    'cut off after 7 bytes; copy it again'
    """
    named = rf"\S*{re.escape(slide)}"
    return re.sub(named, "it", re.sub(rf"^{named}: ", "", error))
