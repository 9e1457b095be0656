"""A slide of 60,000 x 60,000 pixels and the table of its nuclei, for the benchmarks of the page.

    python benchmarks/viewer_slide.py FOLDER [--nuclei 1000000] [--picture IMAGE]

The slide is a picture, mirrored and repeated: its tiles are stored once and named many times, so that the
file takes some megabytes, while a reader finds 55,000 tiles of JPEG at the finest of four levels.
"""

import argparse
import json
import struct
from pathlib import Path
from typing import BinaryIO

import cv2
import imagecodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from histoscope import synth
from histoscope.export.cells import located
from histoscope.files import read_image

SIDE_PX, TILE_PX, PERIOD_PX, MPP = 60_000, 256, 4096, 0.25
DOWNSAMPLES = (1, 4, 16, 64)
CLASSES = ["epithelial", "inflammatory", "spindle", "misc"]
_SHORT, _LONG, _RATIONAL, _LONG8 = 3, 4, 5, 16


def pattern(picture: Path | None) -> np.ndarray:
    """(PERIOD_PX, PERIOD_PX, 3) uint8 that may be repeated without a seam."""
    half = PERIOD_PX // 2
    image = synth.generate((half, half), mpp=MPP, rng=0).image if picture is None else read_image(picture)
    image = image[:half, :half]
    image = np.pad(image, ((0, half - image.shape[0]), (0, half - image.shape[1]), (0, 0)), mode="reflect")
    image = np.concatenate([image, image[::-1]])
    return np.concatenate([image, image[:, ::-1]], axis=1)


def draw_slide(path: Path, picture: Path | None = None) -> Path:
    """Write the slide as BigTIFF."""
    image, places = pattern(picture), []
    with path.open("wb") as file:
        file.write(struct.pack("<2s3HQ", b"II", 43, 8, 0, 0))
        for step in DOWNSAMPLES:
            small = cv2.resize(image, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
            small = np.tile(small, (-(-TILE_PX // len(small)),) * 2 + (1,))
            known = {}
            for row in range(len(small) // TILE_PX):
                for column in range(len(small) // TILE_PX):
                    y, x = row * TILE_PX, column * TILE_PX
                    tile = np.ascontiguousarray(small[y : y + TILE_PX, x : x + TILE_PX])
                    known[row, column] = file.tell(), file.write(imagecodecs.jpeg8_encode(tile, level=80))
            places.append(known)
        at, link = file.tell(), 8
        for step, known in zip(DOWNSAMPLES, places, strict=True):
            at = _write_level(file, step, known, at, link)
            link = at - 8
    return path


def _write_level(file: BinaryIO, step: int, known: dict, start: int, link: int) -> int:
    """Write one directory of the TIFF, and its place where the last one ends; return where this one ends."""
    side = SIDE_PX // step
    across, period = -(-side // TILE_PX), int(len(known) ** 0.5)
    tiles = [known[row % period, column % period] for row in range(across) for column in range(across)]
    file.seek(start)
    file.write(np.array([at for at, _ in tiles], "<u8").tobytes())
    file.write(np.array([size for _, size in tiles], "<u4").tobytes())
    directory = file.tell()
    resolution = struct.pack("<2I", round(1e4 / (MPP * step) * 100), 100)
    tags = [
        *[(254, _LONG, 1, int(step > 1)), (256, _LONG, 1, side), (257, _LONG, 1, side)],
        *[(258, _SHORT, 3, struct.pack("<3H", 8, 8, 8)), (259, _SHORT, 1, 7), (262, _SHORT, 1, 6)],
        *[(277, _SHORT, 1, 3), (282, _RATIONAL, 1, resolution), (283, _RATIONAL, 1, resolution)],
        *[(296, _SHORT, 1, 3), (322, _LONG, 1, TILE_PX), (323, _LONG, 1, TILE_PX)],
        *[(324, _LONG8, len(tiles), start), (325, _LONG, len(tiles), start + 8 * len(tiles))],
        (530, _SHORT, 2, struct.pack("<2H", 2, 2)),
    ]
    file.write(struct.pack("<Q", len(tags)))
    for tag, kind, count, value in tags:
        packed = value if isinstance(value, bytes) else struct.pack("<Q", value)
        file.write(struct.pack("<2HQ8s", tag, kind, count, packed))
    file.write(bytes(8))
    end = file.tell()
    file.seek(link)
    file.write(struct.pack("<Q", directory))
    file.seek(end)
    return end


def draw_cells(path: Path, n: int, slide: str = "big.tif") -> Path:
    """Write a table of ellipses of 32 points, some in clusters, of four classes."""
    rng = np.random.default_rng(0)
    clusters = rng.uniform(0.1, 0.9, (max(n // 2000, 3), 2)) * SIDE_PX
    of = rng.integers(0, len(clusters), n)
    centre = clusters[of] + rng.normal(0, 0.06 * (12 / len(clusters)) ** 0.5, (n, 2)) * SIDE_PX
    is_alone = rng.random(n) < 0.4
    centre[is_alone] = rng.uniform(0.05, 0.95, (is_alone.sum(), 2)) * SIDE_PX
    centre = centre.clip(30, SIDE_PX - 30)
    class_id = ((of * 7 + rng.integers(0, 3, n) // 2) % len(CLASSES) + 1).astype(np.uint8)
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    radius, flat, turn = (
        rng.uniform(6, 13, (n, 1)),
        rng.uniform(0.6, 1, (n, 1)),
        rng.uniform(0, np.pi, (n, 1)),
    )
    along, across = radius * np.cos(angle), radius * flat * np.sin(angle)
    x = centre[:, :1] + along * np.cos(turn) - across * np.sin(turn)
    y = centre[:, 1:] + along * np.sin(turn) + across * np.cos(turn)
    points = np.stack([x, y], axis=2).reshape(-1, 2)
    polygons = shapely.polygons(shapely.linearrings(points, indices=np.repeat(np.arange(n), 32)))
    columns = {
        "id": pa.array(np.arange(n).astype(str).tolist()),
        "class": pa.array(np.array(["", *CLASSES], object)[class_id].tolist()).dictionary_encode(),
        "class_id": class_id,
        "probability": rng.beta(6, 2, n).astype(np.float32),
        "x_px": centre[:, 0],
        "y_px": centre[:, 1],
        "area_um2": (np.pi * radius[:, 0] ** 2 * flat[:, 0] * MPP**2).astype(np.float32),
        "part": pa.array(["0"] * n).dictionary_encode(),
    }
    about = {"slide": slide, "slide_hash": "", "size_px": [SIDE_PX, SIDE_PX], "mpp": [MPP, MPP]}
    about |= {"classes": CLASSES, "software": "benchmark", "tissue_mm2": 1.0, "parts": ["0"], "problems": {}}
    table = located(columns, np.asarray(polygons, object))
    table = table.replace_schema_metadata(
        {**table.schema.metadata, b"histoscope": json.dumps(about).encode()}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", row_group_size=20_000)
    return path


def folder_of(folder: Path, n: int = 0, picture: Path | None = None) -> Path:
    """A folder with the slide and, if they are asked for, its nuclei; what is there is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    slide, cells = folder / "big.tif", folder / "out" / "big" / "cells.parquet"
    if not slide.is_file():
        draw_slide(slide, picture)
    if n and (not cells.is_file() or pq.read_metadata(cells).num_rows != n):
        draw_cells(cells, n)
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nuclei", type=int, default=1_000_000)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    print(folder_of(given.folder, given.nuclei, given.picture))
