"""Tile-wise classification of a large image; only a batch of tiles is in memory at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ShapeError
from histoscope.export.tilemap import TileMap
from histoscope.export.tissue import tissue_share
from histoscope.images.resolution import check_mpp
from histoscope.predict.patch_classifier import PatchClassifier
from histoscope.types import Image, Sample

LEAST_TISSUE = 0.1
"""Share of a tile that must be tissue; emptier ones are skipped."""

Region: TypeAlias = Callable[[int, int, int, int], Image]
"""Pixels of a region, from its left, top, right and bottom edge."""
OnTiles: TypeAlias = Callable[[int, int], None]
"""Called with the number of finished tiles, and of all tiles with tissue."""


def classify_tiles(
    region: Region | Image,
    classifier: PatchClassifier,
    mpp: float,
    *,
    shape: tuple[int, int] | None = None,
    least_tissue: float = LEAST_TISSUE,
    on_tiles: OnTiles | None = None,
) -> TileMap:
    """Classify an image tile by tile; tiles have the size of training patches.

    Tiles lie side by side from the top left corner. The remainder at the right and bottom becomes a tile if
    it is at least half as wide, with reflected borders.

    Parameters
    ----------
    region : (H, W, 3) uint8, or callable
        The image; or, for one too large for memory, a function that reads a region.
    classifier : PatchClassifier
    mpp : float
        Micrometres per pixel of the image.
    shape : (int, int), optional
        Its height and width, if `region` is a callable.
    least_tissue : float in [0, 1]
        Share of a tile that must be tissue.
    on_tiles : callable, optional
        Called with the number of finished tiles, and of all tiles.
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
    """Tiles, read on access."""

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
    rows, columns = edges(shape[0], side_px), edges(shape[1], side_px)
    found = [(left, top, right, bottom) for top, bottom in rows for left, right in columns]
    return np.array(found, np.int64)


def edges(length: int, side_px: float) -> list[tuple[int, int]]:
    """First and last edge of each tile along one axis.

    Examples
    --------
    >>> edges(25, 10.0), edges(24, 10.0)
    ([(0, 10), (10, 20), (20, 25)], [(0, 10), (10, 20)])
    """
    count = max(int(length / side_px + 0.5), 1)
    steps = [min(round(k * side_px), length) for k in range(count + 1)]
    return [(first, last) for first, last in pairwise(steps) if last > first]
