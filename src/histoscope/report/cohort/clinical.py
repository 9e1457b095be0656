"""The lab's own table beside the slides: which rows and slides belong together."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from histoscope.errors import DataError, UnknownNameError
from histoscope.report.cohort.results import CohortResults, Measure
from histoscope.tables import TEXT_COLUMNS, read_table

KEYS = ("image", "slide")
"""Columns of the lab's table that name a slide: as the folder of its results, or as its file."""
MOST_GROUPS = 6


@dataclass(frozen=True, slots=True)
class Joined:
    """Slides with the rows of the lab's table.

    Parameters
    ----------
    by : str
        Column of the patient.
    key : str
        Column that rows were found by.
    slides : DataFrame
        Finished slides that have a row, with the columns of the lab's table as ``lab.NAME``.
    n_rows : int
        Of the lab's table.
    without_row : tuple of str
        Names of slides that no row belongs to.
    without_slide : tuple of str
        Keys of rows that no slide belongs to.
    only_failed : tuple of str
        Patients whose slides all failed.
    """

    by: str
    key: str
    slides: pd.DataFrame
    n_rows: int
    without_row: tuple[str, ...]
    without_slide: tuple[str, ...]
    only_failed: tuple[str, ...]

    @property
    def without_tissue(self) -> tuple[str, ...]:
        """Patients on whose slides no tissue was found, and so no density."""
        area = self.slides["tissue_mm2"].groupby(self.slides[f"lab.{self.by}"]).sum()
        return tuple(map(str, area.index[area == 0]))

    def groups(self, column: str) -> pd.DataFrame:
        """Patients with their group: ``patient`` and ``group``; those whose group is empty are left out.

        Raises
        ------
        UnknownNameError
            If the lab's table has no such column.
        DataError
            If a patient is in two groups, or the groups are not 2 to 6.
        """
        known = [name.removeprefix("lab.") for name in map(str, self.slides) if name.startswith("lab.")]
        if column not in known:
            raise UnknownNameError("column", column, known)
        rows = pd.DataFrame({"patient": self.slides[f"lab.{self.by}"], "group": self.slides[f"lab.{column}"]})
        rows = rows[rows["group"].str.strip() != ""].drop_duplicates()
        twice = rows[rows["patient"].duplicated(keep=False)]
        if len(twice):
            one = twice["patient"].iloc[0]
            values = sorted(twice["group"][twice["patient"] == one])
            raise DataError(
                f"{self.by} {one} has {len(values)} values of {column}: {', '.join(values[:3])}; expected "
                "one per patient, since the patient is the unit"
            )
        n = rows["group"].nunique()
        if not 2 <= n <= MOST_GROUPS:
            raise DataError(
                f"{column} has {n} different values among the patients of these slides, expected 2 to "
                f"{MOST_GROUPS} groups; {'bin it into groups' if n > MOST_GROUPS else 'name another column'}"
            )
        return rows.sort_values(["group", "patient"], ignore_index=True)

    def of_patients(self, measure: Measure) -> "pd.Series[float]":
        """A measure of each patient: what all slides have, over all the tissue that they have."""
        slides = self.slides.groupby(self.slides[f"lab.{self.by}"])
        whole = slides[measure.whole].sum()
        return slides[measure.part].sum() / whole.where(whole > 0)


