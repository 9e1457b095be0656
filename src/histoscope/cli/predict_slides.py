"""``histoscope predict`` of whole slides."""

import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from histoscope.cli.given import refuse_given
from histoscope.cli.workers import executor_of, is_ray, reached
from histoscope.errors import ConfigError
from histoscope.jobs.naming import SUMMARY
from histoscope.words import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from histoscope.jobs.journal import Job
    from histoscope.predict.batch import Outcome
    from histoscope.predict.slides.batch import Cohort
    from histoscope.predict.slides.opening import OpenModel
    from histoscope.predict.slides.work import Work

_MOST_LINES = 20
SLIDES_ONLY = (
    *("reader", "origin", "roi", "least_focus", "csv", "labels", "anndata", "cells"),
    *("workers", "claim", "retry_failed", "stage", "stage_limit", "work"),
)
"""Parameters that have no effect on images."""


def takes_slides(jobs: "list[Job]", out: Path, shown: str) -> bool:
    """Whether to treat the files as slides: all of them if one is, or if they were before."""
    from histoscope.images.kinds import only_as_slide
    from histoscope.places import is_remote
    from histoscope.predict.slides.batch import is_slide
    from histoscope.predict.slides.planning import names_in_plan

    elsewhere = [job.image for job in jobs if is_remote(job.image)]
    if elsewhere and shown not in {"auto", "slide"}:
        raise ConfigError(
            f"{elsewhere[0]}: only slides can be read from remote storage; copy images to a disk"
        )
    if elsewhere or shown != "auto":
        return bool(elsewhere) or shown == "slide"
    known = names_in_plan(out)
    if known and all(str(job.image.resolve()) in known for job in jobs):
        return True  # so that only the first of many workers opens them all
    slides = [job for job in jobs if only_as_slide(job.image) or is_slide(job.image)]
    if slides and len(slides) < len(jobs):
        others = count(len(jobs) - len(slides), "image")
        typer.echo(f"{others} besides {count(len(slides), 'slide')}: all are treated as slides", err=True)
    return bool(slides)


def places_of(
    out: Path, work: Path | None, stage: Path | None, stage_limit: str
) -> tuple[Path, dict[str, Any]]:
    """The local folder that results are written to, and settings for remote slides and results.

    Raises
    ------
    ConfigError
    """
    from histoscope.places import is_remote, place

    unit = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([MGT]B)", stage_limit.strip().upper())
    if found is None:
        raise ConfigError(f"--stage-limit is {stage_limit!r}, expected a size such as 50GB or 500MB")
    placed: dict[str, Any] = {"stage": stage, "stage_limit_bytes": int(float(found[1]) * unit[found[2]])}
    for name, path in (("--stage", stage), ("--work", work)):
        if path is not None and is_remote(path):
            raise ConfigError(f"{name} {place(path)}: expected a folder on a disk")
    if not is_remote(out):
        if work is not None:
            raise ConfigError("--work is for a remote OUT, such as s3://; leave it out")
        return out, {**placed, "put_to": None}
    if work is None:
        raise ConfigError(
            f"{place(out)}: the ledger and unfinished results need a disk; give --work DIR, a folder that "
            "all workers can see"
        )
    return work, {**placed, "put_to": place(out)}


def refuse(context: typer.Context, shown: str, *, classifies: bool, as_slides: bool, has_cells: bool) -> None:
    """Refuse options that have no effect on such files with such a model.

    Raises
    ------
    ConfigError
    """
    if as_slides:
        refuse_given(context, "only", because="is for images; slides have --csv, --labels, --anndata")
    else:
        refuse_given(
            context,
            *SLIDES_ONLY,
            because="is for slides, but these are images (to treat them as slides: --as slide)",
        )
    if not classifies:
        if shown in {"patch", "tiles"}:
            raise ConfigError(f"--as {shown} is for classifiers, but this model finds nuclei; leave it out")
        refuse_given(
            context, "least_tissue", "cells", because="is for classifiers, but this model finds nuclei"
        )
        return
    if shown == "image":
        raise ConfigError("--as image is for models of nuclei, but this one is a classifier; leave it out")
    refuse_given(context, "least_area", because="is for models of nuclei, but this one is a classifier")
    if has_cells:
        if shown not in {"auto", "slide"}:
            raise ConfigError(f"--as {shown} has no effect with --cells; leave it out")
        refuse_given(
            context,
            *("roi", "least_focus", "least_tissue", "labels"),
            because="has no effect with --cells",
        )
    elif as_slides:
        refuse_given(context, "labels", "anndata", because="is for nuclei, but here tiles are classified")


@dataclass(frozen=True, slots=True)
class Start:
    """How slides are distributed.

    Parameters
    ----------
    workers : str
        Processes of this call, or a Ray cluster; see `histoscope.cli.workers`.
    claim : bool
        Whether it is one of several calls that share OUT, and may exit before all is done.
    overwrite, retry_failed : bool
        As for `histoscope.predict.slides.batch.run`.
    as_json : bool
        Whether to print events instead of progress.
    """

    workers: str = "1"
    claim: bool = False
    overwrite: bool = False
    retry_failed: bool = False
    as_json: bool = False

    def require_sense(self) -> None:
        """Refuse options that each of several calls would carry out again.

        Raises
        ------
        ConfigError
        """
        for name in ("overwrite", "retry_failed"):
            if self.claim and getattr(self, name):
                option = "--" + name.replace("_", "-")
                raise ConfigError(
                    f"{option} with --claim: each call would start over; call once with {option} and "
                    "without --claim, then start the others"
                )


