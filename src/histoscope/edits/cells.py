"""Nuclei of a slide or image as one table, from any file that a prediction wrote."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from histoscope.class_names import UNSURE
from histoscope.errors import CorruptDataError, DatasetNotFoundError, FormatVersionError
from histoscope.export.cells import located
from histoscope.export.cells_measure import ABOUT
from histoscope.export.features import NO_CLASS

if TYPE_CHECKING:
    import pyarrow as pa

_LIGHT = ("id", "class", "class_id", "probability", "x_px", "y_px")
_NEEDED = (*_LIGHT, "geometry")


@dataclass(frozen=True, eq=False)
class Found:
    """Nuclei that a model found.

    Parameters
    ----------
    table : pyarrow.Table
        ``id``, ``class``, ``class_id``, ``probability``, ``x_px``, ``y_px``, ``geometry`` (WKB in pixels of
        level 0; absent if not asked for), ``p_CLASS`` if there are classes, and any other columns of the
        file; rows as in the file.
    classes : tuple of str
        Names of class 1, 2, ...
    of : str
        Digest of the slide; empty if the file does not give it.
    model : str
        The model according to the file; empty if not given.
    """

    table: "pa.Table"
    classes: tuple[str, ...] = ()
    of: str = ""
    model: str = ""

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def digest(self) -> str:
        """Digest of the nuclei and their positions."""
        seen = hashlib.blake2b("\n".join(self.table["id"].to_pylist()).encode(), digest_size=8)
        for name in ("x_px", "y_px"):
            seen.update(np.rint(self.table[name].to_numpy() * 10).astype("<f8").tobytes())
        return seen.hexdigest()


def read_cells(path: str | Path, *, outlines: bool = True) -> Found:
    """Read the nuclei of a slide or image.

    Parameters
    ----------
    path : str or Path
        ``cells.parquet``, ``NAME.geojson`` or ``NAME_labels.png`` (or ``.tif``) of `histoscope predict`.
    outlines : bool
        Whether to read outlines and measurements, too: they make up most of a table.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If it cannot be read.
    FormatVersionError
        If it lacks what this version needs.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(f"no results at {path}; run `histoscope predict` to write them")
    if path.suffix.lower() == ".parquet":
        return _of_table(path, outlines=outlines)
    return _of_geojson(path) if path.suffix.lower() == ".geojson" else _of_labels(path)


