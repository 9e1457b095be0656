"""Sorted marks in a hidden file beside the results, mapped into memory when it is opened again."""

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from histoscope.files import whole
from histoscope.viewer.marks import Marks

if TYPE_CHECKING:
    import pyarrow as pa

_FORMAT = "histoscope marks 2"
_FIELDS = ("key", "class_id", "band", "row")


def path_of(results: Path) -> Path:
    """Where the marks of a file of results are kept."""
    return results.with_name(f".{results.name}.marks")


def keep(path: Path, marks: Marks, stamp: str) -> None:
    """Write marks whole or not at all; a folder that may not be written to is not an error.

    Parameters
    ----------
    path : Path
    marks : Marks
    stamp : str
        Of the results that they were made of.
    """
    import pyarrow as pa

    points = pa.LargeListArray.from_arrays(marks.point_starts, _flat(marks.points))
    columns: dict[str, Any] = {name: getattr(marks, name) for name in _FIELDS}
    columns |= {"x": marks.centre[:, 0], "y": marks.centre[:, 1]}
    columns["rings"] = pa.LargeListArray.from_arrays(marks.ring_starts, points)
    about = json.dumps({"format": _FORMAT, "stamp": stamp, "about": marks.about})
    table = pa.table(columns).replace_schema_metadata({"marks": about})
    with (
        suppress(OSError),
        whole(path) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=max(len(marks), 1))


def kept(path: Path, stamp: str) -> Marks | None:
    """The marks of a file, if they were made of results with this stamp, by this version."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        table.validate()
        said = json.loads((table.schema.metadata or {}).get(b"marks", b"{}"))
    except (OSError, pa.ArrowException, ValueError):
        return None
    if (said.get("format"), said.get("stamp")) != (_FORMAT, stamp):
        return None
    rings = _whole(table, "rings")
    fields = {name: _whole(table, name).to_numpy(zero_copy_only=False) for name in _FIELDS}
    centre = np.stack([_whole(table, name).to_numpy(zero_copy_only=False) for name in "xy"], axis=1)
    return Marks(
        **fields,
        centre=centre,
        ring_starts=rings.offsets.to_numpy(),
        point_starts=rings.values.offsets.to_numpy(),
        points=rings.values.values.to_numpy(zero_copy_only=False).view(np.int16).reshape(-1, 2),
        about=said["about"],
    )


def _flat(points: np.ndarray[Any, Any]) -> "pa.Array":
    """Both coordinates of a point as one number, so that a place in the list is one point."""
    import pyarrow as pa

    return pa.array(np.ascontiguousarray(points).view(np.int32).ravel())


def _whole(table: "pa.Table", name: str) -> Any:
    column = table[name].combine_chunks()
    return column.chunk(0) if hasattr(column, "chunk") and column.num_chunks else column