def predict_slides(
    folder: Path,
    jobs: "list[Job]",
    out: Path,
    opened: dict[str, Any],
    written: dict[str, Any],
    start: Start,
) -> "tuple[Outcome, dict[str, Any], list[str]]":
    """Find nuclei in all slides, or classify tiles or cells; counts for machines, and lines for people."""
    from histoscope.export.cells_anndata import require_anndata
    from histoscope.predict.slides import batch
    from histoscope.predict.slides.opening import OpenModel
    from histoscope.slides.opening import check_reader

    check_reader(written["reader"])
    start.require_sense()
    if is_ray(start.workers) and written["devices"]:
        raise ConfigError(
            "--device with --workers ray: Ray assigns a device to each worker; leave --device out"
        )
    if "anndata" in written["kinds"]:
        require_anndata()
    opener = OpenModel(folder, out, batch.SlideSettings(**written), **opened)
    anew = {"overwrite": start.overwrite, "retry_failed": start.retry_failed}
    with reached(start.workers) as stdout:
        work = opener.work()
        cohort = batch.Cohort.plan(work, batch.one_a_slide(jobs), out, opener.settings, **anew)
        outcome, mine = _done(cohort, work, opener, start, stdout)
    n_left = len(cohort.tasks) - len(outcome.done) - len(outcome.failed)
    if start.claim:  # failures of other calls are in their exit codes
        paths = {task.what for task in cohort.tasks if task.name in mine}
        outcome.failed = [one for one in outcome.failed if one["path"] in paths]
    batch.tell(work, outcome)
    total = sum(row[work.unit] for row in outcome.done)
    one = {"nuclei": "nucleus", "tiles": "tile"}[work.unit]
    lines = [
        f"{count(total, one)} in {count(len(outcome.done), 'slide')}; results in {written['put_to'] or out}"
    ]
    lines += [_line(row, work.unit, work.classes) for row in outcome.done[:_MOST_LINES]]
    if len(outcome.done) > _MOST_LINES:
        lines.append(f"and {len(outcome.done) - _MOST_LINES:,} more; {out / SUMMARY} has a row for each")
    if n_left:
        lines.append(f"{count(n_left, 'slide')} with other workers")
    if outcome.failed_before:
        again = "failed in an earlier call; --retry-failed tries again"
        lines.append(f"{count(outcome.failed_before, 'slide')} {again}")
    about = {"classes": list(work.classes), work.unit: total, "network": work.network}
    return outcome, about, lines


def _done(
    cohort: "Cohort", work: "Work", opener: "OpenModel", start: Start, stdout: TextIO
) -> "tuple[Outcome, set[str]]":
    """Process the slides and show progress; gives the outcome, and what this call did."""
    from histoscope.cli.cohort_view import shown
    from histoscope.cli.progress import Board
    from histoscope.cli.slide_events import Events
    from histoscope.jobs.executor import Here, News
    from histoscope.predict.slides.one import OneSlide
    from histoscope.predict.slides.planning import LEDGER

    mine: set[str] = set()
    paths = {task.name: task.what for task in cohort.tasks}
    tell = Events(paths, work.unit, stdout) if start.as_json else None

    def hear(news: News) -> None:
        if news.stage == "ended":
            mine.add(news.task)
        if tell is not None:
            tell(news)

    def on_part(n_done: int, n_parts: int, n_rows: int) -> None:
        if board is not None and n_parts:
            board.move("parts", n_done, n_parts, f"{n_rows:,} {work.unit}")

    executor = executor_of(start.workers, len(cohort.tasks), waits=not start.claim, on_news=hear)
    is_here = isinstance(executor, Here)
    board: Board | None = None
    with ExitStack() as stack:
        if is_here and len(cohort.tasks) == 1 and not start.as_json:
            board = stack.enter_context(Board())
        elif not start.as_json:
            stack.enter_context(shown(cohort.out / LEDGER, cohort.tasks))
        do = OneSlide(work, cohort.out, opener.settings, on_part)
        return cohort.do(executor, (lambda *_: do) if is_here else opener), mine


def _line(row: dict[str, Any], unit: str, classes: "Sequence[str]") -> str:
    """A slide in one line."""
    found = f"{row['slide']}: {row[unit]:,} {unit}, {row['tissue_mm2']:g} mm2 of tissue"
    if unit == "tiles":
        found += "".join(f", {name}: {100 * row[f'share_{name}']:.0f} %" for name in classes)
    if row["blurred_mm2"]:
        found += f" ({row['blurred_mm2']:g} mm2 out of focus left out)"
    broken = f", {count(row['problems'], 'problem')} (problems.csv)" if row["problems"] else ""
    return f"{found}, read by {row['reader']}{broken}"
