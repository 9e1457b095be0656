"""Pictures: the best, median and worst tile of each laboratory with what a model found there."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from laboratories import Laboratory
from PIL import Image as Pillow

from histoscope.files import whole
from histoscope.report.gallery import choose_region
from histoscope.report.outlines import contours
from histoscope.types import Image, Labels

CROP_UM, CELL_PX, GAP_PX = 72.0, 320, 8
TRUTH, PREDICTION = (0, 229, 255), (255, 225, 26)
MOST_BYTES = 150_000
RANKS = ("best", "median", "worst")


@dataclass(frozen=True, eq=False)
class Tile:
    """A labelled image with what a model found in it."""

    name: str
    image: Image
    true: Labels
    pred: Labels
    mpp: float


@dataclass(frozen=True, eq=False)
class Cell:
    """A picture, what the page says of it, and the name of its tile."""

    picture: Image
    words: str
    tile: str


def row_of(laboratory: Laboratory, table: pd.DataFrame, tiles: dict[str, Tile]) -> list[Cell]:
    """Best, median and worst tile by AJI, outlined by the model, and by the annotators if allowed."""
    ordered = table.sort_values("aji", ascending=False)
    cells = []
    for rank, place in zip(RANKS, (0, len(ordered) // 2, len(ordered) - 1), strict=True):
        row = ordered.iloc[place]
        tile = tiles[row["name"]]
        side = min(round(CROP_UM / tile.mpp), *tile.true.shape)
        window = choose_region(tile.true, [tile.pred], side)
        layers = [(tile.pred, PREDICTION, 1)]
        if laboratory.shown == "truth":
            layers.insert(0, (tile.true, TRUTH, 2))
        scores = f"{rank} AJI {row['aji']:.2f}, F1 {row['f1_50']:.2f}"
        cells.append(Cell(drawn(tile, window, layers), scores, tile.name))
    return cells


def drawn(
    tile: Tile, window: tuple[slice, slice], layers: list[tuple[Labels, tuple[int, ...], int]]
) -> Image:
    """A square window of a tile, enlarged, with outlines in colours and widths."""
    cut = tile.image[window]
    scale = CELL_PX / max(cut.shape[:2])
    way = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    canvas = np.asarray(cv2.resize(cut, (CELL_PX, CELL_PX), interpolation=way), np.uint8)
    for labels, colour, width_px in layers:
        lines = [np.rint((ring * scale - 0.5) * 16).astype(np.int32) for ring in contours(labels[window])]
        cv2.polylines(canvas, lines, True, colour, width_px, cv2.LINE_AA, 4)  # noqa: FBT003  (OpenCV's order)
    return canvas


def write_row(path: Path, cells: list[Cell]) -> None:
    """Write cells side by side as a JPEG that is not too large."""
    gap = np.full((CELL_PX, GAP_PX, 3), 255, np.uint8)
    picture = Pillow.fromarray(np.hstack([part for cell in cells for part in (gap, cell.picture)][1:]))
    for quality in range(88, 40, -6):
        held = BytesIO()
        picture.save(held, "JPEG", quality=quality, optimize=True)
        if held.tell() <= MOST_BYTES:
            break
    with whole(path) as place:
        place.write_bytes(held.getvalue())
