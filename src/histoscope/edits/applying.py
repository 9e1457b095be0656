"""Edits applied to the nuclei that a model found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from histoscope.data.annotations.drawing import draw_polygons
from histoscope.edits.cells import Found, numbers_of, table_of
from histoscope.edits.edit import Edit
from histoscope.edits.merging import SAME_IOU, State, iou, polygons_of
from histoscope.types import Labels

if TYPE_CHECKING:
    import pyarrow as pa

_SAME_PX = 1.0
"""Centres further apart belong to two nuclei, even if their ids agree."""
EDITED = "edited"
"""Column of a corrected table: the kind of edit that decided a nucleus, empty if there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """Corrected nuclei.

    Parameters
    ----------
    table : pyarrow.Table
        As from `read_cells`, with a column ``edited``; drawn nuclei come last, with probability 1, and
        without the model's numbers and measurements. ``probability`` and ``p_CLASS`` of the others remain the
        model's.
    classes : tuple of str
        Names of class 1, 2, ...: those of the model, then those added by edits.
    unmatched : tuple of Edit
        Edits of nuclei that are not in the table, or not in that position, and regions that were checked with
        other nuclei: they belong to other results.
    regions : tuple of Edit
        Regions in which all of these nuclei were checked.
    replaced : int
        Number of nuclei replaced by one drawn over them: they overlap by more than half.
    """

    table: "pa.Table"
    classes: tuple[str, ...]
    unmatched: tuple[Edit, ...] = ()
    regions: tuple[Edit, ...] = ()
    replaced: int = 0

    def __len__(self) -> int:
        return len(self.table)


def apply(found: Found, state: State) -> Applied:
    """Correct the nuclei of a slide.

    An edit is applied to the nucleus that has its id and lies within a pixel of its centre. Edits of another
    slide, or of another model's results, are returned, not applied; nuclei drawn on the same slide are
    applied.

    Parameters
    ----------
    found : Found
        From `read_cells`.
    state : State
        From `merged`.

    Examples
    --------
    >>> import shapely
    >>> from histoscope.edits import merged
    >>> box = np.array([shapely.box(0, 0, 2, 2)], object)
    >>> cells = Found(table_of(["n1"], ["a"], ("a", "b"), [0.9], box, {}), ("a", "b"))
    >>> edit = Edit.new("reclassify", "ada", nucleus="n1", centre_px=(1.0, 1.0), class_name="b")
    >>> apply(cells, merged([edit])).table["class"].to_pylist()
    ['b']
    """
    import pyarrow as pa

    edits = list(state.found.values())
    rows, unmatched = matched(found, edits, rows_of(found, [edit.nucleus for edit in edits]))
    drawn = [edit for edit in state.drawn.values() if same_slide(edit, found)]
    unmatched += [edit for edit in state.drawn.values() if not same_slide(edit, found)]
    regions = tuple(one for one in state.regions if same_slide(one, found) and one.results == found.digest)
    unmatched += [one for one in state.regions if one not in regions]
    names = found.table["class"].to_pylist()
    edited = np.full(len(found), "", object)
    keep = np.ones(len(found), bool)
    for row, edit in rows.items():
        edited[row], keep[row] = edit.kind, edit.kind != "delete"
        if keep[row] and edit.class_name:
            names[row] = edit.class_name
    shapes = polygons_of(drawn)
    replaced = covered(found, shapes, keep)
    keep[replaced] = False
    new = [edit.class_name for edit in (*rows.values(), *drawn) if edit.kind != "delete"]
    classes = tuple(dict.fromkeys([*found.classes, *sorted({name for name in new if name} - {_no(found)})]))
    place = numbers_of(classes)
    table = _with(found.table, "class", pa.array(names, pa.string()).dictionary_encode())
    table = _with(table, "class_id", pa.array([place.get(name, 0) for name in names], pa.uint8()))
    table = _with(table, EDITED, pa.array(edited.tolist(), pa.string())).filter(pa.array(keep))
    drawn_names = [edit.class_name or _no(found) for edit in drawn]
    more = table_of([edit.id for edit in drawn], drawn_names, classes, [1.0] * len(drawn), shapes, {})
    more = _with(more, EDITED, pa.array(["draw"] * len(drawn), pa.string()))
    joined = pa.concat_tables([table, _in_columns_of(table, more)]).unify_dictionaries()
    return Applied(joined, classes, tuple(unmatched), regions, len(replaced))


