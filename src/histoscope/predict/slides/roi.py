"""A region of interest instead of the detected tissue."""

import hashlib
from pathlib import Path

import cv2
import numpy as np

from histoscope.data.annotations.files import pair
from histoscope.data.annotations.placing import place
from histoscope.data.annotations.reading import read_annotations
from histoscope.slides import Slide
from histoscope.slides.tissue import CELL_UM, TissueMap

_SHIFT = 4


def files_of(slide: Path, annotations: Path) -> list[Path]:
    """Annotation files of a slide: the given one, or those with its name in a folder.

    Raises
    ------
    DatasetNotFoundError
        If there is none.
    """
    return pair(slide, annotations).found[0][1]


def digest_of(files: list[Path]) -> str:
    """Digest of the files' content."""
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def region_of(slide: Slide, files: list[Path], *, origin: str) -> TissueMap:
    """Region of interest: annotations called ROI or Region, or all annotations if there are none.

    Parameters
    ----------
    slide : Slide
    files : list of Path
        GeoJSON from QuPath, XML from ImageScope or ASAP.
    origin : {"qupath", "slide"}
        Origin of the GeoJSON coordinates, if the file does not give it.

    Raises
    ------
    DataError
        If there are no outlines, or they do not fit the slide.
    """
    import shapely

    every = [one for path in files for one in read_annotations(path)]
    where = f"{', '.join(map(str, files))} on {slide.path}"
    bounds = slide.bounds.x, slide.bounds.y
    by_file = None if any(one.offset_px or one.origin == "slide" for one in every) else origin
    placed = place(every, slide.size, bounds, where=where, origin=by_file, objects="annotations")
    shapes = [one.polygon for one in placed.regions] or list(placed.nuclei)
    mpp = np.array(slide.known_mpp())
    region = shapely.transform(shapely.union_all(shapes), lambda xy: xy * mpp)
    shapely.prepare(region)
    width, height = slide.size_at(CELL_UM)
    mask = np.zeros((height, width), np.uint8)
    for piece in shapely.get_parts(region):
        points = shapely.get_coordinates(piece.exterior) / CELL_UM - 0.5
        cv2.fillPoly(mask, [np.rint(points * 2**_SHIFT).astype(np.int32)], 1, shift=_SHIFT)
    wide = cv2.dilate(
        mask, np.ones((3, 3), np.uint8)
    )  # mask pixels that are touched count; the region decides
    return TissueMap(wide.astype(bool), float(shapely.area(region)) / 1e6, region)
