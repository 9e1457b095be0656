"""MoNuSeg as distributed: TIFF tiles and Aperio ImageScope XML annotations."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from histoscope.data.base import (
    Dataset,
    Datasheet,
    Problem,
    Progress,
    check_samples,
    count_records,
    require_mpp,
)
from histoscope.data.readers.aperio import odd_regions, read_aperio
from histoscope.data.readers.index import expectation, files_by_stem, only_file, require_folder, sibling
from histoscope.errors import DatasetNotFoundError
from histoscope.files import read_image
from histoscope.types import Record, Sample

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
        return Sample(
            image=image,
            mpp=self._info.mpp,
            instances=read_aperio(tile.annotation).drawn(image.shape[:2]),
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
        problems = check_samples(self, progress, notes=self._notes)
        stems = {(tile.annotation.parent, tile.stem) for tile in self._tiles}
        for folder in sorted({folder for folder, _ in stems}):
            problems += [
                Problem(stem, "warning", "the XML belongs to no tile")
                for stem in files_by_stem(folder, {".xml"})
                if (folder, stem) not in stems
            ]
        return problems

    def _notes(self, index: int) -> list[str]:
        return odd_regions(read_aperio(self._tiles[index].annotation), self[index].image.shape[:2])


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
        tiles += [_Tile(stem, paths, sibling(annotations, stem, ".xml")) for stem, paths in found.items()]
    return tiles


def _record(stem: str) -> Record:
    if not stem.startswith("TCGA-") or stem.count("-") < 2:
        return Record(stem, source=stem)
    site, patient = stem.split("-")[1], "-".join(stem.split("-")[:3])
    split = "test" if patient in _TEST_PATIENTS else "train"
    return Record(stem, patient=patient, source=stem, split=split, tags={"tcga_site": site})
