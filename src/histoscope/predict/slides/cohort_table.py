"""The table of a cohort: one row per slide, typed columns, the same bytes whichever workers wrote it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from histoscope.files import whole
from histoscope.ledger import Row
from histoscope.tables import write_table

ABOUT = b"histoscope"
"""Metadata key for what the rows depend on: the model and its settings."""
_FIRST = {
    **dict.fromkeys(("image", "slide"), "string"),
    **dict.fromkeys(("width_px", "height_px"), "int64"),
    **dict.fromkeys(("mpp_x", "mpp_y"), "double"),
    **dict.fromkeys(("reader", "network"), "string"),
    **dict.fromkeys(("tissue_mm2", "blurred_mm2", "focus", "haematoxylin_od", "eosin_od"), "double"),
    "stain_notes": "string",
}
_LAST = {"problems": "int64", "stage": "string", "error": "string"}
_STAGES = ("seconds", "seconds_open", "seconds_parts", "seconds_files")


def write_cohort(path: Path, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """Write the table completely or not at all.

    Parameters
    ----------
    path : Path
        A Parquet file.
    rows : sequence of mapping
        Rows of the summary, in order, with plain values; missing values and empty texts become null.
    about : mapping
        What the rows depend on, as plain values.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = _types(rows)
    columns = {
        name: pa.array([_cell(row.get(name)) for row in rows], pa.type_for_alias(kind))
        for name, kind in types.items()
    }
    told = json.dumps(about, sort_keys=True, ensure_ascii=False).encode()
    table = pa.table(columns).replace_schema_metadata({ABOUT: told})
    with whole(path) as temporary:  # all that another default of another version would change is named
        pq.write_table(
            table,
            temporary,
            version="2.6",
            data_page_version="1.0",
            compression="zstd",
            compression_level=3,
            use_dictionary=False,
            row_group_size=1 << 20,
        )


def write_timings(path: Path, rows: Mapping[str, Row]) -> None:
    """Write how long each slide took and where; this differs between runs, so it is a separate CSV file.

    Parameters
    ----------
    path : Path
    rows : mapping of str to Row
        By name of the slide.
    """
    told = ("host", "mm2", *_STAGES)
    known = [{"image": name, **{key: rows[name].about.get(key) for key in told}} for name in sorted(rows)]
    write_table(path, pd.DataFrame(known, columns=["image", *told]))


def _types(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Types of all columns in order: those of every cohort, and those for the model's classes."""
    own = dict.fromkeys(name for row in rows for name in row if name not in _FIRST and name not in _LAST)
    return {**_FIRST, **{name: _type_of([row.get(name) for row in rows]) for name in own}, **_LAST}


def _type_of(cells: Sequence[Any]) -> str:
    there = [cell for cell in cells if cell is not None]
    if any(isinstance(cell, str) for cell in there):
        return "string"
    return "int64" if there and all(isinstance(cell, int) for cell in there) else "double"


def _cell(value: Any) -> Any:
    return None if value == "" else value
