"""Nuclei of a whole slide: reading, network and decoding beside each other, part by part."""

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

from histoscope import __version__
from histoscope.errors import ConfigError
from histoscope.predict.detector import Detector
from histoscope.predict.slides import part as parts_of
from histoscope.predict.slides.part import Recolor
from histoscope.predict.slides.parts import Part, plan_parts
from histoscope.predict.slides.stains import Sample, recolor_of
from histoscope.predict.slides.store import STAINS, Store
from histoscope.slides import Slide
from histoscope.slides.quality import quality_of
from histoscope.slides.tissue import TissueMap, find_tissue
from histoscope.threads import in_order
from histoscope.types import Image

PART_PX = 4096
COARSEST = 2.5
"""Times coarser than the network's resolution a slide may be; nuclei of coarser ones have too few pixels."""

OnPart = Callable[[int, int, int], None]
"""Told how many parts are done, of how many, and how many nuclei were found."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found on a slide.

    Parameters
    ----------
    store : Store
    parts : tuple of str
        Names of the parts with tissue, row by row.
    part_px : int
        Side of a part, in pixels of the network.
    n_cells : int
    tissue : TissueMap
    quality : dict
        From `histoscope.slides.quality.quality_of`.
    overview : (h, w, 3) uint8
        The slide at 8 um a pixel.
    problems : list of dict
        Places that could not be read.
    """

    store: Store
    parts: tuple[str, ...]
    part_px: int
    n_cells: int
    tissue: TissueMap
    quality: dict[str, Any]
    overview: Image = field(repr=False)
    problems: list[dict[str, Any]]


def predict_slide(
    slide: Slide,
    detector: Detector,
    store: Store,
    *,
    part_px: int = PART_PX,
    region: TissueMap | None = None,
    on_part: OnPart | None = None,
) -> Found:
    """Find the nuclei of a slide, each exactly once; parts that are there already are kept.

    While the network sees one part, the next is read and the one before is decoded and written, so three are
    in memory, whatever the size of the slide.
    """
    mpp = detector.network.spec.mpp
    check_resolution(slide, mpp)
    tissue, overview = find_tissue(slide)
    if region is not None:
        tissue = region
    plan = plan_parts(
        slide.size_at(mpp), tissue, mpp, part_px=part_px, divisor=detector.network.spec.divisible_by
    )
    wanted = [part for part in plan if part.region is not None]
    todo = [part for part in wanted if not store.has(part.name)]
    n_cells = sum(store.rows(part.name) for part in wanted if part not in todo)
    done = len(wanted) - len(todo)
    if on_part is not None:
        on_part(done, len(wanted), n_cells)
    sample = Sample.of(slide, tissue, mpp)
    recolor = recolor_of(sample, detector.normalizer, store.folder / STAINS)
    with closing(_cells_of(slide, todo, detector, tissue, recolor, store)) as written:
        for n in written:
            done, n_cells = done + 1, n_cells + n
            if on_part is not None:
                on_part(done, len(wanted), n_cells)
    names = tuple(part.name for part in wanted)
    problems = [row for name in names for row in store.problems(name)]
    return Found(store, names, part_px, n_cells, tissue, quality_of(sample.tiles), overview, problems)


def plan_of(slide: Slide, detector: Detector, *, part_px: int = PART_PX) -> dict[str, Any]:
    """All that the cells of a slide depend on."""
    return {
        "histoscope": __version__,
        "slide": slide.quick_hash,
        "size_px": list(slide.size),
        "mpp": None if slide.mpp is None else list(slide.mpp),
        "model": detector.fingerprint,
        "tta": detector.tta,
        "part_px": part_px,
    }


def check_resolution(slide: Slide, mpp: float) -> None:
    """Refuse a slide whose resolution is unknown, or too coarse for a network.

    Raises
    ------
    ConfigError
    """
    coarsest = max(slide.known_mpp())
    if coarsest > COARSEST * mpp:
        raise ConfigError(
            f"{slide.path} has {coarsest:.4g} um/px, expected {COARSEST * mpp:.4g} or finer for a network of "
            f"{mpp:g} um/px: it is an overview; give the slide at full resolution"
        )


def _cells_of(
    slide: Slide, todo: list[Part], detector: Detector, tissue: TissueMap, recolor: Recolor, store: Store
) -> Generator[int, None, None]:
    """Number of cells of each part, when it is written."""
    mpp, digest = detector.network.spec.mpp, slide.quick_hash
    scale, size = slide.scale_at(mpp), slide.size_at(mpp)

    def read(part: Part) -> parts_of.Pixels:
        return parts_of.read_part(slide, part, detector.network.spec, recolor)

    def finish(pixels: parts_of.Pixels, gathered: Any) -> int:
        cells, cut = parts_of.decode(pixels, gathered, detector, tissue, scale, size)
        table = cells.to_arrow(detector.classes, part=pixels.part.name, slide=digest)
        store.write(pixels.part.name, table, [asdict(each) for each in (*pixels.problems, *cut)])
        return len(cells)

    behind: Future[int] | None = None
    with ThreadPoolExecutor(1, "decode") as decoder:
        with closing(in_order(read, todo, ahead=1, name="read")) as every:
            for pixels in every:
                gathered = parts_of.gather(pixels, detector)
                if behind is not None:
                    yield behind.result()
                behind = decoder.submit(finish, pixels, gathered)
        if behind is not None:
            yield behind.result()
