"""Cells of a slide as GeoJSON for QuPath, in files that fit in its memory."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
from numpy.typing import NDArray

from histoscope.export.cells import FEATURES
from histoscope.export.overlay import colours_by_name
from histoscope.export.packing import Packed, gzip_file, packed
from histoscope.files import whole
from histoscope.threads import in_order, workers

if TYPE_CHECKING:
    import pyarrow as pa

MOST_CELLS = 200_000
"""Cells per file: QuPath reads a file as a whole."""
_NUMBERS = ("probability", *FEATURES, "tissue")
_DIGITS, _DECIMALS = 5, 2
"""Digits of measurements, and of positions in pixels."""


def write_cells_geojson(
    folder: Path,
    batches: Iterable["pa.Table"],
    classes: Sequence[str],
    *,
    offset_px: tuple[float, float] = (0.0, 0.0),
    most_cells: int = MOST_CELLS,
    stem: str = "cells",
    kind: str = "detection",
) -> list[Path]:
    """Write cells as detections: ``cells.0001.geojson.gz`` and so on, each atomically.

    Parameters
    ----------
    folder : Path
    batches : iterable of pyarrow.Table
        From `histoscope.export.cells.Cells.to_arrow`.
    classes : sequence of str
        Names of class 1, 2, ..., and `unsure`.
    offset_px : (float, float)
        x, y of the viewer's origin, in pixels of level 0; subtracted from all positions.
    most_cells : int
        Maximum number of cells per file.
    stem, kind : str
        Prefix of the names, and QuPath's type of a row: ``tiles`` and ``tile`` for tiles.

    Returns
    -------
    list of Path
        At least one file; old ones beyond the last are removed.
    """
    about = {"offset_px": list(offset_px), "unit": "pixels of level 0, from the offset"}
    head = json.dumps({"type": "FeatureCollection", "metadata": about})[:-1] + ', "features": ['

    def text(piece: tuple[int, bool, "pa.Table"]) -> tuple[int, Packed]:
        number, is_first, cells = piece
        lines = features_of(cells, classes, offset_px=offset_px, kind=kind)
        return number, packed(("\n" if is_first else ",\n") + ",\n".join(lines.to_pylist()))

    written: list[Path] = []
    with closing(in_order(text, _pieces(batches, most_cells), workers=workers(), name="geojson")) as texts:
        following = next(texts, None)
        while following is not None or not written:
            path = folder / f"{stem}.{len(written) + 1:04d}.geojson.gz"
            with whole(path) as temporary, gzip_file(temporary) as write:
                write(packed(head))
                while following is not None and following[0] == len(written):
                    write(following[1])
                    following = next(texts, None)
                write(packed("\n]}\n"))
            written.append(path)
    for path in folder.glob(f"{stem}.[0-9][0-9][0-9][0-9].geojson.gz"):
        if path not in written:
            path.unlink()
    return written


def _pieces(batches: Iterable["pa.Table"], most_cells: int) -> Iterator[tuple[int, bool, "pa.Table"]]:
    """Batches, split where a file is full; each with the number of its file, and whether it is the first."""
    done = 0
    for batch in batches:
        at = 0
        while at < len(batch):
            number, before = divmod(done, most_cells)
            piece = batch.slice(at, most_cells - before)
            yield number, before == 0, piece
            at, done = at + len(piece), done + len(piece)


def features_of(
    cells: "pa.Table",
    classes: Sequence[str],
    *,
    offset_px: tuple[float, float] = (0.0, 0.0),
    kind: str = "detection",
) -> "pa.StringArray":
    """Each cell as a line of GeoJSON, a QuPath object with class, colour and measurements.

    Texts are assembled column by column by Arrow, in a fraction of the time that Python takes, and in
    parallel with other threads.
    """
    known = [name for name in _NUMBERS if name in cells.column_names]
    names = [*known, *(name for name in cells.column_names if name.startswith("p_"))]
    measures: list[Any] = []
    for name in names:
        measures += [f"{', ' if measures else ''}{json.dumps(name)}: ", _numbers(cells[name].to_numpy())]
    return _put(
        '{"type": "Feature", "id": "',
        cells["id"].combine_chunks(),
        '", "geometry": ',
        _geometries(cells, offset_px),
        f', "properties": {{"objectType": "{kind}", "classification": ',
        _classifications(cells, classes),
        ', "measurements": {',
        *measures,
        "}}}",
    )


def _geometries(cells: "pa.Table", offset_px: tuple[float, float]) -> "pa.StringArray":
    """Polygons, and multipolygons for cells in several pieces."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import shapely

    wkb = cells["geometry"].to_numpy(zero_copy_only=False)
    _, points, (rings, pieces, *rest) = shapely.to_ragged_array(shapely.from_wkb(wkb))
    of_cell = rest[0] if rest else np.arange(len(wkb) + 1)
    places = np.round(points - np.asarray(offset_px), _DECIMALS)
    texts = _put(*(pa.array(places[:, axis]).cast(pa.string()) for axis in (0, 1)), between=",")

    def joined(texts: "pa.StringArray", first: NDArray[np.int64], between: str) -> "pa.StringArray":
        lists = pa.ListArray.from_arrays(pa.array(first.astype(np.int32)), texts)
        return pc.binary_join(lists, between)

    texts = _put("[[", joined(texts, rings, "],["), "]]")
    texts = _put("[", joined(texts, pieces, ","), "]")
    single = pa.array(np.diff(of_cell) == 1)
    texts = joined(texts, of_cell, ",")
    return pc.if_else(
        single,
        _put('{"type": "Polygon", "coordinates": ', texts, "}"),
        _put('{"type": "MultiPolygon", "coordinates": [', texts, "]}"),
    )


