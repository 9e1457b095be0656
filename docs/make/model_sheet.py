"""Sheet of pictures: the best, median and worst tile of each laboratory with what a model found there."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from laboratories import Laboratory
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from histoscope.files import whole
from histoscope.report.gallery import choose_region
from histoscope.report.outlines import contours
from histoscope.types import Image, Labels

CROP_UM, CELL_PX, GAP_PX = 72.0, 320, 8
TRUTH, PREDICTION = (0, 229, 255), (255, 225, 26)
INK, FAINT = (31, 35, 40), (95, 100, 108)
MOST_BYTES = 600_000
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
    """A picture and the two lines below it."""

    picture: Image
    words: tuple[str, str]


def row_of(laboratory: Laboratory, table: pd.DataFrame, tiles: dict[str, Tile]) -> list[Cell]:
    """Best, median and worst tile by AJI, outlined by the model, and by the annotators if allowed."""
    ordered = table.sort_values("aji", ascending=False)
    cells = []
    for rank, place in zip(RANKS, (0, len(ordered) // 2, len(ordered) - 1), strict=True):
        row = ordered.iloc[place]
        tile = tiles[row["name"]]
        window = choose_region(tile.true, [tile.pred], round(CROP_UM / tile.mpp))
        layers = [(tile.pred, PREDICTION, 1)]
        if laboratory.shown == "truth":
            layers.insert(0, (tile.true, TRUTH, 2))
        scores = f"{rank}: AJI {row['aji']:.2f}, F1 {row['f1_50']:.2f}"
        cells.append(Cell(drawn(tile, window, layers), (scores, tile.name[:24])))
    return cells


def drawn(
    tile: Tile, window: tuple[slice, slice], layers: list[tuple[Labels, tuple[int, ...], int]]
) -> Image:
    """A window of a tile, enlarged, with outlines in colours and widths."""
    cut = tile.image[window]
    scale = CELL_PX / max(cut.shape[:2])
    size = round(cut.shape[1] * scale), round(cut.shape[0] * scale)
    way = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    canvas = np.full((CELL_PX, CELL_PX, 3), 255, np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(cut, size, interpolation=way)
    for labels, colour, width_px in layers:
        lines = [np.rint((ring * scale - 0.5) * 16).astype(np.int32) for ring in contours(labels[window])]
        cv2.polylines(canvas, lines, True, colour, width_px, cv2.LINE_AA, 4)  # noqa: FBT003  (OpenCV's order)
    return canvas


def write_sheet(path: Path, rows: dict[str, list[Cell]]) -> None:
    """Write rows of cells, each below its title, as a JPEG that is not too large."""
    title_px, words_px = 26 if any(rows) else 0, 40
    row_px = title_px + CELL_PX + words_px + GAP_PX
    width = 3 * (CELL_PX + GAP_PX) + GAP_PX
    picture = Pillow.new("RGB", (width, row_px * len(rows) + GAP_PX), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=15)
    for k, (title, cells) in enumerate(rows.items()):
        top = GAP_PX + k * row_px
        pen.text((GAP_PX, top), title, fill=INK, font=ImageFont.load_default(size=17))
        for column, cell in enumerate(cells):
            x = GAP_PX + column * (CELL_PX + GAP_PX)
            picture.paste(Pillow.fromarray(cell.picture), (x, top + title_px))
            for line, (words, colour) in enumerate(zip(cell.words, (INK, FAINT), strict=True)):
                pen.text((x, top + title_px + CELL_PX + 2 + 18 * line), words, fill=colour, font=font)
    for quality in range(88, 40, -6):
        held = BytesIO()
        picture.save(held, "JPEG", quality=quality, optimize=True)
        if held.tell() <= MOST_BYTES:
            break
    with whole(path) as place:
        place.write_bytes(held.getvalue())
