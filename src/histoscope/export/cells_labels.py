"""Cells of a slide as a pyramid of label maps: OME-TIFF for QuPath, napari and OMERO."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from numpy.typing import NDArray

from histoscope.files import whole
from histoscope.nuclei.outlines import Outlines
from histoscope.types import Labels

_TILE_PX = 1024
_LEAST_PX = 2048

Rows = Callable[[int, int], Labels]
"""Draws rows ``top`` to ``bottom`` of the map."""


def write_labels_pyramid(path: str | Path, size: tuple[int, int], mpp: float, rows: Rows) -> None:
    """Write a 32-bit label map, tile by tile, with halved levels as SubIFDs.

    One row of tiles is in memory at a time; levels are kept in a temporary file beside it.

    Parameters
    ----------
    path : str or Path
        ``.ome.tif``; written atomically.
    size : (int, int)
        Width and height.
    mpp : float
        Micrometres per pixel.
    rows : callable
    """
    import tifffile

    width, height = size
    halvings = 0
    while max(width, height) >> halvings > _LEAST_PX:
        halvings += 1
    options: dict[str, Any] = {"tile": (_TILE_PX, _TILE_PX), "compression": "zlib", "dtype": np.uint32}
    about = {"axes": "YX", "PhysicalSizeX": mpp, "PhysicalSizeY": mpp, "Name": "cells"}
    path = Path(path)
    about["UUID"] = str(
        uuid5(NAMESPACE_URL, f"{path.parent.name}/{path.name} {size} {mpp}")
    )  # otherwise it would be random
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder,
        whole(path) as temporary,
        tifffile.TiffWriter(temporary, ome=True, bigtiff=True) as file,
    ):
        for level in range(halvings + 1):
            half = max(height // 2, 1), max(width // 2, 1)
            kept = _waiting(Path(folder) / str(level), half) if level < halvings else None
            file.write(
                _tiles((height, width), rows, kept),
                shape=(height, width),
                photometric="minisblack",
                metadata=about if level == 0 else None,
                subifds=halvings if level == 0 else None,
                subfiletype=1 if level else 0,
                **options,
            )
            if kept is not None:
                (height, width), rows = half, _rows_of(kept)


def _waiting(path: Path, shape: tuple[int, int]) -> NDArray[np.uint32]:
    """A level in a file that is allocated on the disk at once: a memory map would crash on a full disk."""
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, 4 * shape[0] * shape[1])
    return np.memmap(path, np.uint32, "r+" if path.stat().st_size else "w+", shape=shape)


def _rows_of(level: NDArray[np.uint32]) -> Rows:
    return lambda top, bottom: np.asarray(level[top:bottom]).view(np.int32)


def _tiles(
    shape: tuple[int, int], rows: Rows, kept: NDArray[np.uint32] | None
) -> Iterator[NDArray[np.uint32]]:
    """Tiles of a level, row by row; every second pixel is kept for the next level."""
    height, width = shape
    for top in range(0, height, _TILE_PX):
        bottom = min(top + _TILE_PX, height)
        band = np.zeros((_TILE_PX, -(-width // _TILE_PX) * _TILE_PX), np.uint32)
        band[: bottom - top, :width] = rows(top, bottom).view(np.uint32)
        if kept is not None:
            half = band[: bottom - top : 2, :width:2]
            lines = kept[top // 2 : top // 2 + len(half), : kept.shape[1]]
            lines[:] = half[: lines.shape[0], : lines.shape[1]]
        for left in range(0, width, _TILE_PX):
            yield np.ascontiguousarray(band[:, left : left + _TILE_PX])


def outlines_of(polygons: NDArray[np.object_], scale: tuple[float, float]) -> Outlines:
    """Outlines on the network's pixels, recovered exactly from polygons in pixels of level 0.

    Parameters
    ----------
    polygons : (N,) object
        Shapely polygons and multipolygons of `histoscope.export.cells.polygons_of`.
    scale : (float, float)
        Pixels of level 0 per pixel of the network, across and down.

    Examples
    --------
    >>> from histoscope.export.cells import polygons_of
    >>> from histoscope.nuclei import Nuclei
    >>> labels = np.array([[1, 1, 0], [1, 1, 2]], np.int32)
    >>> polygons = polygons_of(Nuclei.from_labels(labels, mpp=0.5), scale=(2.004, 2.004))
    >>> outlines_of(polygons, (2.004, 2.004)).to_labels((2, 3)).tolist()
    [[1, 1, 0], [1, 1, 2]]
    """
    import shapely

    pieces, owner = shapely.get_parts(polygons, return_index=True)
    rings, piece = shapely.get_rings(pieces, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    is_last = np.append(np.diff(ring) > 0, True) if len(ring) else np.zeros(0, bool)
    points, ring = points[~is_last], ring[~is_last]  # the first point is repeated at the end
    sizes = np.bincount(ring, minlength=len(rings))
    is_hole = np.append(False, np.diff(piece) == 0) if len(piece) else np.zeros(0, bool)
    return Outlines(
        (np.rint(points / scale * 2) / 2).astype(np.float32),
        np.append(0, np.cumsum(sizes)).astype(np.int64),
        (owner[piece] + 1).astype(np.int32),
        piece.astype(np.int32),
        is_hole,
    )
