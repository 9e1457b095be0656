"""Output files of one image, and its row of the summary."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from histoscope.export.features import class_names, measure
from histoscope.export.geojson import write_geojson
from histoscope.export.overlay import draw, with_legend
from histoscope.export.tissue import tissue_area_mm2
from histoscope.files import whole, write_labels
from histoscope.tables import write_table
from histoscope.types import Image, Nuclei

OUTPUTS = {
    "overlay": ("_overlay.png",),
    "labels": ("_labels.png", "_labels.tif"),  # the second for ids that do not fit in 16 bits
    "geojson": (".geojson",),
    "csv": (".csv",),
}
"""Output of a segmentation model -> suffix of the file."""
TILE_OUTPUTS = {"heatmap": ("_heatmap.png",), "geojson": (".geojson",), "csv": ("_tiles.csv",)}
"""Output of a classifier for a large image -> suffix of the file."""


def write(
    stem: Path, image: Image, nuclei: Nuclei, classes: Sequence[str], kinds: Collection[str] = tuple(OUTPUTS)
) -> None:
    """Write the files of one image, each atomically.

    Parameters
    ----------
    stem : Path
        Folder and prefix of the files' names.
    image : (H, W, 3) uint8
    nuclei : Nuclei
    classes : sequence of str
        Names of class 1, 2, ...
    kinds : collection of str
        Keys of `OUTPUTS`.
    """
    table = measure(nuclei, image, classes) if {"geojson", "csv"} & set(kinds) else None
    if "overlay" in kinds:
        drawn = draw(image, nuclei, classes)
        write_png(ending(stem, "_overlay.png"), with_legend(drawn, nuclei, classes))
    if "labels" in kinds:
        chosen, other = OUTPUTS["labels"] if len(nuclei) <= 65_535 else OUTPUTS["labels"][::-1]
        write_labels(ending(stem, chosen), nuclei.instances)
        ending(stem, other).unlink(missing_ok=True)
    if "geojson" in kinds:
        write_geojson(ending(stem, ".geojson"), nuclei, classes=classes, table=table, name=stem.name)
    if "csv" in kinds and table is not None:
        # Five digits, but positions to the nanometre: an image may be centimetres long.
        places = {name: table[name].map("{:.3f}".format) for name in ("x_um", "y_um")}
        write_table(ending(stem, ".csv"), table.assign(**places), float_format="%.5g")


def write_png(path: Path, image: Image) -> None:
    """Write an RGB image with OpenCV, which compresses three times as fast as Pillow to the same size."""
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    _, packed = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    with whole(path) as temporary:
        temporary.write_bytes(packed.tobytes())


def ending(stem: Path, end: str) -> Path:
    """Path of a file of one image."""
    return stem.with_name(stem.name + end)


def summarise(image: Image, nuclei: Nuclei, classes: Sequence[str]) -> dict[str, Any]:
    """Counts and densities of one image; `unsure` nuclei are counted if `classes` has that name.

    Returns
    -------
    dict
        Width, height, mpp, mm² of tissue, and nuclei and nuclei per mm² of tissue, in total and by class.
    """
    tissue_mm2 = tissue_area_mm2(image, nuclei.mpp)
    height, width = image.shape[:2]
    of_class = Counter(class_names(nuclei, classes).tolist())
    values = [width, height, nuclei.mpp, round(tissue_mm2, 6)]
    for count in [len(nuclei), *(of_class[name] for name in classes)]:
        values += [count, density(count, tissue_mm2)]
    return dict(zip(columns(classes), values, strict=True))


def columns(classes: Sequence[str]) -> list[str]:
    """Columns of the summary after the image's name."""
    first = ["width_px", "height_px", "mpp", "tissue_mm2", "nuclei", "nuclei_per_mm2"]
    # Prefixed, so that no class name collides with another column.
    return [*first, *(column for name in classes for column in (f"n_{name}", f"per_mm2_{name}"))]


def density(count: int, tissue_mm2: float) -> float | None:
    """Nuclei per mm² of tissue; None if there is no tissue."""
    return round(count / tissue_mm2, 2) if tissue_mm2 > 0 else None
