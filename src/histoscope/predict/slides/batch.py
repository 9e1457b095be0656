"""Many slides: each in a folder of its own, one row each in the summary; a bad slide stops no other."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from histoscope.data.annotations.files import of_slides
from histoscope.errors import ConfigError, HistoscopeError
from histoscope.files import require_writable
from histoscope.images.reading import size_of
from histoscope.jobs.executor import Executor, Here, News, Opener
from histoscope.jobs.journal import Job
from histoscope.jobs.naming import JOURNAL
from histoscope.ledger import Rows, Task
from histoscope.places import is_remote, put, require_put
from histoscope.predict.batch import OnImage, Outcome
from histoscope.predict.detector import Detector
from histoscope.predict.patch_classifier import PatchClassifier
from histoscope.predict.slides import planning, summary
from histoscope.predict.slides.files import CELLS
from histoscope.predict.slides.nuclei import FindNuclei
from histoscope.predict.slides.one import OneSlide
from histoscope.predict.slides.run import PART_PX, OnPart, as_work
from histoscope.predict.slides.work import Work
from histoscope.predict.unlike import tell_unlike
from histoscope.slides import open_slide
from histoscope.slides.by_pydicom import first_files
from histoscope.slides.focus import LEAST_FOCUS
from histoscope.slides.opening import kind_of
from histoscope.slides.staging import LIMIT_BYTES

_LARGE_PX = 1 << 26


@dataclass(frozen=True, slots=True)
class SlideSettings:
    """How slides are read and what is written of them.

    Parameters
    ----------
    mpp : float, optional
        Micrometres per pixel of all slides, in place of what they say.
    reader : str
        As for `histoscope.slides.open_slide`.
    kinds : tuple of str
        What is written beside the Parquet file: ``geojson``, ``csv``; of nuclei also ``labels``, ``anndata``.
    origin : {"qupath", "slide"}
        Where places of the GeoJSON begin.
    part_px : int
        Side of a part, in pixels of the network.
    roi : Path, optional
        Annotations that take the place of the tissue: a file, or a folder with one for each slide.
    least_focus : float
        Tissue less sharp than this is left out, see `histoscope.slides.focus`; 0 leaves none out.
    devices : tuple of str
        Such as ``cuda:0``; parts go round them. With none, the network stays where it is.
    stage : Path, optional
        Where copies of slides that are elsewhere lie, if they cannot be read in place.
    stage_limit_bytes : int
        Of all of them together.
    put_to : Path, optional
        A place elsewhere to which the files of each slide are copied when it is done.
    """

    mpp: float | None = None
    reader: str = "auto"
    kinds: tuple[str, ...] = ("geojson",)
    origin: str = "qupath"
    part_px: int = PART_PX
    roi: Path | None = None
    least_focus: float = LEAST_FOCUS
    devices: tuple[str, ...] = ()
    stage: Path | None = None
    stage_limit_bytes: int = LIMIT_BYTES
    put_to: Path | None = None


def is_slide(path: Path) -> bool:
    """Whether a file is a slide rather than an image: of a scanner, a pyramid, or above 64 megapixels."""
    try:
        kind = kind_of(path)
        if kind == "picture":
            return math.prod(size_of(path)) > _LARGE_PX
        if kind in {"aperio", "dicom", "DICOM", "other slide"}:
            return True
        with open_slide(path) as slide:
            return len(slide.levels) > 1 or slide.size[0] * slide.size[1] > _LARGE_PX
    except (HistoscopeError, OSError):
        return False  # told when its turn comes


def one_a_slide(jobs: Sequence[Job]) -> list[Job]:
    """Of the DICOM files of a series only the first; all other slides are one file each."""
    firsts = cache(first_files)  # of each folder once, however many files it has
    kept: dict[Path, Job] = {}
    for job in jobs:
        first = job.image
        if is_remote(first) and first.suffix.lower() != ".dcm":  # each look costs a question
            kept[first] = job
            continue
        with suppress(HistoscopeError, OSError):  # told when its turn comes
            if kind_of(job.image) in {"dicom", "DICOM"}:
                first = firsts(job.image.parent).get(job.image, job.image)
        kept.setdefault(first, job)
    return list(kept.values())


@dataclass(frozen=True, slots=True)
class Cohort:
    """Slides that any number of workers do together, in one folder of results.

    Parameters
    ----------
    out : Path
    tasks : list of Task
        One a slide, in the order in which they were given.
    put_to : Path, optional
        As for `SlideSettings`.
    """

    out: Path
    tasks: list[Task]
    put_to: Path | None = None

    @classmethod
    def plan(
        cls,
        work: Work,
        jobs: Sequence[Job],
        out: Path,
        settings: SlideSettings,
        *,
        overwrite: bool = False,
        retry_failed: bool = False,
    ) -> Self:
        """Agree on what is to be done with all others who start on the same folder.

        Parameters
        ----------
        work, jobs, out, settings, overwrite, retry_failed
            As for `run`.

        Raises
        ------
        ConfigError
            As for `run`.
        """
        _check(work, out, settings.kinds)
        require_writable(out)
        own: dict[str, Any] = {"part_px": settings.part_px, "mpp": settings.mpp}
        if settings.roi is None:
            own["least_focus"] = settings.least_focus
        else:
            own["roi"] = f"{settings.roi.resolve()}, origin {settings.origin}"
        shown: dict[str, Any] = {"kinds": list(settings.kinds), "origin": settings.origin}
        shown |= {"reader": settings.reader}
        if settings.put_to is not None:
            shown["put_to"] = str(settings.put_to)
            require_put(settings.put_to)
        if work.source is not None:
            shown["source"] = [str(work.source), *planning.stamp([work.source, *work.source.rglob(CELLS)])]
        slides = [job.image for job in jobs]
        extra = {} if settings.roi is None else of_slides(slides, settings.roi)
        tasks = planning.planned(jobs, out, work.settings, own, shown, extra, overwrite=overwrite)
        planning.forget(tasks, out, retry_failed=retry_failed)
        return cls(out, tasks, settings.put_to)

    def do(self, executor: Executor, opener: Opener) -> Outcome:
        """Do what is not done yet, and write the tables of all that is, whatever happens.

        Parameters
        ----------
        executor : Executor
        opener : Opener
            Opens a `OneSlide`, say.

        Raises
        ------
        OSError
            If the disk of the results is full, or may not be written any more; the same call goes on.
        """
        before = Rows(self.out / planning.LEDGER / "rows").names()
        try:
            executor(self.out / planning.LEDGER, self.tasks, opener)
        finally:
            found = summary.write(self.out, self.tasks)
            if self.put_to is not None:
                for path in sorted(self.out.iterdir()):
                    if path.is_file() and path.name[0] != ".":
                        put(path, self.put_to / path.name)
        outcome = Outcome()
        for task in self.tasks:
            row = found.get(task.name)
            if row is None:
                continue  # another worker has it
            if row.error:
                outcome.failed.append({"path": task.what, "error": row.error})
                outcome.failed_before += task.row in before
            else:
                outcome.done.append({"image": task.name, **row.row})
                outcome.skipped += task.row in before or not row.about.get("is_new", True)
        return outcome


def run(
    model: Detector | PatchClassifier | Work,
    jobs: Sequence[Job],
    out: Path,
    settings: SlideSettings,
    *,
    overwrite: bool = False,
    retry_failed: bool = False,
    on_image: OnImage | None = None,
    on_part: OnPart | None = None,
) -> Outcome:
    """Predict all slides that are not finished in `out`, and write the summary of all that are in it.

    Other calls on the same folder, on whatever machines, share the work: each slide is done by one of them.

    Parameters
    ----------
    model : Detector, PatchClassifier or Work
        Nuclei are found, or tiles classified.
    jobs : sequence of Job
        From `histoscope.predict.batch.plan`.
    out : Path
    settings : SlideSettings
    overwrite : bool
        Discard what `out` holds of these slides, finished or not, of whatever plan.
    retry_failed : bool
        Try slides again at which an earlier call failed; what may pass, such as an error of a disk, is tried
        again without it.
    on_image, on_part : callable, optional

    Raises
    ------
    ConfigError
        If `out` holds results of images, of other settings or what the work reads, or a kind of output is not
        written of such work.
    OSError
        If the disk of the results is full; the same call goes on when there is room.
    """
    work = as_work(model)
    cohort = Cohort.plan(work, jobs, out, settings, overwrite=overwrite, retry_failed=retry_failed)

    def hear(news: News) -> None:
        if on_image is not None and news.stage == "ended":
            on_image(news.task)

    outcome = cohort.do(Here(on_news=hear), lambda *_: OneSlide(work, out, settings, on_part))
    tell(work, outcome)
    return outcome


def tell(work: Work, outcome: Outcome) -> None:
    """Warn of slides that look unlike those that classes were learned from."""
    if isinstance(work, FindNuclei):
        tell_unlike(work.detector.card, outcome.done, "slide")


def _check(work: Work, out: Path, kinds: Sequence[str]) -> None:
    """Refuse outputs that such work does not write, and a folder that holds other things."""
    for kind in kinds:
        if kind not in work.outputs:
            raise ConfigError(
                f"{kind} cannot be written for {work.unit}, only {', '.join(work.outputs)}; leave it out"
            )
    if (out / JOURNAL).is_file():
        raise ConfigError(f"{out} holds results of images ({JOURNAL}); give slides another OUT")
    if work.source is not None:
        one, other = work.source.resolve(), out.resolve()
        if one == other or other in one.parents or one in other.parents:
            raise ConfigError(
                f"one of OUT, {out}, and the input, {work.source}, is inside the other; give another OUT"
            )
