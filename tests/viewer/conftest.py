"""A folder with a slide and its cells, an image with its nuclei, and a broken slide among them."""

import json
import threading
import time
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import tifffile

from histoscope import synth
from histoscope.export.cells import Cells
from histoscope.export.geojson import write_geojson
from histoscope.files import write_image
from histoscope.nuclei import Nuclei

CLASSES = ["epithelial", "inflammatory"]
TISSUES = ["gland", "stroma"]


def draw_slide(path, side=512):
    """A pyramid of two levels in tiles of JPEG."""
    image = synth.generate((side, side), mpp=0.5, rng=3).image
    with tifffile.TiffWriter(path) as file:
        for step in (1, 2):
            size = {"resolution": (20_000 / step,) * 2, "resolutionunit": "CENTIMETER"}
            how = {"tile": (128, 128), "photometric": "rgb", "subfiletype": step - 1, "compression": "jpeg"}
            file.write(np.ascontiguousarray(image[::step, ::step]), **how, **size)
    return path


def write_cells(folder, slide="slide.tif", n=300, side=512, seed=0):
    """A table of squares, 10 px wide, half of each class; probabilities from 0 to 1."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(10, side - 10, (n, 2))
    polygons = shapely.box(*(centre - 5).T, *(centre + 5).T)
    features = Cells.none(CLASSES).features.reindex(range(n), fill_value=1.0)
    class_id = (np.arange(n) % 2 + 1).astype(np.uint8)
    names = np.array(["", *CLASSES], object)[class_id]
    probability = np.linspace(0, 1, n, dtype=np.float32)
    of_class = np.full((n, 2), 0.5, np.float32)
    cells = Cells(polygons, centre, class_id, names, probability, of_class, features)
    table = cells.to_arrow(CLASSES, part="0", slide="x")
    about = {"slide": slide, "slide_hash": "x", "size_px": [side, side], "mpp": [0.5, 0.5]}
    about |= {"classes": CLASSES, "software": "histoscope 0", "tissue_mm2": 0.1}
    table = table.replace_schema_metadata(
        {**table.schema.metadata, b"histoscope": json.dumps(about).encode()}
    )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "cells.parquet", row_group_size=100)
    return centre


def write_tiles(folder, side_px=64.13, grid=8, slide="slide.tif"):
    """Tiles in all but one column of a grid, the more of a gland the farther to the right."""
    column, row = (each.ravel() for each in np.meshgrid(np.arange(grid), np.arange(grid)))
    keep = column != 2
    column, row = column[keep], row[keep]
    gland = column / (grid - 1)
    corner = np.stack([column, row], axis=1) * side_px
    boxes = shapely.to_wkb(shapely.box(*corner.T, *(corner + side_px).T))
    table = pa.table(
        {
            "class": np.where(gland >= 0.5, *TISSUES),
            "probability": np.maximum(gland, 1 - gland),
            "p_gland": gland,
            "p_stroma": 1 - gland,
            "geometry": pa.array(boxes, pa.binary()),
        }
    )
    about = {"slide": slide, "size_px": [512, 512], "mpp": [0.5, 0.5], "classes": TISSUES}
    folder.mkdir(parents=True)
    pq.write_table(
        table.replace_schema_metadata({b"histoscope": json.dumps(about).encode()}), folder / "tiles.parquet"
    )
    return folder / "tiles.parquet"


@pytest.fixture(scope="session")
def shown(tmp_path_factory):
    """The folder."""
    folder = tmp_path_factory.mktemp("shown")
    draw_slide(folder / "slide.tif")
    write_cells(folder / "out" / "slide")
    ring = [[10, 10], [300, 10], [300, 300], [10, 300], [10, 10]]
    tissue = {"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {"classification": None}}
    root = {"type": "FeatureCollection", "metadata": {"offset_px": [5, 7]}, "features": [tissue]}
    (folder / "out" / "slide" / "tissue.geojson").write_text(json.dumps(root), encoding="utf-8")
    sample = synth.generate((200, 260), mpp=0.5, rng=1)
    write_image(folder / "images" / "field.png", sample.image)
    nuclei = Nuclei.from_labels(sample.instances, mpp=0.5)
    write_geojson(folder / "images" / "field.geojson", nuclei, name="field")
    (folder / "broken.svs").write_bytes(b"II*\x00 this is no slide")
    return folder


@pytest.fixture
def shown_slide(shown):
    """The slide of the folder."""
    return shown / "slide.tif"


@pytest.fixture(scope="session")
def cells():
    """A function that writes a table of cells to a folder."""
    return write_cells


@pytest.fixture(scope="session")
def serve():
    """A function that serves an application as `histoscope view` does, and gives its address."""
    import uvicorn

    from histoscope.viewer import running

    @contextmanager
    def serving(app, **settings):
        with running.listen("127.0.0.1", 0) as opened:
            server = uvicorn.Server(running.config_of(app, **settings))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
            thread.start()
            while not server.started:
                time.sleep(0.01)
            try:
                yield running.address_of(opened, "127.0.0.1", "")
            finally:
                server.should_exit = server.force_exit = True
                thread.join()

    return serving


@pytest.fixture(scope="session")
def tiles():
    """A function that writes a table of tiles to a folder."""
    return write_tiles
