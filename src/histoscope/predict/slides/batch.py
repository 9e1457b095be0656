"""Many slides: each in a folder of its own, one row each in the summary; a bad slide stops no other."""

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from histoscope.errors import ConfigError, DataError, HistoscopeError
from histoscope.export.cells_measure import plain
from histoscope.files import require_writable, write_text
from histoscope.images.reading import size_of
from histoscope.jobs.failures import message_of
from histoscope.jobs.journal import Job
from histoscope.jobs.naming import JOURNAL, SUMMARY
from histoscope.predict.batch import OnBegin, OnImage, Outcome
from histoscope.predict.detector import Detector
from histoscope.predict.patch_classifier import PatchClassifier
from histoscope.predict.slides import roi
from histoscope.predict.slides.finish import TISSUE, write_slide
from histoscope.predict.slides.nuclei import FindNuclei
from histoscope.predict.slides.run import PART_PX, OnPart, as_work, check_resolution, plan_of, predict_slide
from histoscope.predict.slides.store import Store
from histoscope.predict.slides.work import Work
from histoscope.predict.unlike import tell_unlike
from histoscope.slides import Slide, open_slide
from histoscope.slides.by_pydicom import first_files
from histoscope.slides.focus import LEAST_FOCUS
from histoscope.slides.hashing import quick_hash
from histoscope.slides.opening import kind_of
from histoscope.tables import read_table, write_table

ROW = "summary.json"
_LARGE_PX = 1 << 26
_TRIES, _PAUSE_S = 3, 2.0


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
    """

    mpp: float | None = None
    reader: str = "auto"
    kinds: tuple[str, ...] = ("geojson",)
    origin: str = "qupath"
    part_px: int = PART_PX
    roi: Path | None = None
    least_focus: float = LEAST_FOCUS
    devices: tuple[str, ...] = ()


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
        with suppress(HistoscopeError, OSError):  # told when its turn comes
            if kind_of(job.image) in {"dicom", "DICOM"}:
                first = firsts(job.image.parent).get(job.image, job.image)
        kept.setdefault(first, job)
    return list(kept.values())


def run(
    model: Detector | PatchClassifier | Work,
    jobs: Sequence[Job],
    out: Path,
    settings: SlideSettings,
    *,
    overwrite: bool = False,
    on_begin: OnBegin | None = None,
    on_image: OnImage | None = None,
    on_part: OnPart | None = None,
) -> Outcome:
    """Predict all slides that are not finished in `out`, and write the summary of all that are in it.

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
    on_begin, on_image, on_part : callable, optional

    Raises
    ------
    ConfigError
        If `out` holds results of images or what the work reads, or a kind of output is not written of such
        work.
    OSError
        If the disk of the results is full; the same call goes on when there is room.
    """
    work = as_work(model)
    _check(work, out, settings.kinds)
    require_writable(out)
    outcome = Outcome()
    if on_begin is not None:
        on_begin(len(jobs))
    rows = []
    anew = {out / job.name for job in jobs} if overwrite else set()
    try:
        for job in jobs:
            folder = out / job.name
            row, is_new = _tried(work, job, folder, settings, anew, on_part)
            rows.append({"image": job.name, **row})
            if row["error"]:
                outcome.failed.append({"path": str(job.image), "error": row["error"]})
            else:
                outcome.done.append({"image": job.name, **row})
                outcome.skipped += not is_new
            if on_image is not None:
                on_image(job.name)
    finally:
        known = {row["image"] for row in rows}
        rows += [row for row in _earlier(out) if row["image"] not in known]
        write_summary(out / SUMMARY, sorted(rows, key=lambda row: str(row["image"])))
    if isinstance(work, FindNuclei):
        tell_unlike(work.detector.card, outcome.done, "slide")
    return outcome


def _check(work: Work, out: Path, kinds: Sequence[str]) -> None:
    """Refuse outputs that such work does not write, and a folder that holds other things."""
    for kind in kinds:
        if kind not in work.outputs:
            raise ConfigError(f"{kind}: of {work.unit} are written {', '.join(work.outputs)}; leave it out")
    if (out / JOURNAL).is_file():
        raise ConfigError(f"{out} holds results of images ({JOURNAL}); give slides another OUT")
    if work.source is not None:
        one, other = work.source.resolve(), out.resolve()
        if one == other or other in one.parents or one in other.parents:
            raise ConfigError(f"{out} and {work.source}, which is read, lie in one another; give another OUT")


def _earlier(out: Path) -> Iterator[dict[str, Any]]:
    """Rows of the slides that other calls finished in a folder, or failed at."""
    finished = set()
    for path in out.rglob(ROW):
        name = path.parent.relative_to(out).as_posix()
        with suppress(ValueError, KeyError, TypeError, OSError):
            yield {"image": name, **json.loads(path.read_text(encoding="utf-8"))["row"]}
            finished.add(name)
    if (out / SUMMARY).is_file():
        table = read_table(out / SUMMARY, text={"image", "slide", "error"})
        for row in table.reindex(columns=["image", "slide", "error"]).to_dict("records"):
            if row["error"] and row["image"] not in finished:
                yield {str(key): value for key, value in row.items()}


def write_summary(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one row a slide; of a slide that failed, why."""
    rows = list(rows)
    table = pd.DataFrame(rows)
    for name in table.columns:  # a row without a number must not make floats of the others
        if all(isinstance(row.get(name, 0), int) for row in rows):
            table[name] = table[name].astype("Int64")
    if len(table):
        last = [name for name in ("problems", "error") if name in table]
        table = table[[*(name for name in table.columns if name not in last), *last]]
        write_table(path, table)


