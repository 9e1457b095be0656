"""Draw nuclei of a slide for how-to pages: python docs/make/howto_pictures.py SLIDE OUT/NAME.

OUT/NAME is what ``histoscope predict nuclei SLIDE OUT`` wrote. The slide of the docs is OpenSlide's
CMU-1-Small-Region.svs (CC0). Nothing is drawn by hand but the region.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import shapely
import torch
from finding_look import INK, LOOK, drawn
from matplotlib import rc_context
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as Pillow

from histoscope import models, read_image, weights
from histoscope.export.overlay import PALETTE
from histoscope.models.base import Tile
from histoscope.models.nuclei.star import nuclei_of
from histoscope.report.figures import NARROW_IN
from histoscope.slides import Box, open_slide

OUT = Path(__file__).resolve().parents[1] / "img"
SIDE_PX, GAP_PX = 400, 8
YELLOW, CYAN, BLUE = PALETTE["yellow"], (0, 210, 230), (9, 105, 218)
ZOOMED = (60, 40, 180, 104)  # of the field that the network sees: left, top, right, bottom
FIELD = (1000, 1500, 800, 1200)  # of tables.md: left, right, top, bottom
CORNER = np.array([1000, 800])  # of the other pictures, in pixels of level 0
REGION = [(20, 150), (110, 25), (270, 10), (380, 120), (370, 290), (240, 385), (90, 350)]


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slide", type=Path)
    parser.add_argument("results", type=Path, help="folder with its cells.parquet")
    given = parser.parse_args()
    cells = pq.read_table(given.results / "cells.parquet", columns=["geometry", "area_um2"])
    polygons = shapely.from_wkb(cells["geometry"].to_numpy(zero_copy_only=False))
    with rc_context(LOOK):
        text = drawn(field(polygons, cells["area_um2"].to_numpy()))
    (OUT / "howto_tables.svg").write_text(text, encoding="utf-8")
    Pillow.fromarray(region(given.slide, polygons)).save(OUT / "howto_from_qupath.jpg", quality=88)
    Pillow.fromarray(plain_and_voted(given.slide)).save(OUT / "howto_export_model.jpg", quality=88)


def field(polygons: NDArray[np.object_], area: NDArray[np.float64]) -> Figure:
    """Nuclei of a field, coloured by their area."""
    left, right, top, bottom = FIELD
    seen = shapely.intersects(polygons, shapely.box(left, top, right, bottom))
    drawing = Figure(figsize=(NARROW_IN, 3.9), layout="constrained")
    axes = drawing.subplots()
    rings = [shapely.get_coordinates(one) for one in shapely.simplify(polygons[seen], 0.7)]
    nuclei = PolyCollection(
        rings, array=area[seen], cmap="plasma", clim=(0, 60), edgecolors=INK, linewidths=0.5
    )
    axes.add_collection(nuclei)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xlabel="x_px", ylabel="y_px")
    drawing.colorbar(nuclei, label="area_um2", orientation="horizontal", aspect=40, extend="max")
    return drawing


def region(slide: Path, polygons: NDArray[np.object_]) -> NDArray[np.uint8]:
    """A region with its nuclei on a slide, and the image and labels that are made of it."""
    edge = np.array(REGION) + CORNER
    inside = polygons[shapely.within(polygons, shapely.Polygon(edge))]
    with open_slide(slide) as opened:
        before = opened.read_at(Box(*CORNER.tolist(), SIDE_PX, SIDE_PX), opened.known_mpp()[0]).copy()
    outline(before, [shapely.get_coordinates(one) - CORNER for one in inside], YELLOW)
    outline(before, [np.array(REGION)], BLUE, 2)
    shapes = [(shapely.Polygon(edge), "Region*"), *((one, "") for one in inside)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "slide.geojson"
        file.write_text(json.dumps([feature(shape, name) for shape, name in shapes]), encoding="utf-8")
        call = [sys.executable, "-m", "histoscope", "data", "from-qupath", slide, file, Path(folder) / "mine"]
        subprocess.run(call, check=True)
        (overlay,) = (Path(folder) / "mine/overlays").glob("*.png")
        after = read_image(overlay)
    canvas = np.full_like(before, 255)
    low = edge.min(axis=0) - CORNER
    canvas[low[1] : low[1] + len(after), low[0] : low[0] + after.shape[1]] = after
    return beside(before, canvas)


def feature(shape: shapely.Polygon, name: str) -> dict[str, object]:
    """An annotation as QuPath exports it."""
    classed = {"classification": {"name": name}} if name else {}
    return {
        "type": "Feature",
        "geometry": shapely.geometry.mapping(shape),
        "properties": {"objectType": "annotation", **classed},
    }


def plain_and_voted(slide: Path) -> NDArray[np.uint8]:
    """A field with what `predict` draws, and with the plain polygons of the network over it."""
    model = models.load(weights.DEFAULT)
    with open_slide(slide) as opened:
        image = opened.read_at(Box(*CORNER.tolist(), 256, 256), model.spec.mpp).copy()
    shape, mpp = image.shape[:2], model.spec.mpp
    with torch.inference_mode():
        heads = model(torch.from_numpy(image).permute(2, 0, 1)[None])
    gathered = model.gather([Tile(heads, 0, 0, tuple(heads["probability"].shape[2:]))], shape, mpp)
    plain = nuclei_of(gathered[0], model.thresholds["iou"], shape, mpp)
    left, top, right, bottom = ZOOMED
    panel = cv2.resize(image[top:bottom, left:right], None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    for nuclei, colour in ((model.decode_gathered(gathered, shape, mpp), YELLOW), (plain, CYAN)):
        points = (nuclei.outlines.points - [left, top]) * 6
        outline(panel, np.split(points, nuclei.outlines.starts[1:-1]), colour, 2)
    return panel


def outline(
    image: NDArray[np.uint8], rings: list[NDArray[np.float64]], colour: tuple[int, ...], thickness: int = 1
) -> None:
    """Draw closed lines on an image."""
    points = [np.round(ring * 16).astype(np.int32) for ring in rings]
    cv2.polylines(
        image, points, isClosed=True, color=colour, thickness=thickness, lineType=cv2.LINE_AA, shift=4
    )


def beside(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.hstack([one, np.full((len(one), GAP_PX, 3), 255, np.uint8), other])


if __name__ == "__main__":
    main()
