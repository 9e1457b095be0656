"""The tables of many slides: one row each, from the workers' entries in the ledger."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from histoscope.jobs.naming import COHORT, SUMMARY, TIMINGS
from histoscope.ledger import Row, Rows, Task, agreed
from histoscope.predict.slides.cohort_table import write_cohort, write_timings
from histoscope.predict.slides.planning import LEDGER
from histoscope.tables import write_table


def rows_of(out: Path, tasks: Sequence[Task] = ()) -> tuple[dict[str, Row], set[str]]:
    """The row of each slide by its name; and the names of the files that were read.

    If a slide has several rows, from calls with other settings, that of the tasks counts, otherwise a
    finished one before a failed one, otherwise the last.
    """
    rows = Rows(out / LEDGER / "rows")
    names = rows.names()
    wanted = {task.row for task in tasks}
    best: dict[str, tuple[tuple[bool, bool, int], Row]] = {}
    for name in sorted(names):
        row = rows.read(name)
        if row is None:
            continue
        rank = (name in wanted, not row.error, (rows.folder / name).stat().st_mtime_ns)
        if row.name not in best or best[row.name][0] < rank:
            best[row.name] = (rank, row)
    return {name: row for name, (_, row) in best.items()}, names


def write(out: Path, tasks: Sequence[Task] = ()) -> dict[str, Row]:
    """Write the tables, again if others finished slides meanwhile, so that the last writer has them all.

    Parameters
    ----------
    out : Path
        Gets ``summary.csv``, ``cohort.parquet`` and ``timings.csv``.
    tasks : sequence of Task
        As for `rows_of`.

    Returns
    -------
    dict
        The row of each slide by its name.
    """
    settings = agreed(out / LEDGER / "plan").get("settings", {})
    while True:
        found, names = rows_of(out, tasks)
        rows = [{"image": name, **found[name].row} for name in sorted(found)]
        if rows:
            write_rows(out / SUMMARY, rows)
            write_cohort(out / COHORT, rows, settings)
            write_timings(out / TIMINGS, found)
        if Rows(out / LEDGER / "rows").names() == names:
            return found


def refresh(out: Path) -> None:
    """Write the tables if slides were finished since, as while workers run, or when all were killed."""
    rows = out / LEDGER / "rows"
    if not rows.is_dir():
        return
    cohort = out / COHORT
    if not cohort.is_file() or cohort.stat().st_mtime_ns < rows.stat().st_mtime_ns:
        write(out)


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one row per slide; for a failed slide, the stage and the reason."""
    rows = list(rows)
    table = pd.DataFrame(rows)
    for name in table.columns:  # a row without a number must not turn the others into floats
        if all(isinstance(row.get(name, 0), int) for row in rows):
            table[name] = table[name].astype("Int64")
    last = [name for name in ("problems", "stage", "error") if name in table]
    write_table(path, table[[*(name for name in table.columns if name not in last), *last]])