def read_rows(path: str | Path, rows: Sequence[int]) -> Found:
    """Read some nuclei, with all that is known about them.

    Parameters
    ----------
    path : str or Path
        As for `read_cells`.
    rows : sequence of int
        Ascending; missing rows are left out.

    Raises
    ------
    CorruptDataError, FormatVersionError        As for `read_cells`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    wanted = np.asarray(rows, np.int64)
    if path.suffix.lower() != ".parquet":
        found = read_cells(path)
        return replace(found, table=found.table.take(pa.array(wanted[wanted < len(found)])))
    said = read_about(path)
    with pq.ParquetFile(path) as file:
        first, parts = 0, [file.schema_arrow.empty_table()]
        for group in range(file.num_row_groups):
            after = first + file.metadata.row_group(group).num_rows
            here = wanted[(wanted >= first) & (wanted < after)] - first
            if len(here):
                parts.append(file.read_row_group(group).take(pa.array(here)))
            first = after
    return _found(pa.concat_tables(parts).unify_dictionaries(), said)


def read_about(path: Path) -> dict[str, Any]:
    """Metadata of a table of cells: slide, digest, classes, model.

    Raises
    ------
    CorruptDataError, FormatVersionError        As for `read_cells`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        said: dict[str, Any] = json.loads((schema.metadata or {}).get(ABOUT, b"{}"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptDataError(
            f"{path} is not a table of nuclei ({error}); run histoscope predict --overwrite"
        ) from error
    lacks = [name for name in _NEEDED if name not in schema.names]
    if lacks or not said:
        raise FormatVersionError(
            f"{path} lacks {', '.join(lacks) or 'the slide it belongs to'}; another version or program "
            f"wrote it ({said.get('software', 'it does not say which')}): run histoscope predict "
            "--overwrite"
        )
    return said


def _of_table(path: Path, *, outlines: bool) -> Found:
    import pyarrow.parquet as pq

    said = read_about(path)
    few = [name for name in pq.read_schema(path).names if name in _LIGHT or name.startswith("p_")]
    return _found(pq.read_table(path, columns=None if outlines else few), said)


def _found(table: "pa.Table", said: dict[str, Any]) -> Found:
    """Nuclei of a table, and its metadata."""
    return Found(
        table,
        tuple(said.get("classes", ())),
        str(said.get("slide_hash", "")),
        str(said.get("model", "")),
    )


def _of_geojson(path: Path) -> Found:
    import shapely

    try:
        root = json.loads(path.read_text(encoding="utf-8"))
        features = list(root["features"] if isinstance(root, dict) else root)
        shapes = [json.dumps(each["geometry"]) for each in features]
        polygons = shapely.from_geojson(np.array(shapes, object))
        said = [each.get("properties") or {} for each in features]
        names = [str((one.get("classification") or {}).get("name") or NO_CLASS) for one in said]
        numbers = [one.get("measurements") or {} for one in said]
    except (ValueError, KeyError, TypeError, AttributeError, shapely.errors.ShapelyError) as error:
        raise CorruptDataError(
            f"{path} is not GeoJSON with polygons ({error!r}); run histoscope predict --overwrite"
        ) from error
    ids = [str(each.get("id", k)) for k, each in enumerate(features, 1)]
    probability = [float(one.get("probability", 1.0)) for one in numbers]
    shares = sorted({key for one in numbers for key in one if key.startswith("p_")})
    more = {key: [float(one.get(key, np.nan)) for one in numbers] for key in shares}
    classes = tuple(dict.fromkeys([*(key[2:] for key in shares), *(n for n in names if n != NO_CLASS)]))
    return Found(table_of(ids, names, classes, probability, polygons, more), classes)


def _of_labels(path: Path) -> Found:
    """Nuclei of a label map, which has ids and no classes."""
    from histoscope.export.cells import polygons_of
    from histoscope.files import read_labels
    from histoscope.nuclei import Nuclei

    polygons = polygons_of(Nuclei.from_labels(read_labels(path), mpp=1.0))
    n = len(polygons)
    return Found(table_of([str(k) for k in range(1, n + 1)], [NO_CLASS] * n, (), [1.0] * n, polygons, {}))


def table_of(
    ids: list[str],
    names: list[str],
    classes: tuple[str, ...],
    probability: list[float],
    polygons: Any,
    more: dict[str, list[float]],
) -> "pa.Table":
    """Table of nuclei, with centres from their polygons; a nucleus without a pixel has none (NaN)."""
    import pyarrow as pa
    import shapely

    centre = np.array([[p.x, p.y] if not p.is_empty else [np.nan] * 2 for p in shapely.centroid(polygons)])
    place = numbers_of(classes)
    columns: dict[str, Any] = {
        "id": pa.array(ids, pa.string()),
        "class": pa.array(names, pa.string()).dictionary_encode(),
        "class_id": np.array([place.get(name, 0) for name in names], np.uint8),
        "probability": np.array(probability, np.float32),
        "x_px": centre.reshape(-1, 2)[:, 0],
        "y_px": centre.reshape(-1, 2)[:, 1],
        **{name: np.array(values, np.float32) for name, values in more.items()},
    }
    return located(columns, polygons)


def numbers_of(classes: Sequence[str]) -> dict[str, int]:
    """Number of each class, from 1; `unsure` has none, and is 0 in all tables.

    Examples
    --------
    >>> numbers_of(["stroma", "tumour", "unsure"])
    {'stroma': 1, 'tumour': 2}
    """
    return {name: k for k, name in enumerate(classes, 1) if name != UNSURE}
