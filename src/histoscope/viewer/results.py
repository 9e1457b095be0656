"""Files of results of one slide or image: a table of cells or tiles, GeoJSON, or a map of labels."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from histoscope.class_names import UNSURE
from histoscope.errors import ConfigError, FormatVersionError
from histoscope.viewer.marks import Marks
from histoscope.viewer.reading import reading
from histoscope.viewer.sorting import Batch, sorted_marks

_MOST_BYTES = 300_000_000
"""Of a GeoJSON that is read whole."""
_NEEDED = ("class", "class_id", "probability", "x_px", "y_px", "geometry")
_BATCH_ROWS, _BUFFER_BYTES = 100_000, 1 << 20
MOST_MPP = 1e4
_NO_FEATURES = frozenset({"geometry", "bbox", "id", "part"})


class Results(Protocol):
    """Results of one slide or image."""

    def marks(self) -> Marks:
        """All of them, sorted by place."""
        ...

    def features(self, row: int) -> dict[str, Any]:
        """What is known of one row: names with numbers or words."""
        ...


def open_results(path: Path) -> Results:
    """Open a file of results, by its name.

    Raises
    ------
    FormatVersionError
        If it lacks what this version shows.
    """
    from histoscope.viewer.labelled import LabelResults

    kinds: dict[str, Callable[[Path], Results]] = {".parquet": TableResults, ".geojson": JsonResults}
    return kinds.get(path.suffix.lower(), LabelResults)(path)


def about_of(path: Path) -> dict[str, Any]:
    """What a table of cells or tiles says of itself: slide, size, resolution, classes, number of rows.

    Raises
    ------
    CorruptDataError, FormatVersionError
    """
    import pyarrow.parquet as pq

    with reading(path):
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
        said = json.loads((schema.metadata or {}).get(b"histoscope", b"{}"))
        missing = [name for name in _needed_of(path) if name not in schema.names]
        if missing or not said:
            by = said.get("software", "another program")
            lacks = ", ".join(missing) or "which slide it belongs to"
            raise FormatVersionError(
                f"{path.name} was written by {by} and lacks {lacks}; run histoscope predict again, with "
                "--overwrite"
            )
        return {**said, **_drawn(said), "rows": rows}


def _drawn(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is drawn by: classes, pixels, and micrometres for one of them, or None."""
    size_px, mpp = said.get("size_px"), said.get("mpp")
    mpp = float(mpp[0] if isinstance(mpp, list) else mpp) if mpp else None
    size_px = [int(width_or_height) for width_or_height in size_px] if size_px else None
    if (mpp is not None and not 0 < mpp < MOST_MPP) or (size_px and (len(size_px) != 2 or min(size_px) < 1)):
        raise ValueError(f"mpp is {mpp} and size_px {size_px}, expected numbers above 0")
    return {"classes": list(map(str, said.get("classes", []))), "size_px": size_px, "mpp": mpp}


def _needed_of(path: Path) -> tuple[str, ...]:
    """Columns that are drawn; tiles have no centre of their own."""
    return _NEEDED if path.name == "cells.parquet" else ("class", "probability", "geometry")


class TableResults:
    """``cells.parquet`` or ``tiles.parquet`` of a slide."""

    def __init__(self, path: Path) -> None:
        self.path, self.about = path, about_of(path)

    def marks(self) -> Marks:
        """All rows, sorted by place."""
        kept = {name: self.about[name] for name in ("classes", "mpp", "size_px")}
        return sorted_marks(self._batches(kept["classes"]), kept)

    def _batches(self, classes: list[str]) -> Iterator[Batch]:
        import pyarrow.parquet as pq

        # Else all that is asked for is in memory at once, and it takes four times as long.
        with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
            columns = [name for name in _NEEDED if name in file.schema_arrow.names]
            for rows in file.iter_batches(_BATCH_ROWS, columns=columns):
                polygons = rows["geometry"].to_numpy(zero_copy_only=False)
                probability = rows["probability"].to_numpy(zero_copy_only=False)
                centre = None
                if "x_px" in columns:
                    centre = np.stack([rows[name].to_numpy() for name in ("x_px", "y_px")], axis=1)
                if "class_id" in columns:
                    class_id = _shown(rows["class_id"].to_numpy(), classes)
                else:
                    class_id = _ids(rows["class"].to_pylist(), classes)
                yield Batch(centre, class_id, probability, polygons)

    def features(self, row: int) -> dict[str, Any]:
        """What is known of one row."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            columns = [name for name in file.schema_arrow.names if name not in _NO_FEATURES]
            for group in range(file.num_row_groups):
                n = file.metadata.row_group(group).num_rows
                if 0 <= row < n:
                    found = file.read_row_group(group, columns=columns).slice(row, 1)
                    return _plain(found.to_pylist()[0])
                row -= n
        raise ConfigError(f"there is no such row; {self.path.name} has {self.about['rows']:,}")


class JsonResults:
    """``NAME.geojson`` of an image, as `histoscope predict` or QuPath writes it.

    Parameters
    ----------
    path : Path
    classes : sequence of str
        The first ones, in this order; others follow as the file has them.
    """

    def __init__(self, path: Path, classes: Sequence[str] = ()) -> None:
        self._classes = classes
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(
                f"{path.name} is larger than {_MOST_BYTES // 10**6} MB; results of that size are shown from "
                "cells.parquet"
            )
        root = json.loads(path.read_text(encoding="utf-8"))
        self._features = list(root["features"] if isinstance(root, dict) else root)
        self._places: Any = _polygons(self._features)
        self._names = [_class_of(each) for each in self._features]

    def marks(self) -> Marks:
        """All features, in the order of the file, sorted by place."""
        named = (name for name in self._names if name not in {"", "nucleus"})
        classes = list(dict.fromkeys([*self._classes, *named]))
        numbers = [each.get("properties", {}).get("measurements") or {} for each in self._features]
        probability = np.array([float(each.get("probability", 1.0)) for each in numbers])
        batch = Batch(None, _ids(self._names, classes), probability, self._places)
        return sorted_marks([batch], {"classes": classes})

    def features(self, row: int) -> dict[str, Any]:
        """Class and measurements of one feature."""
        if not 0 <= row < len(self._features):
            raise ConfigError(f"there is no such row; the file has {len(self._features):,}")
        numbers = self._features[row].get("properties", {}).get("measurements") or {}
        return _plain({"class": self._names[row] or "nucleus", **numbers})


def _polygons(features: list[dict[str, Any]]) -> Any:
    import shapely

    return shapely.from_geojson(np.array([json.dumps(each["geometry"]) for each in features], object))


def _class_of(feature: dict[str, Any]) -> str:
    return str(((feature.get("properties") or {}).get("classification") or {}).get("name", ""))


def _ids(names: list[str], classes: list[str]) -> Any:
    """Class of each name, from 1; 0 for others."""
    places = {name: k for k, name in enumerate(classes, 1)}
    return np.array([places.get(name, 0) for name in names], np.uint8)


def _shown(class_id: Any, classes: list[str]) -> Any:
    """Classes as the legend has them: `unsure` is 0 in a table, and in the legend what it is called."""
    return np.where(class_id, class_id, _ids([UNSURE], classes)[0]) if UNSURE in classes else class_id


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Words and numbers that JSON has, without those that are missing."""
    return {key: value for key, value in row.items() if not (pd.isna(value) or value in (np.inf, -np.inf))}
