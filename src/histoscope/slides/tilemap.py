"""A large image classified tile by tile, of which no more than a batch of tiles is held at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscope.errors import ShapeError
from histoscope.images.resolution import check_mpp
from histoscope.slides.patch_classifier import PatchClassifier
from histoscope.slides.tissue import tissue_share
from histoscope.types import Image, Sample

LEAST_TISSUE = 0.1
"""Share of a tile that must be tissue; emptier ones are not looked at."""

Region: TypeAlias = Callable[[int, int, int, int], Image]
"""Pixels of a region, from its left, top, right and bottom edge."""
OnTiles: TypeAlias = Callable[[int, int], None]
"""Told how many tiles are done, of how many with tissue."""


@dataclass(frozen=True, slots=True, eq=False)
class TileMap:
    """The tiles of an image that hold tissue, with their classes; made by `classify_tiles`.

    Parameters
    ----------
    box_px : (N, 4) int64
        Left, top, right and bottom edge of each, in pixels of the image.
    probability : (N, C) float32
        Rows sum to 1.
    tissue : (N,) float32
        Share of each tile that is tissue.
    n_empty : int
        Tiles with too little tissue, which were not looked at.
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
        """One row a tile: edges in pixels, share of tissue, class, and probability of each class."""
        columns = dict(zip(("left_px", "top_px", "right_px", "bottom_px"), self.box_px.T, strict=True))
        names = [classes[k] for k in self.predicted]
        found = {f"p_{name}": self.probability[:, k] for k, name in enumerate(classes)}
        return pd.DataFrame({**columns, "tissue": self.tissue, "predicted": names, **found})


def classify_tiles(
    region: Region | Image,
    classifier: PatchClassifier,
    mpp: float,
    *,
    shape: tuple[int, int] | None = None,
    least_tissue: float = LEAST_TISSUE,
    on_tiles: OnTiles | None = None,
) -> TileMap:
    """Classify an image tile by tile; each tile shows what a patch showed when the classifier was trained.

    Tiles stand side by side from the top left corner. What is left at the right and at the bottom is a tile
    of its own if it is at least half as wide; the classifier sees it with mirrored borders.

    Parameters
    ----------
    region : (H, W, 3) uint8, or callable
        The image; or, for one too large to hold, what reads a region of it.
    classifier : PatchClassifier
    mpp : float
        Micrometres per pixel of the image.
    shape : (int, int), optional
        Its height and width, where `region` is a callable.
    least_tissue : float in [0, 1]
        Share of a tile that must be tissue.
    on_tiles : callable, optional
        Told how many tiles are done, of how many.
    """
    if not callable(region):
        image, shape = region, (region.shape[0], region.shape[1])

        def region(left: int, top: int, right: int, bottom: int) -> Image:
            return image[top:bottom, left:right]

    check_mpp(mpp, "mpp")
    if shape is None or min(shape) < 1:
        raise ShapeError(f"shape is {shape}, expected sizes above 0")
    box_px = boxes(shape, classifier.side_um / mpp)
    tissue = np.array([tissue_share(region(*box), mpp) for box in box_px.tolist()], np.float32)
    kept = np.flatnonzero(tissue >= least_tissue)
    probability = np.empty((len(kept), len(classifier.classes)), np.float32)
    tiles = _Tiles(region, box_px[kept].tolist(), mpp, classifier.normalised)
    for seen in classifier.through(tiles):
        probability[seen.indices] = seen.values
        if on_tiles is not None:
            on_tiles(seen.indices[-1] + 1, len(kept))
    return TileMap(box_px[kept], probability, tissue[kept], len(box_px) - len(kept), shape, mpp)


@dataclass(frozen=True, slots=True, eq=False)
class _Tiles(Sequence[Sample]):
    """Tiles that are read when they are asked for."""

    region: Region
    box_px: list[list[int]]
    mpp: float
    normalised: Callable[[Image], Image]

    def __len__(self) -> int:
        return len(self.box_px)

    def __getitem__(self, index: Any) -> Any:
        return Sample(self.normalised(self.region(*self.box_px[index])), self.mpp)


def boxes(shape: tuple[int, int], side_px: float) -> NDArray[np.int64]:
    """Left, top, right and bottom edge of each tile (N, 4), row by row, without gap or overlap.

    Examples
    --------
    >>> boxes((10, 25), 10.0).tolist()
    [[0, 0, 10, 10], [10, 0, 20, 10], [20, 0, 25, 10]]
    """
    rows, columns = _edges(shape[0], side_px), _edges(shape[1], side_px)
    found = [(left, top, right, bottom) for top, bottom in rows for left, right in columns]
    return np.array(found, np.int64)


def _edges(length: int, side_px: float) -> list[tuple[int, int]]:
    """First and last edge of the tiles along one axis."""
    count = max(int(length / side_px + 0.5), 1)
    edges = [min(round(k * side_px), length) for k in range(count + 1)]
    return [(first, last) for first, last in pairwise(edges) if last > first]
