"""Classifying the tissue of a slide, tile by tile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope.export.tiles import Tiles
from histoscope.export.tissue import tissue_share
from histoscope.predict.slides.classifying import Classifying
from histoscope.predict.slides.crops import Crops, box_around, probabilities, touched_by
from histoscope.predict.slides.files import TILES
from histoscope.predict.slides.tile_files import write_tiles
from histoscope.predict.slides.work import Found, Problem, Scene, problems_of
from histoscope.predict.tilemap import LEAST_TISSUE, edges
from histoscope.slides import Slide
from histoscope.slides.salvage import read_salvaged
from histoscope.slides.tissue import CELL_UM, TissueMap

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False, slots=True)
class TilePart:
    """Some tiles of a slide.

    Parameters
    ----------
    name : str
        Row and column, such as ``0003_0011``.
    box_px : (N, 4) int64
        Left, top, right and bottom edge of those that touch tissue, in pixels of the network.
    """

    name: str
    box_px: NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class TilePixels:
    """Tiles of a part that have tissue and could be read.

    Parameters
    ----------
    part : TilePart
    box_px : (N, 4) int64
    tissue : (N,) float32
        Share of each that is tissue.
    crops : Crops
        Their pixels, stain-normalised.
    problems : list of Problem
    """

    part: TilePart
    box_px: NDArray[np.int64]
    tissue: NDArray[np.float32]
    crops: Crops
    problems: list[Problem]


@dataclass(frozen=True, eq=False)
class ClassifyTiles(Classifying):
    """Classes of the tiles of a slide; see `histoscope.predict.slides.work.Work`.

    Tiles have the size of training patches and lie side by side from the upper left corner, as in
    `histoscope.predict.classify_tiles`: at the network's resolution, both give the same.

    Parameters
    ----------
    classifier : PatchClassifier
    least_tissue : float in [0, 1]
        Share of a tile that must be tissue, or lie in the region of interest.
    """

    least_tissue: float = LEAST_TISSUE
    table = TILES
    unit = "tiles"
    outputs = ("geojson", "csv")
    source = None

    @property
    def settings(self) -> dict[str, Any]:
        """Model, augmentation, and the minimum tissue of a tile."""
        return {**super().settings, "least_tissue": self.least_tissue}

    def plan(self, slide: Slide) -> dict[str, Any]:
        """The same for every slide."""
        return self.settings

    def parts(self, slide: Slide, tissue: TissueMap, part_px: int) -> list[TilePart]:
        """Parts of whole tiles, row by row; those without tissue are left out."""
        rows, columns, touched = tile_grid(slide, tissue, self.mpp, self.classifier.network.spec.patch_px)
        step = max(part_px // self.classifier.network.spec.patch_px, 1)
        parts = []
        for row in range(0, len(rows), step):
            for column in range(0, len(columns), step):
                near = touched[row : row + step, column : column + step]
                places = np.argwhere(near) + np.array([row, column])
                if len(places):
                    spans = columns[places[:, 1]], rows[places[:, 0]]
                    name = f"{row // step:04d}_{column // step:04d}"
                    parts.append(TilePart(name, np.stack(spans, axis=2).reshape(-1, 4)))
        return parts

    def read(self, scene: Scene, part: TilePart) -> TilePixels:
        """Pixels of the tiles of a part with enough tissue; incompletely readable ones are left out."""
        around = box_around(part.box_px)
        original, broken = read_salvaged(scene.slide, around, self.mpp)
        problems = problems_of(part.name, broken)
        share = self._tissue(scene.tissue, part.box_px, Crops(original, around, part.box_px, self.mpp))
        kept = (share >= self.least_tissue) & ~touched_by(
            part.box_px, [one.box for one in broken if one.is_lost]
        )
        crops = Crops(scene.recolor(original), around, part.box_px[kept], self.mpp)
        return TilePixels(part, part.box_px[kept], share[kept], crops, problems)

    def see(self, scene: Scene, pixels: TilePixels) -> NDArray[np.float32]:
        """(N, C) probabilities."""
        return probabilities(self.classifier, pixels.crops)

    def finish(
        self, scene: Scene, pixels: TilePixels, seen: NDArray[np.float32]
    ) -> tuple["pa.Table", list[Problem]]:
        """Rows of the tiles of a part."""
        slide = scene.slide
        tiles = Tiles(pixels.box_px, seen, pixels.tissue, slide.scale_at(self.mpp), self.mpp)
        rows = tiles.to_arrow(self.classifier.classes, part=pixels.part.name, slide=slide.quick_hash)
        return rows, pixels.problems

    def none(self, slide: Slide) -> "pa.Table":
        """An empty table of tiles."""
        classes = self.classifier.classes
        return Tiles.none(len(classes)).to_arrow(classes, part="", slide="")

    def about(self, slide: Slide) -> dict[str, Any]:
        """Model, its classes, and the side of its tiles."""
        network = self.classifier.network
        about = {"classes": list(network.spec.classes), "model": self.classifier.fingerprint}
        return about | {"tile_um": self.classifier.side_um, "network_mpp": self.mpp}

    def write(
        self, slide: Slide, found: Found, kinds: Sequence[str], offset_px: tuple[float, float]
    ) -> dict[str, Any]:
        """Write tiles for QuPath and others, a map of the classes, and one of each class."""
        spec = self.classifier.network.spec
        return write_tiles(slide, found, spec.classes, spec.patch_px, kinds, offset_px)

    def _tissue(self, tissue: TissueMap, box_px: NDArray[np.int64], crops: Crops) -> NDArray[np.float32]:
        """(N,) share of each tile that is tissue, or lies in the region of interest."""
        if tissue.region is None:
            return np.array([tissue_share(sample.image, self.mpp) for sample in crops], np.float32)
        import shapely

        boxes = shapely.box(*(box_px.T * self.mpp))
        share = shapely.area(shapely.intersection(tissue.region, boxes)) / shapely.area(boxes)
        return np.asarray(share, np.float32)


def tile_grid(
    slide: Slide, tissue: TissueMap, mpp: float, side_px: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """First and last edge of each row (R, 2) and column (C, 2) of tiles, and which (R, C) touch tissue."""
    width, height = slide.size_at(mpp)
    rows, columns = np.array(edges(height, side_px)), np.array(edges(width, side_px))
    sums = cv2.integral(tissue.mask.astype(np.uint8))
    per_cell = CELL_UM / mpp

    def cells(spans: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        first = (spans[:, 0] / per_cell).astype(np.int64)
        last = ((spans[:, 1] - 1) / per_cell).astype(np.int64) + 1
        return np.minimum(first, most), np.minimum(last, most)

    (top, bottom), (left, right) = cells(rows, tissue.mask.shape[0]), cells(columns, tissue.mask.shape[1])
    inside = sums[np.ix_(bottom, right)] - sums[np.ix_(top, right)]
    inside = inside - sums[np.ix_(bottom, left)] + sums[np.ix_(top, left)]
    return rows, columns, inside > 0
