"""``histoscope predict`` of whole slides."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from histoscope.words import count

if TYPE_CHECKING:
    from histoscope.jobs.journal import Job
    from histoscope.predict.batch import Outcome

SLIDES_ONLY = ("reader", "origin", "roi", "csv", "labels", "anndata")
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


def nuclei_of_slides(
    folder: Path,
    jobs: "list[Job]",
    out: Path,
    opened: dict[str, Any],
    written: dict[str, Any],
    *,
    mpp: float | None,
    overwrite: bool,
) -> "tuple[Outcome, dict[str, Any], list[str]]":
    """Find nuclei in all slides; counts for machines, and lines for people."""
    from histoscope.cli.progress import Board
    from histoscope.export.cells_anndata import require_anndata
    from histoscope.predict import Detector
    from histoscope.predict.slides import batch
    from histoscope.slides.opening import check_reader

    check_reader(written["reader"])
    if "anndata" in written["kinds"]:
        require_anndata()
    jobs = batch.one_a_slide(jobs)
    detector = Detector.open(folder, **opened)
    done = 0
    with Board() as board:

        def on_image(_: str) -> None:
            nonlocal done
            done += 1
            board.move("slides", done, len(jobs))
            board.end("parts")

        def on_part(n_done: int, n_parts: int, n_cells: int) -> None:
            if n_parts:
                board.move("parts", n_done, n_parts, f"{n_cells:,} nuclei")

        settings = batch.SlideSettings(mpp=mpp, **written)
        outcome = batch.run(
            detector, jobs, out, settings, overwrite=overwrite, on_image=on_image, on_part=on_part
        )
    n_nuclei = sum(row["nuclei"] for row in outcome.done)
    lines = [f"{count(n_nuclei, 'nucleus')} in {count(len(outcome.done), 'slide')}; results in {out}"]
    for row in outcome.done:
        found = f"{row['slide']}: {row['nuclei']:,} nuclei, {row['tissue_mm2']:g} mm2 of tissue"
        broken = f", {count(row['problems'], 'problem')} (problems.csv)" if row["problems"] else ""
        lines.append(f"{found}, read by {row['reader']}{broken}")
    return outcome, {"classes": list(detector.classes), "nuclei": n_nuclei}, lines
