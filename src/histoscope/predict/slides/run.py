"""Processing a whole slide part by part, with reading, network and post-processing in parallel."""

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from itertools import cycle
from typing import Any

from histoscope import __version__
from histoscope.errors import ConfigError
from histoscope.memory import give_back
from histoscope.models.pixel_sizes import warn_outside
from histoscope.predict.detector import Detector
from histoscope.predict.patch_classifier import PatchClassifier
from histoscope.predict.slides.copies import on_devices
from histoscope.predict.slides.nuclei import FindNuclei
from histoscope.predict.slides.stains import Sample, recolor_of
from histoscope.predict.slides.store import STAINS, Store
from histoscope.predict.slides.tiles import ClassifyTiles
from histoscope.predict.slides.work import Found, Scene, Work
from histoscope.slides import Slide
from histoscope.slides.focus import LEAST_FOCUS
from histoscope.slides.quality import quality_of
from histoscope.slides.tissue import TissueMap, find_tissue
from histoscope.threads import in_order

PART_PX = 4096
COARSEST = 2.5
"""How many times coarser than the network's resolution a slide may be."""

OnPart = Callable[[int, int, int], None]
"""Called with the number of finished parts, of all parts, and of rows found."""


def as_work(model: Detector | PatchClassifier | Work) -> Work:
    """Work of a model on a slide: a detector finds nuclei, a classifier classifies tiles."""
    if isinstance(model, Detector):
        return FindNuclei(model)
    return ClassifyTiles(model) if isinstance(model, PatchClassifier) else model


def predict_slide(
    slide: Slide,
    model: Detector | PatchClassifier | Work,
    store: Store,
    *,
    part_px: int = PART_PX,
    region: TissueMap | None = None,
    least_focus: float = LEAST_FOCUS,
    devices: Sequence[str] = (),
    on_part: OnPart | None = None,
) -> Found:
    """Do the work on all parts of a slide; existing parts are kept.

    While the network processes one part, the next is read and the previous one is finished and written, so
    three are in memory, whatever the size of the slide.

    Parameters
    ----------
    slide : Slide
    model : Detector, PatchClassifier or Work
        It finds nuclei, each exactly once, or classifies tiles.
    store : Store
    part_px : int
        Side of a part, in pixels of the network.
    region : TissueMap, optional
        Used instead of the tissue.
    least_focus : float
        Tissue less sharp than this is left out, see `histoscope.slides.focus`; a region is not changed.
    devices : sequence of str
        Such as ``cuda:0``; parts are distributed over them in turn. With none, the network stays where it is.
    on_part : callable, optional
    """
    works = on_devices(as_work(model), devices)
    work = works[0]
    check_resolution(slide, work.mpp)
    warn_outside(max(slide.known_mpp()), work.card)
    tissue, overview = find_tissue(slide, least_focus=0.0 if region else least_focus)
    if region is not None:
        tissue = region
    wanted = work.parts(slide, tissue, part_px)
    todo = [part for part in wanted if not store.has(part.name)]
    n_rows = sum(store.rows(part.name) for part in wanted if part not in todo)
    done = len(wanted) - len(todo)
    if on_part is not None:
        on_part(done, len(wanted), n_rows)
    sample = Sample.of(slide, tissue, work.mpp)
    scene = Scene(slide, tissue, recolor_of(sample, work.normalizer, store.folder / STAINS))
    with closing(_rows_of(scene, works, todo, store)) as written:
        for n in written:
            done, n_rows = done + 1, n_rows + n
            if on_part is not None:
                on_part(done, len(wanted), n_rows)
    names = tuple(part.name for part in wanted)
    problems = [row for name in names for row in store.problems(name)]
    return Found(work, store, names, part_px, n_rows, tissue, quality_of(sample.tiles), overview, problems)


def plan_of(
    slide: Slide, model: Detector | PatchClassifier | Work, *, part_px: int = PART_PX
) -> dict[str, Any]:
    """Everything that the rows of a slide depend on."""
    return {
        "histoscope": __version__,
        "slide": slide.quick_hash,
        "size_px": list(slide.size),
        "mpp": None if slide.mpp is None else list(slide.mpp),
        **as_work(model).plan(slide),
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


def _rows_of(
    scene: Scene, works: Sequence[Work], todo: Sequence[Any], store: Store
) -> Generator[int, None, None]:
    """Number of rows of each part, once written; parts go to the works in turn, one for each device."""

    def read(part: Any) -> tuple[str, Any]:
        return part.name, works[0].read(scene, part)

    def finish(name: str, pixels: Any, seen: Any) -> int:
        rows, problems = works[0].finish(scene, pixels, seen)
        give_back()
        store.write(name, rows, [asdict(each) for each in problems])
        return len(rows)

    behind: Future[int] | None = None
    with ThreadPoolExecutor(1, "finish") as finisher:
        with (
            closing(in_order(read, todo, ahead=len(works), name="read")) as every,
            closing(_seen(scene, works, every)) as each,
        ):
            for name, pixels, seen in each:
                if behind is not None:
                    yield behind.result()
                behind = finisher.submit(finish, name, pixels, seen)
        if behind is not None:
            yield behind.result()


def _seen(
    scene: Scene, works: Sequence[Work], every: Iterable[tuple[str, Any]]
) -> Generator[tuple[str, Any, Any], None, None]:
    """Parts with their network output, in order; as many at a time as there are works."""

    def see(given: tuple[Work, tuple[str, Any]]) -> tuple[str, Any, Any]:
        work, (name, pixels) = given
        return name, pixels, work.see(scene, pixels)

    given = zip(cycle(works), every, strict=False)
    if len(works) == 1:
        yield from map(see, given)
        return
    # One fewer ahead than works: a work gets a part once its previous one has been yielded.
    with closing(in_order(see, given, workers=len(works), ahead=len(works) - 1, name="device")) as seen:
        yield from seen
