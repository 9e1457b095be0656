"""Finding the nuclei of a slide, each exactly once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histoscope import stain
from histoscope.export.cells import Cells
from histoscope.export.result import write_png
from histoscope.models.backends import used
from histoscope.predict.detector import Detector
from histoscope.predict.slides import part as parts_of
from histoscope.predict.slides.files import CELLS, write_cells, write_measures
from histoscope.predict.slides.labels import write_labels
from histoscope.predict.slides.overview import overview_picture
from histoscope.predict.slides.parts import Part, plan_parts
from histoscope.predict.slides.stains import Sample
from histoscope.predict.slides.work import Found, Problem, Scene
from histoscope.predict.unlike import unlike_of_tiles
from histoscope.slides import Slide
from histoscope.slides.tissue import TissueMap
from histoscope.types import Image

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class FindNuclei:
    """Nuclei of a slide from a detector; see `histoscope.predict.slides.work.Work`.

    Parameters
    ----------
    detector : Detector
    """

    detector: Detector
    table = CELLS
    unit = "nuclei"
    outputs = ("geojson", "csv", "labels", "anndata")
    source = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that the detector may give a nucleus."""
        return self.detector.names

    @property
    def mpp(self) -> float:
        """Of the network."""
        return self.detector.network.spec.mpp

    @property
    def normalizer(self) -> stain.Normalizer | None:
        """Of the detector."""
        return self.detector.normalizer

    @property
    def card(self) -> dict[str, Any] | None:
        """Of the detector's model."""
        return self.detector.card

    @property
    def network(self) -> str:
        """Library that runs the detector's network."""
        return used(self.detector.network)

    @property
    def settings(self) -> dict[str, Any]:
        """Model and augmentation."""
        return {"model": self.detector.fingerprint, "tta": self.detector.tta}

    def plan(self, slide: Slide) -> dict[str, Any]:
        """The same for every slide."""
        return self.settings

    def parts(self, slide: Slide, tissue: TissueMap, part_px: int) -> list[Part]:
        """Parts with tissue, row by row."""
        divisor = self.detector.network.spec.divisible_by
        plan = plan_parts(slide.size_at(self.mpp), tissue, self.mpp, part_px=part_px, divisor=divisor)
        return [part for part in plan if part.region is not None]

    def read(self, scene: Scene, part: Part) -> parts_of.Pixels:
        """Pixels of a part with a halo, and with the context that the network needs."""
        return parts_of.read_part(scene.slide, part, self.detector.network.spec, scene.recolor)

    def see(self, scene: Scene, pixels: parts_of.Pixels) -> Any:
        """Output of the network for them."""
        return parts_of.gather(pixels, self.detector, scene.tissue)

    def finish(self, scene: Scene, pixels: parts_of.Pixels, seen: Any) -> tuple["pa.Table", list[Problem]]:
        """Nuclei whose centre lies in the part."""
        slide, classes = scene.slide, self.detector.classes
        places = slide.scale_at(self.mpp), slide.size_at(self.mpp)
        cells, cut = parts_of.decode(pixels, seen, self.detector, scene.tissue, *places)
        table = cells.to_arrow(classes, part=pixels.part.name, slide=slide.quick_hash)
        return table, [*pixels.problems, *cut]

    def none(self, slide: Slide) -> "pa.Table":
        """An empty table of nuclei."""
        classes = self.detector.classes
        return Cells.none(classes).to_arrow(classes, part="", slide="")

    def about(self, slide: Slide) -> dict[str, Any]:
        """Model, and its names for nuclei."""
        return {"classes": list(self.classes), "model": self.detector.fingerprint}

    def write(
        self, slide: Slide, found: Found, kinds: Sequence[str], offset_px: tuple[float, float]
    ) -> dict[str, Any]:
        """Write nuclei for QuPath and others, a picture, and a label map."""
        folder: Path = found.store.folder
        classes = self.classes
        write_cells(folder, classes, kinds, offset_px)
        if "labels" in kinds:
            write_labels(folder / "labels.ome.tif", slide, found, self.mpp)
        write_png(folder / "overview.png", overview_picture(slide, found, classes))

        def tiles() -> list[Image]:
            return Sample.of(slide, found.tissue, self.mpp).tiles

        return write_measures(folder, classes) | unlike_of_tiles(self.detector, tiles, folder)
