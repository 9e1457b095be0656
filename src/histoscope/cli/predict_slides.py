"""``histoscope predict`` of whole slides."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from histoscope.cli.given import refuse_given
from histoscope.errors import ConfigError
from histoscope.words import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from histoscope.jobs.journal import Job
    from histoscope.predict.batch import Outcome
    from histoscope.predict.slides.work import Work

SLIDES_ONLY = ("reader", "origin", "roi", "least_focus", "csv", "labels", "anndata", "cells")
"""Parameters that mean nothing for images."""


def takes_slides(jobs: "list[Job]", shown: str) -> bool:
    """Whether the files are taken as slides: all of them if one is."""
    from histoscope.images.kinds import only_as_slide
    from histoscope.predict.slides.batch import is_slide

    if shown != "auto":
        return shown == "slide"
    slides = [job for job in jobs if only_as_slide(job.image) or is_slide(job.image)]
    if slides and len(slides) < len(jobs):
        others = count(len(jobs) - len(slides), "image")
        typer.echo(f"{others} beside {count(len(slides), 'slide')}: all are taken as slides", err=True)
    return bool(slides)


def refuse(context: typer.Context, shown: str, *, classifies: bool, as_slides: bool, has_cells: bool) -> None:
    """Refuse options that have no effect on such files with such a model.

    Raises
    ------
    ConfigError
    """
    if as_slides:
        refuse_given(context, "only", because="is for images; slides have --csv, --labels, --anndata")
    else:
        refuse_given(context, *SLIDES_ONLY, because="is for slides, and these are images (--as slide)")
    if not classifies:
        if shown in {"patch", "tiles"}:
            raise ConfigError(f"--as {shown} is for classifiers, and this model finds nuclei; leave it out")
        refuse_given(
            context, "least_tissue", "cells", because="is for classifiers, and this model finds nuclei"
        )
        return
    if shown == "image":
        raise ConfigError("--as image is for models of nuclei, and this one is a classifier; leave it out")
    refuse_given(context, "least_area", because="is for models of nuclei, and this one tells patches apart")
    if has_cells:
        if shown not in {"auto", "slide"}:
            raise ConfigError(f"--as {shown} has no meaning for cells that are given; leave it out")
        refuse_given(
            context,
            *("roi", "least_focus", "least_tissue", "labels"),
            because="has no meaning for cells that are given",
        )
    elif as_slides:
        refuse_given(context, "labels", "anndata", because="is for nuclei, and here tiles are classified")


def predict_slides(
    folder: Path,
    jobs: "list[Job]",
    out: Path,
    opened: dict[str, Any],
    written: dict[str, Any],
    *,
    mpp: float | None,
    overwrite: bool,
) -> "tuple[Outcome, dict[str, Any], list[str]]":
    """Find nuclei in all slides, or classify tiles or cells; counts for machines, and lines for people."""
    from histoscope.cli.progress import Board
    from histoscope.export.cells_anndata import require_anndata
    from histoscope.predict.slides import batch
    from histoscope.slides.opening import check_reader

    check_reader(written["reader"])
    if "anndata" in written["kinds"]:
        require_anndata()
    jobs = batch.one_a_slide(jobs)
    work = _work(folder, **opened)
    done = 0
    with Board() as board:

        def on_image(_: str) -> None:
            nonlocal done
            done += 1
            board.move("slides", done, len(jobs))
            board.end("parts")

        def on_part(n_done: int, n_parts: int, n_rows: int) -> None:
            if n_parts:
                board.move("parts", n_done, n_parts, f"{n_rows:,} {work.unit}")

        settings = batch.SlideSettings(mpp=mpp, **written)
        outcome = batch.run(
            work, jobs, out, settings, overwrite=overwrite, on_image=on_image, on_part=on_part
        )
    total = sum(row[work.unit] for row in outcome.done)
    one = {"nuclei": "nucleus", "tiles": "tile"}[work.unit]
    lines = [f"{count(total, one)} in {count(len(outcome.done), 'slide')}; results in {out}"]
    lines += [_line(row, work.unit, work.classes) for row in outcome.done]
    about = {"classes": list(work.classes), work.unit: total, "network": work.network}
    return outcome, about, lines


def _work(
    folder: Path,
    *,
    least_area_um2: float | None = None,
    least_tissue: float = 0.0,
    cells: Path | None = None,
    **opened: Any,
) -> "Work":
    """What a model does: nuclei of at least some area, or the classes of tiles, or of given cells."""
    from histoscope.predict import Detector, PatchClassifier
    from histoscope.predict.slides.cells import ClassifyCells
    from histoscope.predict.slides.nuclei import FindNuclei
    from histoscope.predict.slides.tiles import ClassifyTiles

    if least_area_um2 is not None:
        return FindNuclei(Detector.open(folder, least_area_um2=least_area_um2, **opened))
    classifier = PatchClassifier.open(folder, **opened)
    return ClassifyTiles(classifier, least_tissue) if cells is None else ClassifyCells(classifier, cells)


def _line(row: dict[str, Any], unit: str, classes: "Sequence[str]") -> str:
    """A slide in a line."""
    found = f"{row['slide']}: {row[unit]:,} {unit}, {row['tissue_mm2']:g} mm2 of tissue"
    if unit == "tiles":
        found += "".join(f", {name} {100 * row[f'share_{name}']:.0f} %" for name in classes)
    if row["blurred_mm2"]:
        found += f" ({row['blurred_mm2']:g} mm2 out of focus left out)"
    broken = f", {count(row['problems'], 'problem')} (problems.csv)" if row["problems"] else ""
    return f"{found}, read by {row['reader']}{broken}"
