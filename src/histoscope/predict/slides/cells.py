"""Classifying cells that were found earlier on a slide."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError
from histoscope.export.cells import Cells, classified
from histoscope.export.cells_measure import ABOUT
from histoscope.export.result import write_png
from histoscope.predict.slides.classifying import Classifying
from histoscope.predict.slides.crops import Blocks, probabilities, touched_by
from histoscope.predict.slides.files import CELLS, write_cells, write_measures
from histoscope.predict.slides.overview import overview_picture
from histoscope.predict.slides.work import Found, Problem, Scene, problems_of
from histoscope.slides import Box, Slide
from histoscope.slides.salvage import Broken, read_salvaged
from histoscope.slides.tissue import TissueMap
from histoscope.types import Image

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class CellPart:
    """A row group of the cells of a slide.

    Parameters
    ----------
    name : str
    path : Path
    group : int
    """

    name: str
    path: Path
    group: int


@dataclass(frozen=True, eq=False, slots=True)
class CellPatches:
    """Cells of a part, and the position of the patch around each.

    Parameters
    ----------
    part : CellPart
    rows : pyarrow.Table
    box_px : (N, 4) int64
        Left, top, right and bottom edge, in pixels of the network.
    """

    part: CellPart
    rows: "pa.Table"
    box_px: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassifyCells(Classifying):
    """Classes of known cells; see `histoscope.predict.slides.work.Work`.

    Each cell is classified from a patch of the training size, centred on the cell.

    Parameters
    ----------
    classifier : PatchClassifier
    cells : Path
        ``cells.parquet`` of a slide, or a folder with those of several.
    """

    cells: Path
    table = CELLS
    unit = "nuclei"
    outputs = ("geojson", "csv", "anndata")

    @property
    def source(self) -> Path:
        """Location of the cells."""
        return self.cells

    def plan(self, slide: Slide) -> dict[str, Any]:
        """Model, augmentation, and the cells."""
        with self._file(slide).open("rb") as file:
            return {**self.settings, "cells": hashlib.file_digest(file, "sha256").hexdigest()}

    def parts(self, slide: Slide, tissue: TissueMap, part_px: int) -> list[CellPart]:
        """The row groups of the cells."""
        import pyarrow.parquet as pq

        path = self._file(slide)
        n, names = pq.read_metadata(path).num_row_groups, about_of(path).get("parts", [])
        known = names if len(names) == n else [f"{k:06d}" for k in range(n)]
        return [CellPart(name, path, k) for k, name in enumerate(known)]

    def read(self, scene: Scene, part: CellPart) -> CellPatches:
        """Cells of a part; their patches are read on demand, since they overlap."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(part.path) as file:
            rows = file.read_row_group(part.group)
        centre = np.stack([rows["x_px"].to_numpy(), rows["y_px"].to_numpy()], axis=1)
        side = self.classifier.network.spec.patch_px
        corner = np.rint(centre / scene.slide.scale_at(self.mpp) - side / 2).astype(np.int64)
        return CellPatches(part, rows, np.concatenate([corner, corner + side], axis=1))

    def see(self, scene: Scene, pixels: CellPatches) -> tuple[NDArray[np.float32], list[Broken]]:
        """(N, C) probabilities, and places that could not be read."""

        def read(box: Box) -> tuple[Image, list[Broken]]:
            image, broken = read_salvaged(scene.slide, box, self.mpp)
            return scene.recolor(image), broken

        found = np.zeros((len(pixels.rows), len(self.classifier.classes)), np.float32)
        if len(found):
            with closing(Blocks(read, pixels.box_px, self.mpp)) as patches:
                found[patches.order] = probabilities(self.classifier, patches)
                return found, patches.broken
        return found, []

    def finish(
        self, scene: Scene, pixels: CellPatches, seen: tuple[NDArray[np.float32], list[Broken]]
    ) -> tuple["pa.Table", list[Problem]]:
        """Rows with the new classes; a cell whose patch could not be read completely has none."""
        probability, broken = seen
        problems = problems_of(pixels.part.name, broken)
        lost = touched_by(pixels.box_px, [one.box for one in broken if one.is_lost])
        probability[lost] = 0.0
        before = about_of(pixels.part.path)["classes"]
        return classified(pixels.rows, self.classifier.classes, probability, before=before), problems

    def none(self, slide: Slide) -> "pa.Table":
        """An empty table of cells."""
        import pyarrow.parquet as pq

        path, classes = self._file(slide), self.classifier.classes
        none = np.empty((0, len(classes)), np.float32)
        return classified(pq.read_schema(path).empty_table(), classes, none, before=about_of(path)["classes"])

    def about(self, slide: Slide) -> dict[str, Any]:
        """Metadata of the cells, with the new classes and the model."""
        new = {"classes": list(self.classifier.classes), "model": self.classifier.fingerprint}
        return about_of(self._file(slide)) | new

    def write(
        self, slide: Slide, found: Found, kinds: Sequence[str], offset_px: tuple[float, float]
    ) -> dict[str, Any]:
        """Write cells for QuPath and others, and a picture."""
        folder, classes = found.store.folder, self.classifier.classes
        write_cells(folder, classes, kinds, offset_px)
        write_png(folder / "overview.png", overview_picture(slide, found, classes))
        area_mm2 = float(about_of(self._file(slide))["tissue_mm2"])  # the tissue that was searched for cells
        return {"tissue_mm2": round(area_mm2, 4)} | write_measures(folder, classes)

    def _file(self, slide: Slide) -> Path:
        """The cells of a slide, checked.

        Raises
        ------
        ConfigError
            If there are none, or they belong to another slide.
        """
        found = self._files.get(slide.quick_hash)
        if found is not None:
            return found
        others = sorted({str(about_of(path)["slide"]) for path in self._files.values()})
        raise ConfigError(
            f"{self.cells} has cells of {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}, not "
            f"of {slide.path.name} (the file's digest differs); find its nuclei first, or give the folder "
            "of its cells"
        )

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Tables of cells by the digest of their slide.

        Raises
        ------
        DatasetNotFoundError, ConfigError
            If there is none, or there are two for one slide.
        """
        paths = sorted(self.cells.rglob(CELLS)) if self.cells.is_dir() else [self.cells]
        if not paths:
            raise DatasetNotFoundError(
                f"no {CELLS} in {self.cells}; run `histoscope predict` with a model of nuclei to write "
                "one per slide"
            )
        found: dict[str, Path] = {}
        for path in paths:
            digest = str(about_of(path)["slide_hash"])
            if digest in found:
                raise ConfigError(
                    f"{self.cells} has two tables of cells for one slide, {found[digest]} and {path}; "
                    "give one"
                )
            found[digest] = path
        return found


def about_of(path: Path) -> dict[str, Any]:
    """Metadata of a table of cells.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If it is not a table of the cells of a slide, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DatasetNotFoundError(
            f"no table of cells at {path}; run `histoscope predict` to write one per slide"
        )
    wrote = "expected one that `histoscope predict` wrote for a slide"
    try:
        schema = pq.read_schema(path)
        about: dict[str, Any] = json.loads((schema.metadata or {})[ABOUT])
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise CorruptDataError(f"{path} is not a table of cells ({error}); {wrote}") from error
    lacks = [key for key in ("slide", "slide_hash", "tissue_mm2", "classes") if key not in about]
    columns = Cells.none(()).to_arrow((), part="", slide="").column_names
    lacks += [name for name in columns if name not in schema.names]
    if lacks:
        raise CorruptDataError(f"{path} lacks {', '.join(lacks)}; {wrote}")
    return about
