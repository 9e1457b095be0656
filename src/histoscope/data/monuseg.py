"""MoNuSeg as distributed: TIFF tiles and Aperio ImageScope XML annotations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from histoscope.data.base import (
    Dataset,
    Datasheet,
    Problem,
    Progress,
    check_samples,
    count_records,
    require_mpp,
)
from histoscope.data.index import expectation, files_by_stem, only_file, require_folder
from histoscope.data.views import compact
from histoscope.errors import CorruptDataError, DatasetNotFoundError, HistoscopeError
from histoscope.files import read_image
from histoscope.types import Labels, Record, Sample

Polygon = NDArray[np.float64]
"""(N, 2) x, y in pixels; pixel centres lie at whole numbers."""

_TEST_PATIENTS = frozenset(
    """
    TCGA-2Z-A9J9 TCGA-44-2665 TCGA-69-7764 TCGA-A6-6782 TCGA-AC-A2FO TCGA-AO-A0J2 TCGA-CU-A0YN
    TCGA-EJ-A46H TCGA-FG-A4MU TCGA-GL-6846 TCGA-HC-7209 TCGA-HT-8564 TCGA-IZ-8196 TCGA-ZF-A9R5
    """.split()  # noqa: SIM905  # a list of strings would take fourteen lines
)
_SUFFIXES = {".tif", ".tiff"}


class MoNuSeg(Dataset):
    """MoNuSeg: H&E tiles of several organs from The Cancer Genome Atlas, 1000 x 1000 pixels at 40x.

    Understands a flat folder of ``NAME.tif`` + ``NAME.xml``, the training archive's ``Tissue Images/`` +
    ``Annotations/``, and a folder that holds several of these. The patient is the first twelve letters of the
    TCGA barcode; the tag ``tcga_site`` is its tissue source site (the hospital). The published test tiles are
    known by their patients.

    Parameters
    ----------
    root : str or Path
        The folder.
    mpp : float
        Micrometres per pixel; 40x as published is 0.25.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder or no tile in it.

    References
    ----------
    Kumar et al., "A Multi-Organ Nucleus Segmentation Challenge", IEEE TMI 39 (2020),
    doi:10.1109/TMI.2019.2947628
    """

    sheet: ClassVar[Datasheet] = Datasheet(
        name="monuseg",
        title="Multi-Organ Nucleus Segmentation Challenge 2018",
        url="https://monuseg.grand-challenge.org/Data/",
        licence="CC BY-NC-SA 4.0",
        citation="Kumar et al., IEEE TMI 39 (2020), doi:10.1109/TMI.2019.2947628",
        mpp=0.25,
    )
    layout: ClassVar[str] = (
        "NAME.tif + NAME.xml side by side, or 'Tissue Images/NAME.tif' + 'Annotations/NAME.xml'"
    )

    def __init__(self, root: str | Path, *, mpp: float = 0.25) -> None:
        self.root = require_folder(root, name="monuseg", layout=self.layout, url=self.sheet.url)
        self._tiles = _find_tiles(self.root)
        if not self._tiles:
            what = expectation("monuseg", self.layout, self.sheet.url)
            raise DatasetNotFoundError(f"no tiles in {self.root}; {what}")
        self._records = tuple(_record(tile.stem) for tile in self._tiles)
        self._info = replace(self.sheet, mpp=require_mpp(mpp, "monuseg"), counts=count_records(self._records))

    @property
    def info(self) -> Datasheet:
        """The datasheet."""
        return self._info

    @property
    def records(self) -> tuple[Record, ...]:
        """One for each tile, sorted by name within each folder."""
        return self._records

    def __getitem__(self, index: int) -> Sample:
        record, tile = self._records[index], self._tiles[index]
        image = read_image(only_file({tile.stem: tile.images}, tile.stem, tile.images[0].parent, "tile"))
        polygons = [polygon for polygon in read_aperio(tile.annotation) if len(polygon) >= 3]
        return Sample(
            image=image,
            mpp=self._info.mpp,
            instances=rasterise(polygons, image.shape[:2]),
            name=record.name,
            source=record.source,
            patient=record.patient,
        )

    def image_path(self, index: int) -> Path | None:
        """File of the tile."""
        images = self._tiles[index].images
        return images[0] if len(images) == 1 else None

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        problems = check_samples(self, progress)
        for index, tile in enumerate(self._tiles):
            try:
                odd = odd_regions(read_aperio(tile.annotation), self[index].image.shape[:2])
            except (HistoscopeError, OSError):
                continue  # already reported by reading the sample
            problems += [Problem(tile.stem, "warning", text) for text in odd]
        stems = {(tile.annotation.parent, tile.stem) for tile in self._tiles}
        for folder in sorted({folder for folder, _ in stems}):
            problems += [
                Problem(stem, "warning", "the XML belongs to no tile")
                for stem in files_by_stem(folder, {".xml"})
                if (folder, stem) not in stems
            ]
        return problems


def read_aperio(path: str | Path) -> list[Polygon]:
    """Read the regions of an Aperio ImageScope annotation file, in their order.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If it is not such XML, or a vertex is not a finite number.
    """
    if not Path(path).is_file():
        raise DatasetNotFoundError(f"no annotation at {path}; expected the XML of the same name as its tile")
    try:
        root = ElementTree.parse(path).getroot()
        polygons = [
            np.array(
                [(vertex.attrib["X"], vertex.attrib["Y"]) for vertex in region.iter("Vertex")], np.float64
            )
            for region in root.iter("Region")
        ]
    except (ElementTree.ParseError, KeyError, ValueError, UnicodeError) as error:
        raise CorruptDataError(f"{path} is not an Aperio annotation ({error}); get the file again") from error
    if root.tag != "Annotations":
        raise CorruptDataError(
            f"{path} holds <{root.tag}>, expected <Annotations> as Aperio ImageScope writes it"
        )
    if not all(np.isfinite(polygon).all() for polygon in polygons):
        raise CorruptDataError(f"{path} has a vertex that is not a finite number; get the file again")
    return [polygon.reshape(-1, 2) for polygon in polygons]


def rasterise(polygons: Sequence[Polygon], shape: tuple[int, ...]) -> Labels:
    """Draw polygons as an instance map.

    A pixel belongs to a polygon that holds its centre. Where polygons overlap the smaller one wins, so that a
    large nucleus never hides a small one; what is outside the image, or hidden all the same, is dropped. Ids
    run without gaps in the order of the polygons.

    Parameters
    ----------
    polygons : sequence of (N, 2) float64
        x, y in pixels, pixel centres at whole numbers.
    shape : tuple of int
        Height and width.

    Returns
    -------
    (H, W) int32

    Examples
    --------
    >>> rasterise([np.array([(0.5, 0.5), (2.5, 0.5), (2.5, 2.5), (0.5, 2.5)])], (4, 4))
    array([[0, 0, 0, 0],
           [0, 1, 1, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]], dtype=int32)
    """
    from skimage.draw import polygon as pixels_inside

    instances = np.zeros(shape, np.int32)
    for number in np.argsort([-_area(polygon) for polygon in polygons], kind="stable"):
        x, y = polygons[number].T
        instances[pixels_inside(y, x, shape)] = number + 1
    return compact(instances)[0]


def _area(polygon: Polygon) -> float:
    x, y = (polygon - polygon[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def odd_regions(polygons: Sequence[Polygon], shape: tuple[int, ...]) -> list[str]:
    """Say how many regions a label map of `shape` cannot show, and why."""
    whole = [polygon for polygon in polygons if len(polygon) >= 3]
    edge = (shape[1] - 1, shape[0] - 1)
    outside = sum(bool((p.max(axis=0) < 0).any() or (p.min(axis=0) > edge).any()) for p in whole)
    drawn = int(rasterise(whole, shape).max(initial=0))
    reasons = {
        "with fewer than 3 points": len(polygons) - len(whole),
        "wholly outside the image": outside,
        "smaller than a pixel or hidden by others": len(whole) - outside - drawn,
    }
    return [f"{count} region(s) {reason} left out" for reason, count in reasons.items() if count]


@dataclass(frozen=True, slots=True)
class _Tile:
    stem: str
    images: list[Path]  # more than one is a mistake that reading reports
    annotation: Path


def _find_tiles(root: Path) -> list[_Tile]:
    """Tiles in `root` and down to two levels below it."""
    tiles = []
    for folder in (root, *sorted(root.glob("*/")), *sorted(root.glob("*/*/"))):
        if "__MACOSX" in folder.parts or folder.name == "Tissue Images":
            continue  # what macOS leaves in the publisher's archives; and what its parent brings
        images, annotations = folder / "Tissue Images", folder / "Annotations"
        if not images.is_dir():
            images = annotations = folder
        found = files_by_stem(images, _SUFFIXES)
        tiles += [_Tile(stem, paths, annotations / f"{stem}.xml") for stem, paths in found.items()]
    return tiles


def _record(stem: str) -> Record:
    if not stem.startswith("TCGA-") or stem.count("-") < 2:
        return Record(stem, source=stem)
    site, patient = stem.split("-")[1], "-".join(stem.split("-")[:3])
    split = "test" if patient in _TEST_PATIENTS else "train"
    return Record(stem, patient=patient, source=stem, split=split, tags={"tcga_site": site})