def labels_of(
    table: "pa.Table", shape: tuple[int, int], *, corner_px: tuple[float, float] = (0, 0), scale: float = 1.0
) -> tuple[Labels, NDArray[np.int64]]:
    """Label map of a window of corrected nuclei.

    Parameters
    ----------
    table : pyarrow.Table
        From `apply` or `read_cells`.
    shape : (int, int)
        Height and width of the map.
    corner_px : (float, float)
        x, y of its first pixel on level 0.
    scale : float
        Pixels of level 0 per pixel of the map.

    Returns
    -------
    labels : (H, W) int32
        0 is background; where nuclei overlap, the smaller one wins.
    rows : (n,) int64
        Row of the table for id 1, 2, ..., n.
    """
    import shapely

    corner = np.asarray(corner_px, float)
    polygons = shapely.from_wkb(table["geometry"].to_numpy())
    window = shapely.box(*corner, *(corner + np.array(shape[::-1]) * scale))
    rows = np.sort(shapely.STRtree(polygons).query(window))
    drawn = draw_polygons(shapely.transform(polygons[rows], lambda xy: (xy - corner) / scale), shape)
    seen = np.append(False, drawn.seen_px > 0)
    labels = np.where(seen, np.cumsum(seen), 0).astype(np.int32)[drawn.labels]
    return labels, np.asarray(rows[seen[1:]], np.int64)


def same_slide(edit: Edit, found: Found) -> bool:
    """Whether an edit may belong to the slide of these nuclei."""
    return not (edit.of and found.of) or edit.of == found.of


def rows_of(found: Found, ids: Sequence[str]) -> list[int | None]:
    """Row of each id; None if no nucleus has it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not ids:
        return []
    asked = pa.array(ids, pa.string())
    there = np.flatnonzero(pc.is_in(found.table["id"], value_set=asked).to_numpy())
    names = found.table["id"].take(pa.array(there)).to_pylist()
    places = dict(zip(names, there.tolist(), strict=True))
    return [places.get(name) for name in ids]


def matched(
    found: Found, edits: Iterable[Edit], rows: Sequence[int | None]
) -> tuple[dict[int, Edit], list[Edit]]:
    """Edits by the row that they refer to, and those that refer to none, given the row of each id."""
    x, y = (found.table[name].to_numpy() for name in ("x_px", "y_px"))
    of_row: dict[int, Edit] = {}
    unmatched = []
    for edit, row in zip(edits, rows, strict=True):
        centre = edit.centre_px or (np.nan, np.nan)
        is_there = row is not None and np.hypot(x[row] - centre[0], y[row] - centre[1]) <= _SAME_PX
        if row is not None and is_there and same_slide(edit, found):
            of_row[row] = edit
        else:
            unmatched.append(edit)
    return of_row, unmatched


def covered(found: Found, shapes: NDArray[np.object_], keep: NDArray[np.bool_]) -> list[int]:
    """Rows to keep that a drawn nucleus replaces."""
    import shapely

    if not len(shapes):
        return []
    polygons = shapely.from_wkb(found.table["geometry"].to_numpy())
    drawn, rows = shapely.STRtree(polygons).query(shapes, predicate="intersects")
    pairs = zip(drawn.tolist(), rows.tolist(), strict=True)
    return sorted({row for k, row in pairs if keep[row] and iou(shapes[k], polygons[row]) > SAME_IOU})


def _no(found: Found) -> str:
    from histoscope.export.features import unclassed

    return unclassed(found.classes)


def _with(table: "pa.Table", name: str, values: Any) -> "pa.Table":
    """The table with a column replaced or added."""
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    return table.append_column(name, values)


def _in_columns_of(table: "pa.Table", more: "pa.Table") -> "pa.Table":
    """Rows with the columns of a table, empty where they lack one."""
    import pyarrow as pa

    there = set(more.column_names)
    columns = [
        more[field.name].cast(field.type) if field.name in there else pa.nulls(len(more), field.type)
        for field in table.schema
    ]
    return pa.table(columns, schema=table.schema)