def _classifications(cells: "pa.Table", classes: Sequence[str]) -> "pa.StringArray":
    """Name and colour of each cell's class."""
    import pyarrow as pa

    palette = colours_by_name(classes)
    kinds, of_cell = kinds_of(cells)
    texts = [json.dumps({"name": name, "color": list(palette[name])}) for _, name in kinds]
    return pa.array(texts, pa.string()).take(pa.array(of_cell))


def kinds_of(cells: "pa.Table") -> tuple[list[tuple[int, str]], NDArray[np.intp]]:
    """Ids and names of the classes that occur, and the class of each cell among these."""
    kinds, first, of_cell = np.unique(cells["class_id"].to_numpy(), return_index=True, return_inverse=True)
    return list(zip(kinds.tolist(), cells["class"].take(first).to_pylist(), strict=True)), of_cell


def _numbers(values: NDArray[Any]) -> "pa.StringArray":
    """Numbers with five digits; NaN if there is none."""
    import pyarrow as pa

    exact = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = 10.0 ** np.clip(_DIGITS - 1 - np.floor(np.log10(np.abs(exact))), -_DIGITS, 15)
        rounded = np.where(exact == 0, 0.0, np.round(exact * power) / power)
    return pa.array(rounded, from_pandas=True).cast(pa.string()).fill_null("NaN")


def _put(*columns: Any, between: str = "") -> "pa.StringArray":
    """Texts and columns of texts joined row by row."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*columns, between)


def id_of(name: str, coordinates: str) -> str:
    """UUID of an annotation from its content: the same in each run, so that QuPath does not duplicate it.

    Examples
    --------
    >>> id_of("tissue", "[[0,0],[8,0],[8,8],[0,0]]")
    'f42decda-7ec4-5dba-be73-0dbb2332a601'
    """
    return str(uuid5(NAMESPACE_OID, f"{name} {coordinates}"))


def write_centres(
    path: Path,
    batches: Iterable["pa.Table"],
    classes: Sequence[str],
    *,
    offset_px: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Write the centres of all cells, one MultiPoint per class: small, for an overview in QuPath."""
    import pyarrow as pa

    palette = colours_by_name(classes)
    points: dict[tuple[int, str], list[str]] = {}
    for batch in batches:
        x, y = (
            pa.array(np.round(batch[name].to_numpy() - offset, 1)).cast(pa.string())
            for name, offset in zip(("x_px", "y_px"), offset_px, strict=True)
        )
        places = _put("[", _put(x, y, between=","), "]")
        kinds, of_cell = kinds_of(batch)
        for n, key in enumerate(kinds):
            points.setdefault(key, []).append(",".join(places.filter(pa.array(of_cell == n)).to_pylist()))
    joined = [(key, ",".join(places)) for key, places in sorted(points.items())]
    features = [
        f'{{"type": "Feature", "id": "{id_of(name, places)}", "geometry": {{"type": "MultiPoint", '
        f'"coordinates": [{places}]}}, "properties": {{"objectType": "annotation", "classification": '
        f"{json.dumps({'name': name, 'color': list(palette[name])})}}}}}"
        for (_, name), places in joined
    ]
    about = json.dumps({"offset_px": list(offset_px), "unit": "pixels of level 0, from the offset"})
    with whole(path) as temporary, gzip_file(temporary) as write:
        head = f'{{"type": "FeatureCollection", "metadata": {about}, "features": ['
        write(packed(f"{head}{', '.join(features)}]}}"))