def join(cohort: CohortResults, path: str | Path, by: str) -> Joined:
    """Find the row of each slide.

    A table with a column ``image`` or ``slide`` has a row per slide. Any other table has a row per patient.
    The patient's name is that of a folder of the slide, or the beginning of the name of the slide or of a
    folder, up to a character that is not a letter or digit: ``TCGA-A1-A0SB`` is the patient of
    ``TCGA-A1-A0SB-01Z-00-DX1.svs``.

    Parameters
    ----------
    cohort : CohortResults
    path : str or Path
        The lab's table, CSV with a header.
    by : str
        Its column that names the patient.

    Raises
    ------
    UnknownNameError
        If it has no column `by`.
    DataError
        If a row or a slide could belong to several, or nothing belongs together.
    """
    lab, key = _lab_table(Path(path), by)
    found = _by_slide(cohort, lab, key) if key in KEYS else _by_patient(cohort, lab, key)
    rows = lab.add_prefix("lab.")
    slides = cohort.table.assign(_row=cohort.table["image"].map(found))
    mine = slides[slides["_row"].notna()]
    if not len(mine):
        raise DataError(
            f"no row of {path} belongs to a slide of {cohort.folder}: {key} is such as "
            f"{lab[key].iloc[0]!r}, slides are such as {cohort.table['image'].iloc[0]!r}; give the table a "
            "column `slide` with the file names"
        )
    joined = mine.join(rows, on="_row")
    done = joined[joined["error"].isna()]
    patients = f"lab.{by}"
    return Joined(
        by=by,
        key=key,
        slides=done.reset_index(drop=True),
        n_rows=len(lab),
        without_row=tuple(slides["image"][slides["_row"].isna()]),
        without_slide=tuple(lab[key][~lab.index.isin(mine["_row"])]),
        only_failed=tuple(sorted(set(joined[patients]) - set(done[patients]))),
    )


def _lab_table(path: Path, by: str) -> tuple[pd.DataFrame, str]:
    """The lab's table as text, and the column that its rows are found by."""
    head = read_table(path)
    lab = read_table(path, text={*map(str, head.columns), *TEXT_COLUMNS})
    if len(lab.columns) == 1 and ";" in lab.columns[0]:
        raise DataError(f"{path} has one column {lab.columns[0]!r}; separate columns with commas")
    if by not in lab.columns:
        raise UnknownNameError("column", by, lab.columns)
    lab = lab.apply(lambda column: column.str.strip())
    empty = int((lab[by] == "").sum())
    if empty:
        raise DataError(f"{by} is empty in {empty} of {len(lab)} rows of {path}; fill it in, or drop them")
    key = next((name for name in KEYS if name in lab.columns), by)
    if key == by:
        lab = lab.drop_duplicates()
    twice = lab[key][lab[key].duplicated()]
    if len(twice):
        raise DataError(f"{key} {twice.iloc[0]!r} is in several rows of {path}; expected one row for each")
    return lab.reset_index(drop=True), key


def _by_slide(cohort: CohortResults, lab: pd.DataFrame, key: str) -> dict[str, int]:
    """Number of the row of each slide, by the name of the slide or of its file, with suffix or without."""
    known: dict[str, set[str]] = {}
    for image, slide in zip(cohort.table["image"], cohort.table["slide"], strict=True):
        for name in {image, slide, PurePosixPath(str(slide)).stem}:
            known.setdefault(str(name), set()).add(str(image))
    found: dict[str, int] = {}
    for row, name in enumerate(lab[key]):
        images = sorted(known.get(name, ()))
        if len(images) > 1 and name not in images:
            raise DataError(
                f"{key} {name!r} is the name of {len(images)} slides ({', '.join(images[:3])}); give the "
                "table a column `image` with these names"
            )
        image = name if name in images else next(iter(images), "")
        if image in found:
            raise DataError(f"slide {image} has two rows, {lab[key][found[image]]!r} and {name!r}; keep one")
        if image:
            found[image] = row
    return found


def _by_patient(cohort: CohortResults, lab: pd.DataFrame, by: str) -> dict[str, int]:
    """Number of the row of each slide, by the patient that its name begins with."""
    rows: Mapping[str, int] = {name: row for row, name in enumerate(lab[by])}
    found: dict[str, int] = {}
    for image in cohort.table["image"]:
        patients = sorted({name for name in beginnings(str(image)) if name in rows})
        if len(patients) > 1:
            raise DataError(
                f"slide {image} could be of {by} {patients[0]} or {patients[1]}; give the table a column "
                "`slide` with the file names"
            )
        if patients:
            found[image] = rows[patients[0]]
    return found


def beginnings(image: str) -> Iterable[str]:
    """Beginnings of the name of a slide, and of its folders, up to a character that is not a letter or digit.

    Examples
    --------
    >>> list(beginnings("lab/P-7_a"))
    ['lab', 'P', 'P-7', 'P-7_a']
    """
    for part in PurePosixPath(image).parts:
        for sign in re.finditer(r"[^\W_](?=[\W_]|$)", part):
            yield part[: sign.end()]
