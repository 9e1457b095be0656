"""Nuclei of a slide as a table with polygons: GeoParquet that DuckDB, geopandas and SpatialData read.

References
----------
.. [1] GeoParquet 1.1.0, https://geoparquet.org/releases/v1.1.0
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscope.export.features import class_names, unclassed
from histoscope.types import Nuclei

if TYPE_CHECKING:
    import pyarrow as pa

_FEATURES_UM = ("area_um2", "perimeter_um", "major_axis_um", "minor_axis_um")
FEATURES = (*_FEATURES_UM, "eccentricity", "solidity", "circularity", "haematoxylin_od")
"""Columns of measurements, from `histoscope.export.measure`."""


@dataclass(frozen=True, eq=False, slots=True)
class Cells:
    """Nuclei in the pixels of a slide's level 0.

    Parameters
    ----------
    polygons : (N,) object
        Shapely polygons; multipolygons for nuclei in several pieces.
    centre_px : (N, 2) float64
        x, y of the centre of mass.
    class_id : (N,) uint8
    names : (N,) object
        Class of each.
    probability : (N,) float32
    class_probability : (N, C) float32 or None
    features : DataFrame
        Columns `FEATURES`.
    """

    polygons: NDArray[np.object_]
    centre_px: NDArray[np.float64]
    class_id: NDArray[np.uint8]
    names: NDArray[np.object_]
    probability: NDArray[np.float32]
    class_probability: NDArray[np.float32] | None
    features: pd.DataFrame

    def __len__(self) -> int:
        return len(self.centre_px)

    @classmethod
    def of(
        cls,
        nuclei: Nuclei,
        measured: pd.DataFrame,
        classes: Sequence[str],
        *,
        corner: tuple[int, int],
        scale: tuple[float, float],
    ) -> "Cells":
        """Cells from nuclei found in a part of a slide, possibly at another resolution.

        Parameters
        ----------
        nuclei : Nuclei
        measured : DataFrame
            From `histoscope.export.measure`.
        classes : sequence of str
        corner : (int, int)
            x, y of the part's first pixel.
        scale : (float, float)
            Pixels of level 0 per pixel of the part, across and down.
        """
        centre = measured[["x_um", "y_um"]].to_numpy(float) / nuclei.mpp
        return cls(
            polygons_of(nuclei, corner, scale),
            (centre + corner) * scale,
            nuclei.class_id,
            class_names(nuclei, classes),
            nuclei.probability,
            nuclei.class_probability,
            measured[list(FEATURES)],
        )

    @classmethod
    def none(cls, classes: Sequence[str]) -> "Cells":
        """An empty table for a model with these classes, for a slide without tissue."""
        features = pd.DataFrame({name: np.empty(0) for name in FEATURES})
        probability = np.empty((0, len(classes)), np.float32) if classes else None
        empty = np.empty(0, object)
        numbers = np.empty(0, np.uint8), empty, np.empty(0, np.float32)
        return cls(empty, np.empty((0, 2)), *numbers, probability, features)

    def to_arrow(self, classes: Sequence[str], *, part: str, slide: str) -> "pa.Table":
        """Rows of the table.

        Parameters
        ----------
        classes : sequence of str
            Names of class 1, 2, ...
        part : str
            Name of the part of the slide that the cells belong to.
        slide : str
            Digest of the slide; ids of cells are derived from it and from their position.
        """
        import pyarrow as pa

        columns: dict[str, Any] = {
            "id": pa.array(ids_of(self.centre_px, slide), pa.string()),
            "class": pa.array(self.names.tolist(), pa.string()).dictionary_encode(),
            "class_id": self.class_id,
            "probability": self.probability,
            "x_px": self.centre_px[:, 0],
            "y_px": self.centre_px[:, 1],
        }
        if self.class_probability is not None:
            columns |= {f"p_{name}": self.class_probability[:, k] for k, name in enumerate(classes)}
        columns |= {name: self.features[name].to_numpy(np.float32) for name in FEATURES}
        columns["part"] = pa.array([part] * len(self), pa.string()).dictionary_encode()
        return located(columns, self.polygons)


def classified(
    cells: "pa.Table",
    classes: Sequence[str],
    probability: NDArray[np.float32],
    *,
    before: Sequence[str] = (),
) -> "pa.Table":
    """Cells with the classes of another model; columns unrelated to classes are unchanged.

    Parameters
    ----------
    cells : pyarrow.Table
        From `Cells.to_arrow`, or rows of ``cells.parquet``.
    classes : sequence of str
        Names of class 1, 2, ...
    probability : (N, C) float32
        Rows sum to 1; a row of zeros is a cell without a class.
    before : sequence of str
        Previous classes of the cells.

    Examples
    --------
    >>> before = Cells.none(["a"]).to_arrow(["a"], part="", slide="")
    >>> classified(before, ["b", "c"], np.empty((0, 2), np.float32), before=["a"]).column_names[1:8]
    ['class', 'class_id', 'probability', 'x_px', 'y_px', 'p_b', 'p_c']
    """
    import pyarrow as pa

    top = probability.max(axis=1, initial=0.0)
    class_id = np.where(top > 0, probability.argmax(axis=1) + 1, 0).astype(np.uint8)
    names = np.array([unclassed(classes), *classes], object)[class_id]
    new: dict[str, Any] = {
        "class": pa.array(names.tolist(), pa.string()).dictionary_encode(),
        "class_id": class_id,
        "probability": top,
    }
    columns: dict[str, Any] = {}
    old = {f"p_{name}" for name in before}
    for name in cells.column_names:
        if name not in old:
            columns[name] = new.get(name, cells[name])
        if name == "y_px":
            columns |= {f"p_{each}": probability[:, k] for k, each in enumerate(classes)}
    return pa.table(columns).replace_schema_metadata(cells.schema.metadata)


def located(columns: dict[str, Any], polygons: NDArray[np.object_]) -> "pa.Table":
    """Table of columns with a polygon per row, their boxes, and the GeoParquet metadata."""
    import pyarrow as pa
    import shapely

    sides = list(shapely.bounds(polygons).T)
    places = {
        "geometry": pa.array(shapely.to_wkb(polygons).tolist(), pa.binary()),
        "bbox": pa.StructArray.from_arrays(sides, names=["xmin", "ymin", "xmax", "ymax"]),
    }
    return pa.table({**columns, **places}).replace_schema_metadata({"geo": json.dumps(_GEO)})


_GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {
        "geometry": {
            "encoding": "WKB",
            "geometry_types": ["Polygon", "MultiPolygon"],
            "crs": None,
            "covering": {"bbox": {key: ["bbox", key] for key in ("xmin", "ymin", "xmax", "ymax")}},
        }
    },
}


def polygons_of(
    nuclei: Nuclei, corner: tuple[int, int] = (0, 0), scale: tuple[float, float] = (1.0, 1.0)
) -> NDArray[np.object_]:
    """Shapely polygons of all nuclei, (N,); empty for a nucleus without a pixel.

    Examples
    --------
    >>> labels = np.array([[1, 1, 0], [1, 1, 2]], np.int32)
    >>> [polygon.bounds for polygon in polygons_of(Nuclei.from_labels(labels, mpp=0.5), (10, 0), (2.0, 2.0))]
    [(20.0, 0.0, 24.0, 4.0), (24.0, 2.0, 26.0, 4.0)]
    """
    import shapely

    outlines = nuclei.outlines
    points = (outlines.points.astype(np.float64) + corner) * scale
    found = np.full(len(nuclei), shapely.Polygon(), object)
    if not len(outlines):
        return found
    of_ring = np.repeat(np.arange(len(outlines)), np.diff(outlines.starts))
    rings = shapely.linearrings(points, indices=of_ring)
    # Outer rings come before their holes, piece by piece.
    order = np.lexsort((outlines.is_hole, outlines.part))
    _, pieces = np.unique(outlines.part[order], return_inverse=True)
    polygons = shapely.polygons(rings[order], indices=pieces)
    owner = outlines.label[order][np.flatnonzero(~outlines.is_hole[order])] - 1
    whole = np.bincount(owner, minlength=len(nuclei))[owner] == 1
    found[owner[whole]] = polygons[whole]
    several = np.flatnonzero(~whole)
    several = several[np.argsort(owner[several], kind="stable")]
    if len(several):
        ids, indices = np.unique(owner[several], return_inverse=True)
        found[ids] = shapely.multipolygons(polygons[several], indices=indices)
    return found


def ids_of(centre_px: NDArray[np.float64], slide: str) -> list[str]:
    """A UUID for each cell, from its slide and position: the same in each run.

    Examples
    --------
    >>> ids_of(np.array([[10.5, 20.25]]), "a slide")
    ['2885d041-6636-8005-8c82-108704ef6663']
    """
    key = hashlib.blake2b(slide.encode(), digest_size=16).digest()
    places = np.ascontiguousarray(np.rint(centre_px * 1000).astype("<i8"))
    return [_uuid8(hashlib.blake2b(place.tobytes(), digest_size=16, key=key).digest()) for place in places]


def _uuid8(digest: bytes) -> str:
    """UUID of version 8 (RFC 9562: custom bits) from 16 bytes."""
    value = int.from_bytes(digest, "big")
    value = value & ~(0xF << 76) | (8 << 76)
    value = value & ~(0x3 << 62) | (2 << 62)
    return str(UUID(int=value))
