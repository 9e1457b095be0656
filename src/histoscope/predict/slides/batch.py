"""Many slides: a folder and a row of the summary for each; a bad slide does not stop the others."""

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
    """How slides are read and what is written for them.

    Parameters
    ----------
    mpp : float, optional
        Micrometres per pixel of all slides, instead of their own.
    reader : str
        As for `histoscope.slides.open_slide`.
    kinds : tuple of str
        Files besides the Parquet file: ``geojson``, ``csv``; for nuclei also ``labels``, ``anndata``.
    origin : {"qupath", "slide"}
        Origin of the GeoJSON coordinates.
    part_px : int
        Side of a part, in pixels of the network.
    roi : Path, optional
        Annotations to use instead of the tissue: a file, or a folder with one for each slide.
    least_focus : float
        Tissue less sharp than this is left out, see `histoscope.slides.focus`; 0 keeps all.
    devices : tuple of str
        Such as ``cuda:0``; parts are distributed over them in turn. With none, the network stays where it is.
    stage : Path, optional
        Folder for copies of remote slides that cannot be read in place.
    stage_limit_bytes : int
        Maximum size of all copies together.
    put_to : Path, optional
        Remote place to which the files of each finished slide are copied.
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
    """Whether a file is a slide rather than an image: from a scanner, a pyramid, or above 64 megapixels."""
    try:
        kind = kind_of(path)
        if kind == "picture":
            return math.prod(size_of(path)) > _LARGE_PX
        if kind in {"aperio", "dicom", "DICOM", "other slide"}:
            return True
        with open_slide(path) as slide:
            return len(slide.levels) > 1 or slide.size[0] * slide.size[1] > _LARGE_PX
    except (HistoscopeError, OSError):
        return False  # reported when its turn comes


def one_a_slide(jobs: Sequence[Job]) -> list[Job]:
    """Only the first of a series of DICOM files; all other slides are one file each."""
    firsts = cache(first_files)  # of each folder once, however many files it has
    kept: dict[Path, Job] = {}
    for job in jobs:
        first = job.image
        if is_remote(first) and first.suffix.lower() != ".dcm":  # each look costs a request
            kept[first] = job
            continue
        with suppress(HistoscopeError, OSError):  # reported when its turn comes
            if kind_of(job.image) in {"dicom", "DICOM"}:
                first = firsts(job.image.parent).get(job.image, job.image)
        kept.setdefault(first, job)
    return list(kept.values())


@dataclass(frozen=True, slots=True)
class Cohort:
    """Slides that any number of workers process together, in one folder of results.

    Parameters
    ----------
    out : Path
    tasks : list of Task
        One per slide, in the order given.
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
        """Agree on the tasks with all other processes that start on the same folder.

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
        """Process the unfinished slides, and write the tables of all finished ones in any case.

        Parameters
        ----------
        executor : Executor
        opener : Opener
            Opens a `OneSlide`, for example.

        Raises
        ------
        OSError
            If the disk of the results is full or no longer writable; the same call resumes.
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
                continue  # another worker processes it
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
    """Predict all slides that are not finished in `out`, and write the summary of all slides in it.

    Other calls on the same folder, on any machine, share the work: each slide is processed by one of them.

    Parameters
    ----------
    model : Detector, PatchClassifier or Work
        It finds nuclei, or classifies tiles.
    jobs : sequence of Job
        From `histoscope.predict.batch.plan`.
    out : Path
    settings : SlideSettings
    overwrite : bool
        Discard all results of these slides in `out`, finished or not, of any plan.
    retry_failed : bool
        Retry slides that failed in an earlier call; temporary failures, such as disk errors, are retried in
        any case.
    on_image, on_part : callable, optional

    Raises
    ------
    ConfigError
        If `out` holds results of images or of other settings, or the input, or a kind of output is not
        available for such work.
    OSError
        If the disk of the results is full; the same call resumes when there is space.
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
    """Warn about slides that look different from those that classes were learned from."""
    if isinstance(work, FindNuclei):
        tell_unlike(work.detector.card, outcome.done, "slide")


def _check(work: Work, out: Path, kinds: Sequence[str]) -> None:
    """Refuse outputs that are not available for such work, and a folder with other content."""
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
