"""Tiles of a slide as a picture: the probability of one class, a value per tile."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ConfigError
from histoscope.viewer.results import about_of

_WORD = b"HSH1"
_MOST = 1 << 25
"""Of tiles in the rectangle around all of them."""


@dataclass(frozen=True, eq=False)
class Heat:
    """Probabilities of a class on a grid.

    Parameters
    ----------
    value : (rows, columns) uint8
        0 where there is no tile; else 1 + 254 times the probability.
    corner : (float, float)
        x, y of the grid in pixels of level 0.
    step : (float, float)
        Width and height of a tile, in the same pixels.
    """

    value: NDArray[np.uint8]
    corner: tuple[float, float]
    step: tuple[float, float]

    @classmethod
    def of(cls, path: Path, kind: int) -> "Heat":
        """Read a class of ``tiles.parquet``.

        Parameters
        ----------
        path : Path
        kind : int
            Of the class, from 1.

        Raises
        ------
        ConfigError
            If the table has no such class, or no probabilities of it.
        """
        import pyarrow.parquet as pq
        import shapely

        classes = list(map(str, about_of(path).get("classes", [])))
        if not 1 <= kind <= len(classes):
            raise ConfigError(f"class is {kind}, expected 1 to {len(classes)}")
        column = f"p_{classes[kind - 1]}"
        with pq.ParquetFile(path) as file:
            if column not in file.schema_arrow.names:
                raise ConfigError(f"{path.name} has no column {column}; run histoscope predict again")
            table = file.read(columns=[column, "geometry"])
        if not len(table):
            return cls(np.zeros((0, 0), np.uint8), (0.0, 0.0), (1.0, 1.0))
        bounds = shapely.bounds(shapely.from_wkb(table["geometry"].to_numpy()))
        return cls.on_grid(bounds, table[column].to_numpy())

    @classmethod
    def on_grid(cls, bounds: NDArray[np.floating], probability: NDArray[np.floating]) -> "Heat":
        """Put tiles on the grid that they were cut from.

        Parameters
        ----------
        bounds : (N, 4) float
            Left, top, right and bottom of each tile.
        probability : (N,) float

        Examples
        --------
        >>> heat = Heat.on_grid(np.array([[4.0, 0, 8, 4], [12, 4, 16, 8]]), np.array([0.0, 1.0]))
        >>> heat.value.tolist(), heat.corner, heat.step
        ([[1, 0, 0], [0, 0, 255]], (4.0, 0.0), (4.0, 4.0))
        """
        corner = bounds[:, :2].min(axis=0)
        step = np.median(bounds[:, 2:] - bounds[:, :2], axis=0)
        place = np.rint((bounds[:, :2] - corner) / step).astype(np.int64)
        columns, rows = place.max(axis=0) + 1
        if columns * rows > _MOST:
            raise ConfigError(f"a grid of {columns:,} x {rows:,} tiles is too large for a picture")
        value = np.zeros((rows, columns), np.uint8)
        shown = np.rint(1 + 254 * np.nan_to_num(probability).clip(0, 1))
        value[place[:, 1], place[:, 0]] = shown.astype(np.uint8)
        return cls(value, (float(corner[0]), float(corner[1])), (float(step[0]), float(step[1])))

    def packed(self) -> bytes:
        """For the page; the layout is that of ``page/js/heat.js``."""
        rows, columns = self.value.shape
        head = (
            np.array([columns, rows, 0], "<u4").tobytes()
            + np.array([*self.corner, *self.step], "<f4").tobytes()
        )
        return _WORD + head + self.value.tobytes()