def _tried(
    work: Work,
    job: Job,
    folder: Path,
    settings: SlideSettings,
    anew: set[Path],
    on_part: OnPart | None,
) -> tuple[dict[str, Any], bool]:
    """The row of one slide, and whether there was something to do; errors of disks are tried again."""
    for attempt in range(_TRIES):
        try:
            with open_slide(job.image, settings.reader, settings.mpp) as slide:
                return _done(work, slide, folder, settings, anew, on_part)
        except Exception as error:  # noqa: BLE001  (no slide may end the batch)
            failed = {"slide": job.image.name, "error": message_of(job, error)}
            is_of_disk = isinstance(error, OSError) and not isinstance(error, HistoscopeError)
            if not is_of_disk or attempt == _TRIES - 1:
                return failed, True
            time.sleep(_PAUSE_S * 2**attempt)
    raise AssertionError("unreachable")


def _done(
    work: Work,
    slide: Slide,
    folder: Path,
    settings: SlideSettings,
    anew: set[Path],
    on_part: OnPart | None,
) -> tuple[dict[str, Any], bool]:
    check_resolution(slide, work.mpp)  # before a folder is made
    plan = plan_of(slide, work, part_px=settings.part_px)
    annotations = [] if settings.roi is None else roi.files_of(slide.path, settings.roi)
    if any(one.resolve() == (folder / TISSUE).resolve() for one in annotations):
        raise ConfigError(f"--roi {folder / TISSUE} is written anew by this call; give a copy of it")
    if annotations:
        plan["roi"] = f"{roi.digest_of(annotations)}, origin {settings.origin}"
    else:
        plan["least_focus"] = settings.least_focus
    with Store.hold(folder, plan, work.table, overwrite=folder in anew) as store:
        anew.discard(folder)  # tried again after an error of the disk, it goes on
        written = {"kinds": list(settings.kinds), "origin": settings.origin}
        before = _row_of(store, written)
        if before is not None:
            return before, False
        region = roi.region_of(slide, annotations, origin=settings.origin) if annotations else None
        found = predict_slide(
            slide,
            work,
            store,
            part_px=settings.part_px,
            region=region,
            least_focus=settings.least_focus,
            devices=settings.devices,
            on_part=on_part,
        )
        if quick_hash(slide.reader.files) != slide.quick_hash:
            raise DataError(
                f"{slide.path} was changed while it was read; run again with --overwrite when it is complete"
            )
        row = plain(write_slide(slide, found, kinds=settings.kinds, origin=settings.origin))
        row["error"] = ""
        write_text(folder / ROW, json.dumps({**written, "row": row}, indent=2, allow_nan=False) + "\n")
        return row, True


def _row_of(store: Store, written: dict[str, Any]) -> dict[str, Any] | None:
    """Row of a slide that is finished with these outputs, else None."""
    path = store.folder / ROW
    if not path.is_file() or not (store.folder / store.table).is_file():
        return None
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    row: dict[str, Any] = known.pop("row", {})
    return row if known == written else None
