"""Make docs/img/slide.jpg: python docs/make/slide_picture.py SLIDE OUT/NAME [--centre X Y ...].

A slide with the places of its nuclei, and fields of it with their outlines, from what
``histoscope predict MODEL SLIDE OUT`` wrote. Nothing is drawn by hand.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import shapely
from PIL import Image as Pillow

from histoscope.export.overlay import PALETTE
from histoscope.slides import Box, Slide, open_slide

OUT = Path(__file__).resolve().parents[1] / "img" / "slide.jpg"
HEIGHT_PX, FIELD_UM, GAP_PX = 460, 110.0, 8
YELLOW, FRAME = PALETTE["yellow"], (9, 105, 218)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slide", type=Path)
    parser.add_argument("results", type=Path, help="folder with its cells.parquet")
    parser.add_argument(
        "--centre", type=float, nargs=2, action="append", help="of a field, in pixels of level 0"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    cells = pq.read_table(given.results / "cells.parquet", columns=["geometry", "x_px", "y_px"])
    polygons = shapely.from_wkb(cells["geometry"].to_numpy(zero_copy_only=False))
    places = np.column_stack([cells["x_px"].to_numpy(), cells["y_px"].to_numpy()])
    with open_slide(given.slide) as slide:
        whole, scale = seen(slide, slide.size[1] * slide.known_mpp()[1] / HEIGHT_PX)
        for x, y in places * scale:
            cv2.circle(whole, (round(x), round(y)), 1, YELLOW, -1, cv2.LINE_AA)
        panels = [whole]
        for centre in given.centre or [crowded(places, FIELD_UM / slide.known_mpp()[0])]:
            field, first, last = outlined(slide, np.array(centre), polygons)
            frame = [np.round(corner * scale).astype(int).tolist() for corner in (first, last)]
            cv2.rectangle(whole, *frame, FRAME, 2, cv2.LINE_AA)
            panels += [np.full((HEIGHT_PX, GAP_PX, 3), 255, np.uint8), field]
    picture = np.concatenate(panels, axis=1)
    Pillow.fromarray(picture).save(given.out, quality=86)
    print(f"{len(polygons):,} nuclei; {given.out}: {picture.shape[1]} x {picture.shape[0]} px")


def outlined(
    slide: Slide, centre: np.ndarray, polygons: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A field with the outlines of its nuclei, HEIGHT_PX high, and its two corners at level 0."""
    mpp = FIELD_UM / HEIGHT_PX
    fine = 1 / np.array(slide.scale_at(mpp))
    corner = np.round(centre * fine - HEIGHT_PX / 2).astype(int)
    field = slide.read_at(Box(int(corner[0]), int(corner[1]), HEIGHT_PX, HEIGHT_PX), mpp).copy()
    for polygon in polygons:
        ring = shapely.get_coordinates(polygon) * fine - corner
        if ring.max() < 0 or ring.min() > HEIGHT_PX:
            continue
        points = [np.round(ring * 16).astype(np.int32)]
        cv2.polylines(field, points, isClosed=True, color=YELLOW, thickness=2, lineType=cv2.LINE_AA, shift=4)
    return field, corner / fine, (corner + HEIGHT_PX) / fine


def seen(slide: Slide, mpp: float) -> tuple[np.ndarray, np.ndarray]:
    """The whole slide, HEIGHT_PX high, and its pixels for each of level 0."""
    width, height = slide.size_at(mpp)
    image = slide.read_at(Box(0, 0, width, height), mpp)
    scaled = cv2.resize(image, (round(width * HEIGHT_PX / height), HEIGHT_PX), interpolation=cv2.INTER_AREA)
    return scaled, 1 / np.array(slide.scale_at(mpp)) * HEIGHT_PX / height


def crowded(places: np.ndarray, side_px: float) -> tuple[float, float]:
    """Centre of the field with the most nuclei."""
    counts, xs, ys = np.histogram2d(
        *places.T, bins=[np.arange(0, places[:, k].max() + side_px, side_px) for k in (0, 1)]
    )
    column, row = np.unravel_index(counts.argmax(), counts.shape)
    return float(xs[column] + side_px / 2), float(ys[row] + side_px / 2)


if __name__ == "__main__":
    main()
