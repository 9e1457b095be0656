"""Work on a slide, part by part: the interface of finding nuclei and classifying tiles or cells."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from histoscope import stain
from histoscope.predict.slides.store import Store
from histoscope.slides import Slide
from histoscope.slides.salvage import Broken
from histoscope.slides.tissue import TissueMap
from histoscope.types import Image

if TYPE_CHECKING:
    import pyarrow as pa

Recolor: TypeAlias = Callable[[Image], Image]
"""The stain normaliser with the stains of a slide."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A place on a slide that could not be read, or where a result is uncertain.

    Parameters
    ----------
    part : str
    x_px, y_px, width_px, height_px : int
        In the pixels of the network's resolution.
    error : str
    """

    part: str
    x_px: int
    y_px: int
    width_px: int
    height_px: int
    error: str


def problems_of(part: str, broken: Iterable[Broken]) -> list[Problem]:
    """Places of a part that could not be read, from `histoscope.slides.salvage.read_salvaged`."""
    return [Problem(part, *one.box, one.why) for one in broken]


@dataclass(frozen=True, eq=False, slots=True)
class Scene:
    """A slide whose parts are being read.

    Parameters
    ----------
    slide : Slide
    tissue : TissueMap
    recolor : callable
        The stain normaliser with the stains of the slide.
    """

    slide: Slide
    tissue: TissueMap
    recolor: Recolor


class Work(Protocol):
    """Processing of each part of a slide, and writing of the final files.

    The types of parts, of their pixels and of the network output are internal to the work; a part has a
    ``name``. `read` runs ahead of the network and `finish` behind it, each in its own thread.

    Attributes
    ----------
    table : str
        Name of the file with a row for each object found.
    unit : str
        What a row is: ``nuclei`` or ``tiles``.
    outputs : tuple of str
        Kinds of files that can be written beside the table.
    source : Path or None
        Earlier results that are read; new ones are kept separate.
    classes : tuple of str
        Names of class 1, 2, ..., and `unsure` if class 0 may be.
    mpp : float
        Of the network.
    normalizer : Normalizer or None
    card : dict or None
        Of the model.
    network : str
        The library that runs it, and the precision.
    """

    @property
    def table(self) -> str: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def outputs(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def source(self) -> Path | None: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def mpp(self) -> float: ...  # noqa: D102
    @property
    def normalizer(self) -> stain.Normalizer | None: ...  # noqa: D102
    @property
    def card(self) -> dict[str, Any] | None: ...  # noqa: D102
    @property
    def network(self) -> str: ...  # noqa: D102

    @property
    def settings(self) -> dict[str, Any]:
        """What the rows of all slides depend on, as plain values."""
        ...

    def plan(self, slide: Slide) -> dict[str, Any]:
        """The settings, and what else the rows of a slide depend on apart from the slide."""
        ...

    def parts(self, slide: Slide, tissue: TissueMap, part_px: int) -> list[Any]:
        """Parts with something to do, each with a name."""
        ...

    def read(self, scene: Scene, part: Any) -> Any:
        """Pixels of a part."""
        ...

    def see(self, scene: Scene, pixels: Any) -> Any:
        """Output of the network for them."""
        ...

    def finish(self, scene: Scene, pixels: Any, seen: Any) -> tuple["pa.Table", list[Problem]]:
        """Rows of the table, and places that could not be read."""
        ...

    def none(self, slide: Slide) -> "pa.Table":
        """The table without rows."""
        ...

    def about(self, slide: Slide) -> dict[str, Any]:
        """Metadata of the table, in addition to those of every slide."""
        ...

    def write(
        self, slide: Slide, found: "Found", kinds: Sequence[str], offset_px: tuple[float, float]
    ) -> dict[str, Any]:
        """Write the final files; returns its own columns of the summary."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """Results of a slide.

    Parameters
    ----------
    work : Work
    store : Store
    parts : tuple of str
        Names of the parts with tissue, row by row.
    part_px : int
        Side of a part, in pixels of the network.
    n_rows : int
        Nuclei, or tiles.
    tissue : TissueMap
    quality : dict
        From `histoscope.slides.quality.quality_of`.
    overview : (h, w, 3) uint8
        The slide at 8 um per pixel.
    problems : list of dict
        Places that could not be read.
    """

    work: Work
    store: Store
    parts: tuple[str, ...]
    part_px: int
    n_rows: int
    tissue: TissueMap
    quality: dict[str, Any]
    overview: Image = field(repr=False)
    problems: list[dict[str, Any]]
