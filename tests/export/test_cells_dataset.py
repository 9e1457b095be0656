"""The cells of all slides as one table: a glob of their files is a data set that DuckDB and pyarrow read."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from histoscope.export import measure
from histoscope.export.cells import Cells
from histoscope.nuclei import Nuclei
from histoscope.predict.slides.cohort_table import write_cohort
from histoscope.predict.slides.store import Store

CLASSES = ("tumour", "stroma")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "tables.md"


@pytest.fixture
def out(tmp_path):
    """Give results of three slides: one in a folder of its own, one without cells; and a part under way."""
    rows = []
    for name, n in (("a", 3), ("lab/b", 2), ("empty", 0)):
        labels = np.zeros((20, 60), np.int32)
        for k in range(n):
            labels[5:15, 20 * k + 5 : 20 * k + 15] = k + 1
        nuclei = Nuclei.from_labels(labels, mpp=0.5, classes=(np.arange(n + 1) % 2 + 1).astype(np.uint8))
        measured = measure(nuclei, np.full((*labels.shape, 3), 150, np.uint8), CLASSES)
        none = Cells.none(CLASSES).to_arrow(CLASSES, part="", slide="")
        table = none
        if n:
            cells = Cells.of(nuclei, measured, CLASSES, corner=(0, 0), scale=(1.0, 1.0))
            cells = replace(cells, class_probability=np.full((n, 2), 0.5, np.float32))
            table = cells.to_arrow(CLASSES, part="0000_0000", slide=name)
        (tmp_path / name).mkdir(parents=True)
        store = Store(tmp_path / name)
        store.write("0000_0000", table)
        store.join(["0000_0000"], none.schema, {"slide": name})
        rows.append({"image": name, "slide": f"{name}.svs", "tissue_mm2": 2.0, "nuclei": n, "error": ""})
    (tmp_path / "under way").mkdir()
    Store(tmp_path / "under way").write("0000_0000", table)
    write_cohort(tmp_path / "cohort.parquet", sorted(rows, key=lambda row: row["image"]), {})
    return tmp_path


def test_all_files_have_one_schema(out):
    paths = sorted(out.rglob("cells.parquet"))
    assert len({pq.read_schema(path).remove_metadata().to_string() for path in paths}) == 1
    assert ds.dataset([str(path) for path in paths]).count_rows() == 5


def test_duckdb_reads_them_in_a_line_and_joins_the_table_of_slides(out):
    duckdb = pytest.importorskip("duckdb")
    cells = f"read_parquet('{out}/**/cells.parquet', filename = true)"
    by_class = duckdb.sql(f"SELECT class, count(*) FROM {cells} GROUP BY class ORDER BY class").fetchall()
    assert by_class == [("stroma", 3), ("tumour", 2)]
    joined = duckdb.sql(
        f"SELECT image, count(*) / any_value(tissue_mm2) FROM {cells} AS cell "
        f"JOIN '{out}/cohort.parquet' ON cell.filename = '{out}/' || image || '/cells.parquet' "
        "GROUP BY image ORDER BY image"
    ).fetchall()
    assert joined == [("a", 1.5), ("lab/b", 1.0)]


def test_the_queries_of_the_page_run(out):
    duckdb = pytest.importorskip("duckdb")
    blocks = re.findall(r"^```sql\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    queries = [each for block in blocks for each in block.split(";") if "'out/" in each]
    assert len(queries) == 2
    for query in queries:
        found = duckdb.sql(query.replace("'out/", f"'{out}/").replace("> 30", "> 20")).fetchall()
        assert len(found) == 2, query
