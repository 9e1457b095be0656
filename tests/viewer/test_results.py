"""What a file of results holds, as the page has it."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from histoscope.viewer.results import open_results


def test_nuclei_that_a_model_was_unsure_of_are_called_so(tmp_path, cells):
    """They are class 0 of the table, and the last class of the legend."""
    cells(tmp_path, n=20)
    path = tmp_path / "cells.parquet"
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"histoscope"])
    about["classes"] = [*about["classes"], "unsure"]
    before = table["class_id"].to_numpy()
    numbers = np.where(np.arange(20) < 5, 0, before).astype(np.uint8)
    table = table.set_column(table.column_names.index("class_id"), "class_id", pa.array(numbers))
    pq.write_table(table.replace_schema_metadata({b"histoscope": json.dumps(about).encode()}), path)
    marks = open_results(path).marks()
    assert marks.about["classes"] == ["epithelial", "inflammatory", "unsure"]
    shown = np.empty(20, int)
    shown[marks.row] = marks.class_id
    assert shown.tolist() == [*[3] * 5, *before[5:].tolist()]
