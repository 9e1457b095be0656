"""Writing the final files of a slide from its parts."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histoscope import __version__
from histoscope.files import write_text
from histoscope.predict.slides.work import Found
from histoscope.slides import Slide
from histoscope.slides.tissue import CELL_UM
from histoscope.tables import write_table
from histoscope.types import Mask

TISSUE = "tissue.geojson"
_PROBLEM_COLUMNS = ["part", "x_px", "y_px", "width_px", "height_px", "error"]


def write_slide(
    slide: Slide, found: Found, *, kinds: Sequence[str] = ("geojson",), origin: str = "qupath"
) -> dict[str, Any]:
    """Write the files of one slide from its parts, each completely or not at all.

    Parameters
    ----------
    slide : Slide
    found : Found
    kinds : sequence of str
        Files besides the table; from the ``outputs`` of the work.
    origin : {"qupath", "slide"}
        Origin of the GeoJSON coordinates: QuPath crops slides to their scanned area, if the file gives one.

    Returns
    -------
    dict
        The slide's row of the summary.
    """
    offset = (float(slide.bounds.x), float(slide.bounds.y)) if origin == "qupath" else (0.0, 0.0)
    work, folder = found.work, found.store.folder
    about = {
        "slide": slide.path.name,
        "slide_hash": slide.quick_hash,
        "size_px": slide.size,
        "mpp": slide.known_mpp(),
        "tissue_mm2": found.tissue.area_mm2,
        **work.about(slide),
        "network": work.network,
        "software": f"histoscope {__version__}",
    }
    found.store.join(found.parts, work.none(slide).schema, about)
    write_tissue(folder / TISSUE, slide, found, offset)
    write_table(folder / "problems.csv", pd.DataFrame(found.problems, columns=_PROBLEM_COLUMNS))
    return _row(slide, found) | work.write(slide, found, kinds, offset)


_REGION = {"name": "Region*", "color": [0, 0, 180]}  # QuPath's classes and colours
_IGNORED = {"name": "Ignore*", "color": [180, 180, 180]}


def write_tissue(path: Path, slide: Slide, found: Found, offset: tuple[float, float]) -> None:
    """Write the tissue as QuPath annotations, along the pixel edges of the mask.

    Tissue gets QuPath's class ``Region*``, out-of-focus areas its class ``Ignore*``. So the file can be used
    as a region of interest, unchanged or corrected in QuPath.
    """
    tissue = found.tissue
    features = [*_annotations(slide, tissue.mask, "tissue", _REGION, offset)]
    if tissue.blurred is not None:
        features += _annotations(slide, tissue.blurred, "out of focus", _IGNORED, offset)
    about = {"offset_px": list(offset), "unit": "pixels of level 0, from the offset"}
    collection = {"type": "FeatureCollection", "metadata": about, "features": features}
    write_text(path, json.dumps(collection) + "\n")


def _annotations(
    slide: Slide, mask: Mask, name: str, kind: dict[str, Any], offset: tuple[float, float]
) -> Iterator[dict[str, Any]]:
    import cv2
    import shapely

    from histoscope.export.cells import polygons_of
    from histoscope.export.cells_geojson import id_of
    from histoscope.nuclei import Nuclei

    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    shapes = polygons_of(Nuclei.from_labels(pieces, mpp=CELL_UM), scale=slide.scale_at(CELL_UM))
    moved = shapely.transform(shapes, lambda xy: np.round(xy - np.asarray(offset), 1))
    about = {"objectType": "annotation", "name": name, "classification": kind, "isLocked": True}
    for shape in shapely.to_geojson(moved):
        key = id_of(f"{name} of {slide.quick_hash}", shape)
        yield {"type": "Feature", "id": key, "geometry": json.loads(shape), "properties": about}


def _row(slide: Slide, found: Found) -> dict[str, Any]:
    mpp_x, mpp_y = slide.known_mpp()
    return {
        "slide": slide.path.name,
        "width_px": slide.size[0],
        "height_px": slide.size[1],
        "mpp_x": mpp_x,
        "mpp_y": mpp_y,
        "reader": slide.reader_name,
        "network": found.work.network,
        "tissue_mm2": round(found.tissue.area_mm2, 4),
        "blurred_mm2": round(found.tissue.blurred_mm2, 4),
        **found.quality,
        "problems": len(found.problems),
    }
