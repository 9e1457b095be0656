"""Classified tiles of a slide as a table with squares: GeoParquet, as for cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from histoscope.export.cells import ids_of, located
from histoscope.export.tilemap import TileMap

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False, slots=True)
class Tiles:
    """Tiles in the pixels of a network, and their classes.

    Parameters
    ----------
    box_px : (N, 4) int64
        Left, top, right and bottom edge of each.
    probability : (N, C) float32
    tissue : (N,) float32
        Share of each that is tissue.
    scale : (float, float)
        Pixels of level 0 per pixel of the network, across and down.
    mpp : float
        Of the network.
    """

    box_px: NDArray[np.int64]
    probability: NDArray[np.float32]
    tissue: NDArray[np.float32]
    scale: tuple[float, float]
    mpp: float

    @classmethod
    def none(cls, n_classes: int) -> "Tiles":
        """An empty table, for a slide without tissue."""
        numbers = np.empty((0, n_classes), np.float32), np.empty(0, np.float32)
        return cls(np.empty((0, 4), np.int64), *numbers, (1.0, 1.0), 1.0)

    def to_arrow(self, classes: Sequence[str], *, part: str, slide: str) -> "pa.Table":
        """Rows of the table.

        Parameters
        ----------
        classes : sequence of str
            Names of class 0, 1, ... of the classifier; ``class_id`` in the table counts from 1, as for cells.
        part : str
            Name of the part of the slide that the tiles belong to.
        slide : str
            Digest of the slide; ids of tiles are derived from it, and from their position and size.

        Examples
        --------
        >>> seen = np.array([[0.25, 0.75]], np.float32), np.ones(1, np.float32)
        >>> tiles = Tiles(np.array([[0, 0, 100, 100]]), *seen, (2.0, 2.0), 0.5)
        >>> row = tiles.to_arrow(["stroma", "tumour"], part="0000_0000", slide="a slide").to_pylist()[0]
        >>> row["class"], row["probability"], row["x_px"], row["tissue_mm2"], row["bbox"]["xmax"]
        ('tumour', 0.75, 100.0, 0.0025, 200.0)
        """
        import pyarrow as pa
        import shapely

        edges = self.box_px * np.tile(self.scale, 2)
        centre = (edges[:, :2] + edges[:, 2:]) / 2
        best = self.probability.argmax(axis=1)
        names = np.array(classes, object)[best]
        sides = self.box_px[:, 2:] - self.box_px[:, :2]
        key = f"{slide} tiles of {sides.max(initial=0)} px of {self.mpp:g} um"
        columns: dict[str, Any] = {
            "id": pa.array(ids_of(centre, key), pa.string()),
            "class": pa.array(names.tolist(), pa.string()).dictionary_encode(),
            "class_id": (best + 1).astype(np.uint16),
            "probability": self.probability.max(axis=1, initial=0.0),
            "x_px": centre[:, 0],
            "y_px": centre[:, 1],
        }
        columns |= {f"p_{name}": self.probability[:, k] for k, name in enumerate(classes)}
        columns["tissue"] = self.tissue
        columns["tissue_mm2"] = self.tissue * sides.prod(axis=1) * (self.mpp**2 / 1e6)
        columns["part"] = pa.array([part] * len(self.box_px), pa.string()).dictionary_encode()
        return located(columns, shapely.box(*edges.T))


def tile_map(
    table: "pa.Table",
    classes: Sequence[str],
    scale: tuple[float, float],
    size: tuple[int, int],
    *,
    mpp: float,
    n_empty: int,
) -> TileMap:
    """Tiles of a table as a map in the network's pixels, for drawing.

    Parameters
    ----------
    table : pyarrow.Table
        From `Tiles.to_arrow`.
    classes : sequence of str
    scale : (float, float)
        Pixels of level 0 per pixel of the network.
    size : (int, int)
        Width and height of the slide, in the network's pixels.
    mpp : float
        Of the network.
    n_empty : int
        Number of tiles that were left out.
    """
    box = table["bbox"].combine_chunks().flatten()
    edges = np.stack([side.to_numpy() for side in box], axis=1) / np.tile(scale, 2)
    probability = [table[f"p_{name}"].to_numpy() for name in classes]
    return TileMap(
        np.rint(edges).astype(np.int64),
        np.stack(probability, axis=1),
        table["tissue"].to_numpy(),
        n_empty,
        (size[1], size[0]),
        mpp,
    )
