"""Classified tiles of a large image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class TileMap:
    """Tiles with tissue of an image and their classes; made by `classify_tiles`.

    Parameters
    ----------
    box_px : (N, 4) int64
        Left, top, right and bottom edge of each, in pixels of the image.
    probability : (N, C) float32
        Rows sum to 1.
    tissue : (N,) float32
        Share of each tile that is tissue.
    n_empty : int
        Tiles with too little tissue, which were skipped.
    shape : (int, int)
        Height and width of the image.
    mpp : float
        Its micrometres per pixel.
    """

    box_px: NDArray[np.int64]
    probability: NDArray[np.float32]
    tissue: NDArray[np.float32]
    n_empty: int
    shape: tuple[int, int]
    mpp: float

    def __len__(self) -> int:
        return len(self.box_px)

    def __repr__(self) -> str:
        height, width = self.shape
        return (
            f"TileMap({len(self)} tiles in {self.probability.shape[1]} classes, {self.n_empty} without "
            f"tissue, {width} x {height} pixels of {self.mpp:g} um)"
        )

    @property
    def predicted(self) -> NDArray[np.intp]:
        """(N,) most probable class of each tile."""
        best: NDArray[np.intp] = self.probability.argmax(axis=1)
        return best

    @property
    def tissue_mm2(self) -> NDArray[np.float64]:
        """(N,) tissue in each tile."""
        left, top, right, bottom = self.box_px.T
        area: NDArray[np.float64] = (right - left) * (bottom - top) * self.tissue * (self.mpp**2 / 1e6)
        return area

    def table(self, classes: Sequence[str]) -> pd.DataFrame:
        """One row per tile: edges in pixels, share of tissue, class, and probability of each class."""
        columns = dict(zip(("left_px", "top_px", "right_px", "bottom_px"), self.box_px.T, strict=True))
        names = [classes[k] for k in self.predicted]
        found = {f"p_{name}": self.probability[:, k] for k, name in enumerate(classes)}
        return pd.DataFrame({**columns, "tissue": self.tissue, "predicted": names, **found})
