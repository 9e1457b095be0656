"""The tables of a cohort, from rows that workers left; no network is needed."""

import json
import os

import pyarrow.parquet as pq
import pytest

from histoscope.jobs.naming import COHORT, SUMMARY, TIMINGS
from histoscope.ledger import Ledger, Row, Task, agree
from histoscope.predict.slides import summary
from histoscope.predict.slides.cohort_table import ABOUT
from histoscope.predict.slides.planning import LEDGER
from histoscope.tables import read_table

DONE = {
    "slide": "a.svs",
    "width_px": 900,
    "mpp_x": 0.5,
    "tissue_mm2": 1,
    "focus": None,
    "stain_notes": "",
    "nuclei": 7,
    "per_mm2_T cells": 7.0,
    "unlike": None,
    "problems": 0,
    "error": "",
}
ROWS = {
    "b/two": Row(DONE | {"slide": "two.svs", "nuclei": 0}, about={"seconds": 2.0, "seconds_parts": 1.5}),
    "a": Row(DONE, about={"seconds": 3.0, "host": "one"}),
    "c": Row({"slide": "c.svs", "stage": "open", "error": "no slide"}, "no slide"),
}


def done(out, names, *, seconds=0.0):
    """Write rows of slides in some order, as a worker does, and the tables."""
    agree(out / LEDGER / "plan", lambda plan: {**plan, "settings": {"model": "m", "histoscope": "1"}})
    with Ledger.open(out / LEDGER) as ledger:
        for name in names:
            claim = ledger.draw([Task(name)])
            row = ROWS[name]
            claim.finish(Row(row.row, row.error, about={**row.about, "seconds": seconds}))
    summary.write(out)


@pytest.fixture
def out(tmp_path):
    """Give a folder of results in which all is done."""
    done(tmp_path / "out", ROWS)
    return tmp_path / "out"


def test_a_row_a_slide_by_name_with_types_that_do_not_depend_on_the_rows(out, tmp_path):
    table = pq.read_table(out / COHORT)
    assert table["image"].to_pylist() == ["a", "b/two", "c"]
    assert table["error"].to_pylist() == [None, None, "no slide"]
    assert table["nuclei"].to_pylist() == [7, 0, None]
    assert table["per_mm2_T cells"].to_pylist() == [7.0, 7.0, None]
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["nuclei"], types["problems"], types["tissue_mm2"]) == ("int64", "int64", "double")
    assert table.column_names[-3:] == ["problems", "stage", "error"]
    assert json.loads(table.schema.metadata[ABOUT]) == {"histoscope": "1", "model": "m"}
    done(tmp_path / "bad", ["c"])  # nothing but failures
    few = pq.read_table(tmp_path / "bad" / COHORT)
    assert {field.name: str(field.type) for field in few.schema}.items() <= types.items()


def test_the_bytes_do_not_depend_on_order_or_time(out, tmp_path):
    done(tmp_path / "again", list(ROWS)[:1], seconds=5.0)
    done(tmp_path / "again", list(ROWS)[1:], seconds=9.0)
    for name in (COHORT, SUMMARY):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()
    times = read_table(tmp_path / "again" / TIMINGS)
    assert times["image"].tolist() == ["a", "b/two", "c"]
    assert times["seconds"].tolist() == [9.0, 5.0, 9.0]
    assert times["seconds_parts"].tolist()[1] == 1.5


def test_tables_are_written_again_only_for_new_rows(out):
    before = (out / COHORT).stat().st_ino
    summary.refresh(out)
    assert (out / COHORT).stat().st_ino == before
    with Ledger.open(out / LEDGER) as ledger:  # a worker finished a slide and was killed
        claim = ledger.draw([Task("d")])
        claim.finish(Row(DONE))
    later = (out / COHORT).stat().st_mtime_ns + 10**9
    os.utime(out / LEDGER / "rows", ns=(later, later))
    summary.refresh(out)
    assert pq.read_table(out / COHORT)["image"].to_pylist() == ["a", "b/two", "c", "d"]
